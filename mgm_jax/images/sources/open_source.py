"""Opening an image source by its path or name."""

from __future__ import annotations

import difflib
import os
import re
import warnings
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from numpy.typing import ArrayLike

from mgm_jax.errors import InputError
from mgm_jax.images.decode.formats import TAR_SUFFIXES, UNREAD_SUFFIXES, image_suffixes
from mgm_jax.images.decode.grey_depth import ValueRange, check_value_range
from mgm_jax.images.decode.limits import LIMITS, Limits
from mgm_jax.images.decode.regular_file import kind_of
from mgm_jax.images.image_source import ImageSource
from mgm_jax.images.sources.open_table import open_table
from mgm_jax.images.sources.options import SourceOptions
from mgm_jax.images.sources.tables.fields import FIELDS, Fields

__all__ = ["ImageSource", "open_source"]

TFDS_PREFIX = "tfds:"
ROWS_PREFIX = "rows:"

# A place in the network, also after a path has made one slash of two.
_ADDRESS = re.compile(r"[a-z][a-z0-9+.-]+:/+", re.IGNORECASE)


def open_source(
    images: str | Path | Any,
    *,
    split: str | None = None,
    labels: ArrayLike | Path | str | None = None,
    ids: Sequence[Any] | None = None,
    columns: Mapping[str, Any] | None = None,
    fields: Fields | Mapping[str, str] = FIELDS,
    depth: int = 1,
    value_range: ValueRange | None = None,
    limits: Limits = LIMITS,
    name: str | None = None,
    warn: bool = True,
) -> ImageSource:
    """Open a set of images.

    ============================  ===============================================================
    ``images``                    images
    ============================  ===============================================================
    a folder                      image files; folders inside are classes; folders called like
                                  splits are splits, of which ``split`` takes one
    a ``.zip`` or ``.tar``        the same, read where it lies; a tar may be compressed by gzip,
    archive                       bzip2, xz or zstd
    ``shards/*.tar``,             webdataset: ``key.jpg``, ``key.cls`` and ``key.json`` are one
    ``wds:PLACE``                 sample; a pattern may have ``{000..012}``, a place be a folder
    a folder of ``save_to_disk``  a Hugging Face data set that was saved; and ``.arrow`` files
    ``.parquet`` files            images as bytes, as on the Hugging Face hub; a file, a pattern
                                  or a folder of them
    a ``.csv``, ``.tsv`` or       a manifest: a path a row, with ``label``, ``split``, ``id`` and
    ``.parquet`` file             further columns
    a ``.h5`` file                an array ``images``, ``labels`` beside it (needs h5py)
    a ``.npz`` or ``.npy`` file   an array ``[n, h, w(, c)]``; ``labels`` from the .npz file or
                                  handed in, as values or as an .npy file
    an ``idx3-ubyte(.gz)`` file   images as MNIST has them; labels from the file beside it
    ``rows:FOLDER``               PNG files whose every row is one image, with labels as JSON
    ``digits``                    handwritten digits of scikit-learn; nothing is downloaded
    ``photo-patches``             patches of the photographs of scikit-learn, likewise
    ``tfds:NAME/SPLIT``           a prepared TFDS data set; NAME may be a folder; with ``split``
                                  the name alone
    an array or data set          NumPy, JAX or PyTorch; ``torch.utils.data.Dataset`` and the like
    ============================  ===============================================================

    Args:
        images: what to open.
        split: take one split alone.
        labels: of an array file, an array or a data set.
        ids: of an array or data set, one an image.
        columns: of an array or data set, further values of each image by name.
        fields: names of the columns, members or arrays that hold ``image``, ``label`` and ``id``,
            where they are not called so.
        depth: how many folders, in a folder or archive, name a class.
        value_range: the values of black and white of images deeper than eight bits, where these
            are not 0 and 65535 or, of floats, 0 and 1.
        limits: of sizes and numbers, against files that are made to fill a memory.
        name: what to call the source, of an array or data set; None for ``images``.
        warn: warn of files that are passed over and might be images; ``passed_over`` and
            ``notes`` of the source say it anyhow.

    Returns:
        The source; files are read once, to know their content, and decoded when they are read.

    Raises:
        InputError: nothing of this kind is there, or an option that does not apply to it.

    >>> len(open_source("digits").classes)
    10
    """
    if isinstance(images, ImageSource):
        return images
    if isinstance(fields, Mapping):
        fields = Fields(**fields)
    options = SourceOptions(
        name=name,
        split=split,
        fields=fields,
        depth=depth,
        value_range=check_value_range(value_range),
        limits=limits,
    )
    if isinstance(images, bytes):
        images = os.fsdecode(images)
    if isinstance(images, list | tuple) and any(isinstance(one, str | Path) for one in images):
        raise InputError(
            "images must be one folder, archive or table; got a list of paths. Name the folder "
            "that they lie in, a pattern such as 'shards/*.tar', or a table with a column of paths."
        )
    if isinstance(images, str) and not images.strip():
        raise InputError("images must name a folder, a file or a set; got an empty text.")
    if isinstance(images, str | Path):
        _refuse(str(images), ids=ids, columns=columns, name=name)
        source = _open(images, labels, options)
    else:
        from mgm_jax.images.sources.datasets import held_source

        _refuse("images in memory", split=split, depth=_deep(depth))
        source = held_source(images, labels=labels, ids=ids, columns=columns, options=options)
    doubtful = [str(one) for one in source.passed_over if not one.harmless]
    if warn and (doubtful or source.notes):
        told = "; ".join((*(f"passed over: {one}" for one in doubtful), *source.notes))
        warnings.warn(f"{source.name}: {told}", stacklevel=2)
    return source


def _open(
    path_or_name: str | Path, labels: ArrayLike | Path | str | None, options: SourceOptions
) -> ImageSource:
    text, split, value_range = str(path_or_name), options.split, options.value_range
    depth = options.depth
    of_table = open_table(text, options)
    if of_table is not None:
        _refuse(text, labels=labels, depth=_deep(depth))
        return of_table()
    _refuse(text, fields=options.fields or None)
    if text.startswith(TFDS_PREFIX):
        _refuse(text, labels=labels, depth=_deep(depth), value_range=value_range)
        return _open_tfds(text.removeprefix(TFDS_PREFIX), split)
    if text.startswith(ROWS_PREFIX):
        from mgm_jax.images.sources.rows import rows_source

        _refuse(text, split=split, labels=labels, depth=_deep(depth), value_range=value_range)
        return rows_source(Path(text.removeprefix(ROWS_PREFIX)).expanduser())
    path = Path(path_or_name).expanduser()
    if _ADDRESS.match(text):
        raise InputError(f"No images at {text!r}.{_not_these(path)}")
    if opener := _opener_of_files(path):
        _refuse(text, labels=labels)
        return opener(path, options)
    _refuse(text, depth=_deep(depth))
    suffix = path.suffix.lower()
    if suffix in (".npz", ".npy"):
        from mgm_jax.images.sources.arrays import file_source

        if suffix == ".npy":
            _refuse(text, split=split)
        return file_source(path, labels, options)
    _refuse(text, value_range=value_range)
    if path.is_file() and "ubyte" in path.name:
        from mgm_jax.images.sources.idx import idx_source

        _refuse(text, split=split, labels=labels)
        return idx_source(path, limits=options.limits)
    if text == "digits":
        from mgm_jax.images.sources.digits import digits_source

        _refuse(text, split=split, labels=labels)
        return digits_source()
    if text == "photo-patches":
        from mgm_jax.images.sources.photo_patches import photo_patches_source

        _refuse(text, split=split, labels=labels)
        return photo_patches_source()
    raise InputError(
        f"No images at {text!r}: expected a folder, a .zip, .tar, .parquet, .arrow, .csv, .tsv, "
        ".h5, .npz, .npy or idx3-ubyte file, a pattern of shards, 'digits', 'photo-patches', "
        f"'rows:FOLDER', 'wds:PLACE' or 'tfds:NAME/SPLIT'.{_not_these(path)}"
    )


def _opener_of_files(path: Path) -> Callable[[Path, SourceOptions], ImageSource] | None:
    """What opens a folder or an archive of image files; None where the path is neither."""
    try:
        kind = kind_of(path.stat().st_mode)
    except (OSError, ValueError):
        kind = "absent"
    name = path.name.lower()
    if kind == "a folder":
        from mgm_jax.images.sources.files.folder import folder_source

        return folder_source
    if kind not in (None, "absent"):
        raise InputError(f"{path} is {kind}; expected a folder or a file of images.")
    if name.endswith(".zip"):
        from mgm_jax.images.sources.files.zip_archive import zip_source

        return zip_source
    if name.endswith(TAR_SUFFIXES):
        from mgm_jax.images.sources.files.tar_archive import tar_source

        return tar_source
    return None


def _not_these(path: Path) -> str:
    """More on a file that is there and cannot be a source, or on an address."""
    if _ADDRESS.match(str(path)):
        return " This is an address: fetch the files first, and name their folder."
    if not path.is_file():
        variable = " Variables of the shell are not looked up here: write their values."
        near = difflib.get_close_matches(str(path), ("digits", "photo-patches"), n=1, cutoff=0.8)
        return variable if "$" in str(path) else f" Did you mean {near[0]}?" if near else ""
    suffix = path.suffix.lower()
    if suffix in image_suffixes():
        return " This is one image: name the folder that it lies in."
    return f" This is {UNREAD_SUFFIXES[suffix]}." if suffix in UNREAD_SUFFIXES else ""


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
