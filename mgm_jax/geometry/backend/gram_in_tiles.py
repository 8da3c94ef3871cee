"""Inner products of all pairs of rows on a CPU, the same to the last bit on any number of threads.

A library that spreads one product over its own threads cuts it by their number, and the last bits
follow the cut. Here the tiles are always the same, and each is the work of one thread.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np

from mgm_jax.geometry.backend.workers import in_stages, one_thread_a_product

# Rows of the matrix that are one task: fewer in a small one, so that two threads have enough tasks,
# and a multiple of what a kernel takes at once.
_MIN_ROWS, _MAX_ROWS, _STEP = 128, 256, 8


def gram_in_tiles(wide: np.ndarray, *, workers: int) -> np.ndarray:
    """Gram matrix ``[n, n]`` of rows ``[n, d]`` float64: symmetric, last bits included.

    Args:
        wide: the rows.
        workers: threads to work on.

    >>> gram_in_tiles(np.array([[3.0, 4.0], [1.0, 0.0]]), workers=1).tolist()
    [[25.0, 3.0], [3.0, 1.0]]
    """
    gram = np.empty((len(wide), len(wide)))
    with one_thread_a_product():
        in_stages([tiles_of_gram(wide, out=gram)], workers=workers)
    return gram


def rows_of_tiles(n: int) -> list[slice]:
    """Rows of the matrix of n points that each of the calls of :func:`tiles_of_gram` is for.

    >>> rows_of_tiles(300)
    [slice(0, 128, None), slice(128, 256, None), slice(256, 300, None)]
    """
    quarter = -(-n // (4 * _STEP)) * _STEP
    step = min(max(quarter, _MIN_ROWS), _MAX_ROWS)
    return [slice(start, min(start + step, n)) for start in range(0, n, step)]


def tiles_of_gram(wide: np.ndarray, *, out: np.ndarray) -> list[Callable[[], None]]:
    """Calls that fill in the Gram matrix, side by side, a thread a product.

    After one of them, and those before it, all of its rows are there (:func:`rows_of_tiles`).

    Args:
        wide: rows ``[n, d]`` float64.
        out: the matrix ``[n, n]``.
    """

    def fill(rows: slice) -> None:
        rest = slice(rows.stop, len(wide))
        tile = wide[rows]
        # NumPy sees that a matrix meets its own transpose: what comes is symmetric.
        np.matmul(tile, tile.T, out=out[rows, rows])
        np.matmul(tile, wide[rest].T, out=out[rows, rest])
        out[rest, rows] = out[rows, rest].T

    # The longest first, so that the workers end together.
    return [partial(fill, rows) for rows in rows_of_tiles(len(wide))]
