"""Inner products of all pairs of rows on a CPU, the same to the last bit on any number of threads.

A library that spreads one product over its own threads cuts it by their number, and the last bits
follow the cut. Here the tiles are always the same, and each is the work of one thread.
"""

from __future__ import annotations

from functools import partial

import numpy as np

from mgm_jax.geometry.backend.workers import in_order, one_thread_a_product

# Rows of the matrix that are one task.
_ROWS = 256


def gram_in_tiles(wide: np.ndarray, *, workers: int) -> np.ndarray:
    """Gram matrix ``[n, n]`` of rows ``[n, d]`` float64: symmetric, last bits included.

    Args:
        wide: the rows.
        workers: threads to work on.

    >>> gram_in_tiles(np.array([[3.0, 4.0], [1.0, 0.0]]), workers=1).tolist()
    [[25.0, 3.0], [3.0, 1.0]]
    """
    n = len(wide)
    gram = np.empty((n, n))

    def fill(start: int) -> None:
        stop = min(start + _ROWS, n)
        rows, rest = slice(start, stop), slice(stop, n)
        tile = wide[rows]
        # NumPy sees that a matrix meets its own transpose: what comes is symmetric.
        gram[rows, rows] = tile @ tile.T
        np.matmul(tile, wide[rest].T, out=gram[rows, rest])
        gram[rest, rows] = gram[rows, rest].T

    # The longest first, so that the workers end together.
    calls = [partial(fill, start) for start in range(0, n, _ROWS)]
    with one_thread_a_product():
        for _ in in_order(calls, workers=workers):
            pass
    return gram
