"""Points in memory that XLA reads where it lies.

What XLA is handed it copies, unless it begins at an address that suits it. Every copy is new
memory, which the system hands out page by page, filled with zeros: that takes longer than to copy
wide points, and for blocks of 32 MiB, as they are ranked in, several times as long.
"""

from __future__ import annotations

import jax
import numpy as np

from mgm_jax.geometry.knn.distance import Points

# Addresses that suit XLA on CPUs are multiples of this.
_ALIGNMENT = 64
# Rows of the smallest block.
_MIN_ROWS = 256


def take_on_device(points: Points, chosen: np.ndarray, *, rows: int) -> Points:
    """Some points on the device, filled up with zeros; float64 must be on.

    Args:
        points: ``[n, d]`` on the host.
        chosen: rows of theirs.
        rows: how many points there are in the end.
    """
    room = _room_for(points, rows)
    for whole, part in zip(room, points, strict=True):
        # No row is out of bounds; without this NumPy would take them into memory of its own first.
        np.take(part, chosen, axis=0, out=whole[: len(chosen)], mode="clip")
        whole[len(chosen) :] = 0
    return jax.device_put(room, may_alias=True)


class BlockBuffer:
    """Room for one block of points on the device, which one block after another takes.

    Args:
        points: ``[n, d]`` on the host.
        rows: of a block; in a small cloud a block has fewer, one of few numbers.
    """

    def __init__(self, points: Points, *, rows: int) -> None:
        size = min(rows, max(_MIN_ROWS, 1 << (len(points.values) - 1).bit_length()))
        self._points, self._room = points, _room_for(points, size)

    def load(self, start: int) -> Points:
        """The block that begins at a row, filled up with zeros; float64 must be on.

        It takes the place of the block before, which nobody may be reading any more.
        """
        for room, part in zip(self._room, self._points, strict=True):
            block = part[start : start + len(room)]
            room[: len(block)] = block
            room[len(block) :] = 0
        return jax.device_put(self._room, may_alias=True)


def _room_for(points: Points, rows: int) -> Points:
    """Empty arrays for so many points, each of which begins where XLA need not copy it."""
    return Points(*(_aligned((rows, *part.shape[1:]), part.dtype) for part in points))


def _aligned(shape: tuple[int, ...], dtype: np.dtype) -> np.ndarray:
    size = int(np.prod(shape)) * dtype.itemsize
    raw = np.empty(size + _ALIGNMENT, np.uint8)
    offset = -raw.ctypes.data % _ALIGNMENT
    return raw[offset : offset + size].view(dtype).reshape(shape)
