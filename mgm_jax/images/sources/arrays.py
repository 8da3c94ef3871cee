"""Images that are held as one array: in memory, or in an .npy or .npz file."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike

from mgm_jax.errors import InputError
from mgm_jax.images.decode import array_to_rgb
from mgm_jax.images.image_source import ImageSource

IMAGE_KEYS = ("images", "image", "x")
LABEL_KEYS = ("labels", "label", "y")


def array_source(
    images: np.ndarray, labels: ArrayLike | None = None, *, name: str = "array"
) -> ImageSource:
    """Source of the images of one array; the id of an image is its row.

    Args:
        images: ``[n, h, w]`` or ``[n, h, w, c]`` with 1, 3 or 4 channels; uint8, uint16, bool, or
            floats in [0, 1].
        labels: ``[n]`` whole numbers or texts; each value is a class, a number below 0 means no
            label. None for no labels.
        name: what to call the source.

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
    # One look at the first image finds a wrong shape or type before any work is done.
    array_to_rgb(images[0], name=f"{name}, image 0")
    codes, classes = encode_labels(labels, n=images.shape[0], name=name)
    width = len(str(images.shape[0] - 1))
    return ImageSource(
        name=name,
        ids=tuple(f"{row:0{width}d}" for row in range(images.shape[0])),
        labels=codes,
        classes=classes,
        fingerprints=tuple(_fingerprint(image) for image in images),
        reader=lambda row: array_to_rgb(images[row], name=f"{name}, image {row}"),
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
    if given.shape != (n,):
        raise InputError(f"{name}: expected one label for each of {n} images; got {given.shape}.")
    if given.dtype.kind not in "iubU":
        raise InputError(f"{name}: labels must be whole numbers or texts; got {given.dtype}.")
    labelled = np.ones(n, bool) if given.dtype.kind in "Ub" else given >= 0
    codes = np.full(n, -1, np.int32)
    classes, codes[labelled] = np.unique(given[labelled], return_inverse=True)
    return codes, tuple(str(c) for c in classes)


def file_source(
    path: Path, labels: ArrayLike | Path | str | None = None, *, name: str | None = None
) -> ImageSource:
    """Source of the images in an .npz file (``images``, ``labels``) or an .npy file.

    Args:
        path: the file. An .npy file stays on disk and is read image by image.
        labels: labels, or an .npy file that holds them; None for those of the .npz file.
        name: what to call the source; None for the name of the file.

    Raises:
        InputError: no such file, no array of images in it, or pickled objects, which are never
            loaded.
    """
    content = _load(path)
    if isinstance(content, np.ndarray):
        images = content
    else:
        key = next((k for k in IMAGE_KEYS if k in content), None)
        if key is None:
            raise InputError(
                f"{path} has no array called {' or '.join(IMAGE_KEYS)}; "
                f"it has {', '.join(content) or 'none'}."
            )
        images = content[key]
        if labels is None:
            labels = next((content[k] for k in LABEL_KEYS if k in content), None)
    if isinstance(labels, str | Path):
        stored = _load(Path(labels))
        if not isinstance(stored, np.ndarray):
            raise InputError(f"{labels}: labels must be in an .npy file of one array.")
        labels = stored
    return array_source(images, labels, name=name or path.stem)


def _load(path: Path) -> np.ndarray | dict[str, np.ndarray]:
    try:
        if path.suffix == ".npz":
            with np.load(path, allow_pickle=False) as archive:
                wanted = {*IMAGE_KEYS, *LABEL_KEYS} & set(archive.files) or set(archive.files[:1])
                return {key: archive[key] for key in sorted(wanted)}
        return np.load(path, mmap_mode="r", allow_pickle=False)
    except Exception as error:  # a damaged zip or header raises one of many types
        raise InputError(f"{path} cannot be read as NumPy arrays: {error}") from error
