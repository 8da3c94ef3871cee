"""Images that are held as one array: in memory, or in an .npy or .npz file."""

from __future__ import annotations

import hashlib
import zipfile
from collections.abc import Iterable
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike

from mgm_jax.errors import InputError
from mgm_jax.files.numpy_files import why_not
from mgm_jax.images.decode.grey_depth import ValueRange, check_value_range
from mgm_jax.images.decode.limits import Limits
from mgm_jax.images.decode.picture import array_to_rgb
from mgm_jax.images.image_source import ImageChanged, ImageSource
from mgm_jax.images.sources.options import SourceOptions

IMAGE_KEYS = ("images", "image", "x")
LABEL_KEYS = ("labels", "label", "y")


def array_source(
    images: np.ndarray,
    labels: ArrayLike | None = None,
    *,
    name: str = "array",
    value_range: ValueRange | None = None,
) -> ImageSource:
    """Source of the images of one array; the id of an image is its row.

    Args:
        images: ``[n, h, w]`` or ``[n, h, w, c]`` with 1, 3 or 4 channels; uint8, uint16, bool,
            floats in [0, 1], or any numbers with a value range.
        labels: ``[n]`` whole numbers or texts; each value is a class, a number below 0 means no
            label. None for no labels.
        name: what to call the source.
        value_range: of values deeper than eight bits, the ones of black and white.

    Raises:
        InputError: shapes, types or values that are none of these.

    >>> array_source(np.zeros((3, 4, 4), np.uint8), ["b", "a", "b"]).labels.tolist()
    [1, 0, 1]
    """
    if images.ndim not in (3, 4) or images.shape[0] == 0:
        raise InputError(
            f"{name}: images must be [n, h, w] or [n, h, w, c] with n of at least 1; "
            f"got {list(images.shape)}."
        )
    if images.ndim == 3 and images.shape[-1] == 3 and images.shape[1] > 3:
        raise InputError(
            f"{name}: got {list(images.shape)}, which is one picture of three channels, or grey "
            "ones that are three pixels wide; images must be [n, h, w, c]: write images[None], or "
            "images[..., None]."
        )
    # One look at the first image finds a wrong shape or type before any work is done.
    value_range = check_value_range(value_range)
    array_to_rgb(images[0], name=f"{name}, image 0", value_range=value_range)
    codes, classes = encode_labels(labels, n=images.shape[0], name=name)
    width = len(str(images.shape[0] - 1))
    fingerprints = [_fingerprint(image) for image in images]
    rule = "" if value_range is None else f"@{value_range[0]!r}..{value_range[1]!r}"

    def read(row: int) -> np.ndarray:
        # A copy: an array in a file may change between the check and the use.
        image, title = np.array(images[row]), f"{name}, image {row}"
        if _fingerprint(image) != fingerprints[row]:
            raise ImageChanged(
                f"{title} is not the image that it was when the set was opened: the array was "
                "changed in the meantime. Nothing was kept of the new one."
            )
        return array_to_rgb(image, name=title, value_range=value_range)

    return ImageSource(
        name=name,
        ids=tuple(f"{row:0{width}d}" for row in range(images.shape[0])),
        labels=codes,
        classes=classes,
        fingerprints=tuple(one + rule for one in fingerprints),
        reader=read,
    )


def _fingerprint(image: np.ndarray) -> str:
    content = np.ascontiguousarray(image)
    facts = f"{content.dtype.str}{content.shape}".encode()
    return hashlib.sha256(facts + content.tobytes()).hexdigest()


def encode_labels(
    labels: ArrayLike | None, *, n: int, name: str
) -> tuple[np.ndarray, tuple[str, ...]]:
    """Dense class numbers and class names of any labels.

    Returns:
        int32 ``[n]``, the position of each label among the sorted distinct ones, or -1 where
        there is none; and the distinct labels as texts.

    Raises:
        InputError: not ``n`` labels, or labels that are neither whole numbers nor texts.

    >>> encode_labels([7, -1, 3], n=3, name="x")
    (array([ 1, -1,  0], dtype=int32), ('3', '7'))
    """
    if labels is None:
        return np.full(n, -1, np.int32), ()
    given = np.asarray(labels)
    if given.shape == (n, 1):
        given = given[:, 0]
    if given.shape != (n,):
        raise InputError(f"{name}: expected one label for each of {n} images; got {given.shape}.")
    if given.dtype.kind == "f" and (given[~np.isnan(given)] % 1 == 0).all():
        # Whole numbers, as floating-point ones where one is missing.
        given = np.where(np.isnan(given), -1, given).astype(np.int64)
    if given.dtype.kind not in "iubU":
        raise InputError(f"{name}: labels must be whole numbers or texts; got {given.dtype}.")
    labelled = np.ones(n, bool) if given.dtype.kind in "Ub" else given >= 0
    codes = np.full(n, -1, np.int32)
    classes, codes[labelled] = np.unique(given[labelled], return_inverse=True)
    return codes, tuple(str(c) for c in classes)


def file_source(
    path: Path,
    labels: ArrayLike | Path | str | None,
    options: SourceOptions,
) -> ImageSource:
    """Source of the images in an .npz file (``images``, ``labels``) or an .npy file.

    Args:
        path: the file. An .npy file stays on disk and is read image by image.
        labels: labels, or an .npy file that holds them; None for those of the .npz file.
        options: of an .npz file with several splits, ``train`` finds ``x_train`` and ``y_train``,
            or ``train_images`` and ``train_labels``.

    Raises:
        InputError: no such file, no array of images in it, one that is compressed too far, or
            pickled objects, which are never loaded.
    """
    content = _load(path, split=options.split, limits=options.limits)
    if isinstance(content, np.ndarray):
        images = content
    else:
        images = content.pop("images")
        if labels is None:
            labels = content.pop("labels", None)
    if isinstance(labels, str | Path):
        stored = _load(Path(labels), split=None, limits=options.limits)
        if not isinstance(stored, np.ndarray):
            raise InputError(f"{labels}: labels must be in an .npy file of one array.")
        labels = stored
    name = options.called(path.stem).name or path.stem
    return array_source(images, labels, name=name, value_range=options.value_range)


def _load(path: Path, *, split: str | None, limits: Limits) -> np.ndarray | dict[str, np.ndarray]:
    try:
        if path.suffix.lower() == ".npz":
            with np.load(path, allow_pickle=False) as archive:
                keys = _keys(archive.files, path, split)
                _check_sizes(archive.zip, keys.values(), path, limits)
                return {what: archive[key] for what, key in keys.items()}
        return np.load(path, mmap_mode="r", allow_pickle=False)
    except InputError:
        raise
    except Exception as error:  # a damaged zip or header raises one of many types
        raise InputError(f"{path} cannot be read as NumPy arrays{why_not(path, error)}") from error


def _keys(known: list[str], path: Path, split: str | None) -> dict[str, str]:
    """Names in an .npz file of the ``images`` and, where it has them, the ``labels``."""

    def names(kinds: tuple[str, ...]) -> list[str]:
        if split is None:
            return list(kinds)
        return [form for kind in kinds for form in (f"{kind}_{split}", f"{split}_{kind}")]

    images = next((key for key in names(IMAGE_KEYS) if key in known), None)
    if images is None:
        wanted = " or ".join(names(IMAGE_KEYS))
        raise InputError(
            f"{path} has no array called {wanted}; it has {', '.join(known) or 'none'}. "
            "Of x_train and x_test, or train_images and test_images, split: takes one."
        )
    labels = next((key for key in names(LABEL_KEYS) if key in known), None)
    return {"images": images} | ({} if labels is None else {"labels": labels})


def _check_sizes(
    archive: zipfile.ZipFile | None, keys: Iterable[str], path: Path, limits: Limits
) -> None:
    """Refuse, before anything is unpacked, what would unpack to too much."""
    stored = unpacked = 0
    for member in archive.infolist() if archive is not None else ():
        if member.filename.removesuffix(".npy") in keys:
            stored += member.compress_size
            unpacked += member.file_size
    limits.check("unpacked_bytes", unpacked, name=str(path), what="bytes when unpacked")
    limits.check_ratio(unpacked, stored, name=str(path))
