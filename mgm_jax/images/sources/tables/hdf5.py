"""Images in HDF5 files: one array, read row by row, or one encoded picture a row."""

from __future__ import annotations

import dataclasses
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from mgm_jax.errors import InputError, name_some
from mgm_jax.files.found_instead import found_instead
from mgm_jax.images.decode.limits import Limits
from mgm_jax.images.image_source import ImageSource
from mgm_jax.images.sources.arrays import array_source
from mgm_jax.images.sources.contents import Contents, source_of_contents
from mgm_jax.images.sources.files.layout import same_split
from mgm_jax.images.sources.files.names import visible
from mgm_jax.images.sources.options import SourceOptions
from mgm_jax.images.sources.tables.fields import (
    ID_COLUMNS,
    LABEL_COLUMNS,
    column_for,
    distinct_texts,
    encode_classes,
    numbered,
)

_IMAGE_KEYS = ("images", "image", "x", "data")
_LABEL_KEYS = (*LABEL_COLUMNS, "y")
_ID_KEYS = (*ID_COLUMNS, "ids")
# Decoded chunks of an array that stay in memory.
_CACHE_BYTES = 2**28
_MAX_ARRAYS = 10_000


def hdf5_source(path: Path, options: SourceOptions) -> ImageSource:
    """Source of the images in an HDF5 file.

    ``images`` holds ``[n, h, w]`` or ``[n, h, w, c]`` numbers, or ``[n]`` encoded pictures (bytes
    of variable length); ``labels`` and ``ids`` one value an image. Every other array of n rows is
    kept as values of the images. Nothing outside of the file is followed.

    Args:
        path: the file.
        options: a split is the group or the arrays of that name or purpose (``train/images``,
            ``images_train`` or ``train_images``); fields are arrays by their paths in the file.

    Raises:
        InputError: h5py is missing, no such array, links out of the file, labels of another
            length, or what unpacks too far.
    """
    try:
        import h5py
    except ImportError as error:
        raise InputError(f"{path} needs h5py: pip install 'mgm_jax[hdf5]'.") from error
    where, split = visible(str(path)), options.split
    fields, limits = options.fields, options.limits
    try:
        file = h5py.File(path, "r", rdcc_nbytes=_CACHE_BYTES)
        arrays: dict[str, Any] = {one: file[one] for one in _names(file, h5py)}
    except (OSError, RuntimeError, ValueError, KeyError) as error:
        raise InputError(
            f"{where} cannot be read as HDF5: {error}." + found_instead(path, meant="an HDF5 file")
        ) from error
    known = list(arrays)
    image = _chosen(fields.image, _IMAGE_KEYS, known, split, what="image", where=where)
    if image is None:
        raise InputError(
            f"{where} has no array {' or '.join(_IMAGE_KEYS)}"
            + (f" of the split {split!r}" if split else "")
            + f"; it has {name_some(known) or 'none'}. Name one with image:, or a split:."
        )
    lock = threading.Lock()
    images = arrays[image]
    # Before a name is made for each: a file of some bytes may claim any number of images.
    _check(images, image, where, limits)
    n = images.shape[0] if images.ndim else 0

    def values(name: str | None) -> list[Any] | None:
        if name is None:
            return None
        array = arrays[name]
        if array.shape not in ((n,), (n, 1)):
            raise InputError(
                f"{where}: {name} must hold one value for each of {n} images; got shape "
                f"{list(array.shape)}."
            )
        return [_text(one) for one in _read(array, name, where, limits).reshape(n).tolist()]

    label = _chosen(fields.label, _LABEL_KEYS, known, split, what="label", where=where)
    labels = values(label)
    codes: np.ndarray = np.full(n, -1, np.int32)
    classes: tuple[str, ...] = ()
    if labels is not None:
        codes, classes = encode_classes(labels, where=where)
    chosen = _chosen(fields.id, _ID_KEYS, known, split, what="id", where=where)
    ids = distinct_texts(values(chosen) or ()) or numbered(n)
    columns = {
        one: _read(array, one, where, limits)
        for one, array in arrays.items()
        if one != image
        and array.ndim in (1, 2)
        and array.shape[0] == n
        and array.dtype.kind in "iufb"
    }
    options = options.called(visible(path.stem))
    if images.ndim == 1 and h5py.check_vlen_dtype(images.dtype) == np.uint8:

        def read(row: int) -> bytes:
            with lock:
                content = images[row]
            content = content if isinstance(content, bytes) else np.asarray(content).tobytes()
            limits.check("file_bytes", len(content), name=f"{where}, row {row}", what="bytes")
            return content

        contents = Contents(
            where=where, ids=ids, labels=codes, classes=classes, read=read, columns=columns
        )
        return source_of_contents(contents, options)
    if images.dtype.kind not in "iufb" or images.ndim not in (3, 4):
        raise InputError(
            f"{where}: {image} must hold [n, h, w] or [n, h, w, c] numbers, or [n] encoded "
            f"pictures; got shape {list(images.shape)} of {images.dtype}."
        )
    source = array_source(images, name=options.name or where, value_range=options.value_range)
    return dataclasses.replace(source, ids=ids, labels=codes, classes=classes, columns=columns)


def _names(file: Any, h5py: Any) -> list[str]:
    """Arrays of the file itself: links, which may lead out of it, are not followed."""
    names: list[str] = []

    def note(name: str, one: Any) -> None:
        if isinstance(one, h5py.Dataset):
            names.append(name)
        if len(names) > _MAX_ARRAYS:
            raise InputError(f"{file.filename} holds more than {_MAX_ARRAYS} arrays.")

    file.visititems(note)
    return names


def _chosen(
    wanted: str | None,
    usual: Sequence[str],
    known: Sequence[str],
    split: str | None,
    *,
    what: str,
    where: str,
) -> str | None:
    """The array that is named, or the first usual one, of the split that is asked for."""
    if wanted is not None or split is None:
        return column_for(wanted, usual, known, what=what, where=where)
    for name in known:
        folder, _, leaf = name.rpartition("/")
        words = [folder.rpartition("/")[2], *leaf.split("_")]
        fits = any(word == split or same_split(word, split) for word in words if word)
        if fits and (leaf in usual or any(word in usual for word in leaf.split("_"))):
            return name
    return None


def _check(array: Any, name: str, where: str, limits: Limits) -> None:
    """Refuse what lies outside of the file, or unpacks too far."""
    if array.external or array.is_virtual:
        raise InputError(f"{where}: {name} lies in other files, which are not followed.")
    if array.ndim:
        limits.check("files", array.shape[0], name=f"{where}: {name}", what="rows")
    limits.check("unpacked_bytes", array.nbytes, name=f"{where}: {name}", what="bytes")
    limits.check_ratio(array.nbytes, array.id.get_storage_size(), name=f"{where}: {name}")


def _read(array: Any, name: str, where: str, limits: Limits) -> np.ndarray:
    _check(array, name, where, limits)
    try:
        return np.asarray(array[()])
    except (OSError, RuntimeError, ValueError, MemoryError) as error:
        raise InputError(f"{where}: {name} cannot be read: {error}") from error


def _text(value: Any) -> Any:
    return value.decode("utf-8", "surrogateescape") if isinstance(value, bytes) else value
