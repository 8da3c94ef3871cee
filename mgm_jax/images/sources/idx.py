"""Images in the IDX format of MNIST and its successors."""

from __future__ import annotations

import gzip
import math
import zlib
from pathlib import Path

import numpy as np

from mgm_jax.errors import InputError
from mgm_jax.files.found_instead import found_instead
from mgm_jax.images.decode.limits import LIMITS, Limits
from mgm_jax.images.image_source import ImageSource
from mgm_jax.images.sources.arrays import array_source

_BYTES = 0x08


def idx_source(path: Path, *, name: str | None = None, limits: Limits = LIMITS) -> ImageSource:
    """Source of the images of an IDX file, labelled by the file beside it.

    Args:
        path: images, ``[n, h, w]`` or ``[n, h, w, c]`` bytes. Where the same folder holds a file
            of that name with ``labels-idx1`` for ``images-idx3``, it gives the labels.
        name: what to call the source; None for the name of the file.
        limits: of what a gzipped file may unpack to.

    Raises:
        InputError: a file that is missing, cut short or of another format, or labels of another
            number than the images.
    """
    stem = path.name.removesuffix(".gz")
    beside = path.with_name(
        path.name.replace("images", "labels").replace("idx3", "idx1").replace("idx4", "idx1")
    )
    labels = read_idx(beside, limits=limits) if beside != path and beside.exists() else None
    return array_source(read_idx(path, limits=limits), labels, name=name or stem)


def read_idx(path: Path, *, limits: Limits = LIMITS) -> np.ndarray:
    """The array in an IDX file of bytes, gzipped or not.

    The format: two zero bytes, the type (8: bytes), the number of axes, the length of each axis
    as a big-endian 32-bit number, then the values row by row.

    Raises:
        InputError: missing, cut short, too long, or not of bytes.
    """
    try:
        stored = path.stat().st_size
        with path.open("rb") as plain:
            zipped = plain.read(2) == b"\x1f\x8b"
        with gzip.open(path) if zipped else path.open("rb") as file:
            head = file.read(4)
            if len(head) < 4 or head[:2] != b"\0\0" or head[2] != _BYTES:
                raise InputError(
                    f"{path} is no IDX file of bytes; it begins with {head.hex()}."
                    + found_instead(path)
                )
            axes = head[3]
            lengths = file.read(4 * axes)
            shape = tuple(int(size) for size in np.frombuffer(lengths, ">u4")) if axes else ()
            expected = math.prod(shape)
            if zipped:
                # The file says how much it unpacks to before it does.
                limits.check("unpacked_bytes", expected, name=str(path), what="bytes of images")
                limits.check_ratio(expected, stored, name=str(path))
            # One byte more shows whether there are more; of a plain file there are never more
            # than it is long, whatever its head says.
            content = file.read(min(expected, expected if zipped else stored) + 1)
    except (OSError, EOFError, zlib.error, ValueError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"{path} cannot be read: {error}") from error
    if len(lengths) != 4 * axes or len(content) != expected:
        more = "more" if len(content) > expected else f"{len(content)}"
        raise InputError(
            f"{path} must hold {expected} bytes for the shape {list(shape)}; it holds {more}. "
            "The file is damaged; get it again."
        )
    return np.frombuffer(content, np.uint8).reshape(shape)
