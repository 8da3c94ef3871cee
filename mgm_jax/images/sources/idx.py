"""Images in the IDX format of MNIST and its successors."""

from __future__ import annotations

import gzip
import zlib
from pathlib import Path

import numpy as np

from mgm_jax.errors import InputError
from mgm_jax.images.image_source import ImageSource
from mgm_jax.images.sources.arrays import array_source

_BYTES = 0x08


def idx_source(path: Path, *, name: str | None = None) -> ImageSource:
    """Source of the images of an IDX file, labelled by the file beside it.

    Args:
        path: images, ``[n, h, w]`` or ``[n, h, w, c]`` bytes. Where the same folder holds a file
            of that name with ``labels-idx1`` for ``images-idx3``, it gives the labels.
        name: what to call the source; None for the name of the file.

    Raises:
        InputError: a file that is missing, cut short or of another format, or labels of another
            number than the images.
    """
    stem = path.name.removesuffix(".gz")
    beside = path.with_name(
        path.name.replace("images", "labels").replace("idx3", "idx1").replace("idx4", "idx1")
    )
    labels = read_idx(beside) if beside != path and beside.exists() else None
    return array_source(read_idx(path), labels, name=name or stem)


def read_idx(path: Path) -> np.ndarray:
    """The array in an IDX file of bytes, gzipped or not.

    The format: two zero bytes, the type (8: bytes), the number of axes, the length of each axis
    as a big-endian 32-bit number, then the values row by row.

    Raises:
        InputError: missing, cut short, too long, or not of bytes.
    """
    try:
        content = path.read_bytes()
        if content[:2] == b"\x1f\x8b":
            content = gzip.decompress(content)
    except (OSError, EOFError, zlib.error) as error:
        raise InputError(f"{path} cannot be read: {error}") from error
    if len(content) < 4 or content[:2] != b"\0\0" or content[2] != _BYTES:
        raise InputError(f"{path} is no IDX file of bytes; it begins with {content[:4].hex()}.")
    axes = content[3]
    start = 4 + 4 * axes
    shape = tuple(int(size) for size in np.frombuffer(content[4:start], ">u4"))
    expected = start + int(np.prod(shape, dtype=np.int64))
    if len(shape) != axes or len(content) != expected:
        raise InputError(
            f"{path} must hold {expected} bytes for the shape {list(shape)}; it holds "
            f"{len(content)}. The file is damaged; get it again."
        )
    return np.frombuffer(content, np.uint8, offset=start).reshape(shape)
