"""Opening an image source by its path or name."""

from __future__ import annotations

from pathlib import Path

from numpy.typing import ArrayLike

from mgm_jax.errors import InputError
from mgm_jax.images.image_source import ImageSource

__all__ = ["ImageSource", "open_source"]

TFDS_PREFIX = "tfds:"
ROWS_PREFIX = "rows:"


def open_source(
    path_or_name: str | Path,
    *,
    split: str | None = None,
    labels: ArrayLike | Path | str | None = None,
    depth: int = 1,
) -> ImageSource:
    """Open a set of images.

    ============================  ===============================================================
    ``path_or_name``              images
    ============================  ===============================================================
    a folder                      image files; folders inside are classes; with ``split`` the
                                  folder of that name inside
    a ``.zip`` archive            the same, read where it lies
    a ``.npz`` or ``.npy`` file   an array ``[n, h, w(, c)]``; ``labels`` from the .npz file or
                                  handed in, as values or as an .npy file
    an ``idx3-ubyte(.gz)`` file   images as MNIST has them; labels from the file beside it
    ``rows:FOLDER``               PNG files whose every row is one image, with labels as JSON
    ``digits``                    handwritten digits of scikit-learn; nothing is downloaded
    ``photo-patches``             patches of the photographs of scikit-learn, likewise
    ``tfds:NAME/SPLIT``           a prepared TFDS data set; NAME may be a folder; with ``split``
                                  the name alone
    ============================  ===============================================================

    ``depth`` is the number of folders, in a folder or archive, that name a class.

    Returns:
        The source; images are decoded only when they are read.

    Raises:
        InputError: nothing of this kind is there, or an option that does not apply to it.

    >>> len(open_source("digits").classes)
    10
    """
    text = str(path_or_name)
    if text.startswith(TFDS_PREFIX):
        _refuse(text, labels=labels, depth=_deep(depth))
        return _open_tfds(text.removeprefix(TFDS_PREFIX), split)
    if text.startswith(ROWS_PREFIX):
        from mgm_jax.images.sources.rows import rows_source

        _refuse(text, split=split, labels=labels, depth=_deep(depth))
        return rows_source(Path(text.removeprefix(ROWS_PREFIX)).expanduser())
    path = Path(path_or_name).expanduser()
    if path.is_dir():
        from mgm_jax.images.sources.folder import folder_source

        _refuse(text, labels=labels)
        inside = path if split is None else path / split
        title = path.resolve().name if split is None else f"{path.resolve().name}/{split}"
        return folder_source(inside, name=title, depth=depth)
    if path.suffix == ".zip":
        from mgm_jax.images.sources.archive import archive_source

        _refuse(text, labels=labels)
        return archive_source(path, split=split, depth=depth)
    _refuse(text, depth=_deep(depth))
    if path.suffix in (".npz", ".npy"):
        from mgm_jax.images.sources.arrays import file_source

        _refuse(text, split=split)
        return file_source(path, labels)
    if path.is_file() and "ubyte" in path.name:
        from mgm_jax.images.sources.idx import idx_source

        _refuse(text, split=split, labels=labels)
        return idx_source(path)
    if text == "digits":
        from mgm_jax.images.sources.digits import digits_source

        _refuse(text, split=split, labels=labels)
        return digits_source()
    if text == "photo-patches":
        from mgm_jax.images.sources.photo_patches import photo_patches_source

        _refuse(text, split=split, labels=labels)
        return photo_patches_source()
    raise InputError(
        f"No images at {text!r}: expected a folder, a .zip, .npz, .npy or idx3-ubyte file, "
        "'digits', 'photo-patches', 'rows:FOLDER' or 'tfds:NAME/SPLIT'."
    )


def _open_tfds(text: str, split: str | None) -> ImageSource:
    from mgm_jax.images.sources.tfds import tfds_source

    name, chosen = (text, split) if split is not None else text.rpartition("/")[::2]
    if not name or not chosen:
        raise InputError(
            f"Name the split of the TFDS data set {text!r}: 'tfds:NAME/SPLIT', or split=."
        )
    return tfds_source(name, chosen)


def _deep(depth: int) -> int | None:
    """None for the depth that needs no saying."""
    return None if depth == 1 else depth


def _refuse(what: str, **options: object) -> None:
    for option, value in options.items():
        if value is not None:
            raise InputError(f"{option}= does not apply to {what!r}; leave it out.")
