"""Pairs of a number and an index as one 64-bit key, so that a plain sort orders by both.

The bits of a float32 of at least 0 sort like its value. They stand above those of the index, so
equal values come in the order of the indices.
"""

from __future__ import annotations

import numpy as np

EMPTY = np.uint64(2**64 - 1)
"""Key of a place that nobody fills; it sorts last."""

_INDEX_BITS = np.uint64(32)


def pack_keys(values: np.ndarray, indices: np.ndarray) -> np.ndarray:
    """Keys of values and indices of one shape, or of shapes that broadcast, uint64.

    Args:
        values: float32, at least 0 (and not a negative zero).
        indices: integers from 0 to 2^31 - 1.
    """
    bits = np.ascontiguousarray(values).view(np.uint32).astype(np.uint64)
    return bits << _INDEX_BITS | indices.astype(np.uint64)


def unpack_keys(keys: np.ndarray, *, nobody: int) -> tuple[np.ndarray, np.ndarray]:
    """Values float32 and indices int32 of keys; infinity and ``nobody`` for empty ones.

    >>> keys = pack_keys(np.array([2.0, 2.0], np.float32), np.array([7, 3]))
    >>> unpack_keys(np.sort(np.append(keys, EMPTY)), nobody=-1)[1].tolist()
    [3, 7, -1]
    """
    values = (keys >> _INDEX_BITS).astype(np.uint32).view(np.float32)
    indices = keys.astype(np.uint32).view(np.int32)
    empty = keys == EMPTY
    if not empty.any():
        return values, indices
    return np.where(empty, np.float32(np.inf), values), np.where(empty, np.int32(nobody), indices)
