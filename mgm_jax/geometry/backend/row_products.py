"""Inner products of all rows of small matrices, by the linear algebra of NumPy.

NumPy sees that a matrix meets its own transpose, and asks for one triangle of the product. OpenBLAS
copies the rows for it to where its kernel wants them, which for a few dozen rows takes as long as
the product. With 512-bit registers it leaves the copy out of products of up to a million
multiplications: there strips of eight or four rows, each with the rows from its own on, take two
thirds of the time. Elsewhere they would take a third more.
"""

from __future__ import annotations

from functools import cache

import numpy as np

from mgm_jax.geometry.backend.workers import blas_architectures

# What OpenBLAS calls processors with 512-bit registers.
_WIDE = ("SkylakeX", "Cooperlake", "SapphireRapids")
# Most multiplications of a product that is made without copies, and the rows of a strip.
_UNCOPIED = 10**6
_STRIPS = (8, 4)
# Of more rows than this the copies cost less than the strips.
_MAX_ROWS = 128


def row_products(rows: np.ndarray, out: np.ndarray) -> np.ndarray:
    """Inner products of the rows of matrices, the same above and below the diagonal.

    Args:
        rows: ``[..., n, k]`` float64.
        out: where to write, ``[..., n, n]``.

    Returns:
        ``out``.

    Example:
        >>> row_products(np.eye(2)[None], np.empty((1, 2, 2))).tolist()
        [[[1.0, 0.0], [0.0, 1.0]]]
    """
    count, length = rows.shape[-2:]
    others = rows.swapaxes(-1, -2)
    height = strip_height(count, length)
    if not height:
        return np.matmul(rows, others, out=out)
    for start in range(0, count, height):
        strip = slice(start, start + height)
        np.matmul(rows[..., strip, :], others[..., start:], out=out[..., strip, start:])
    np.copyto(out, out.swapaxes(-1, -2).copy(), where=_below_diagonal(count))
    return out


def strip_height(count: int, length: int) -> int:
    """Rows of the strips that so many rows of a length are multiplied in; 0 for all at once.

    >>> strip_height(1000, 1000)
    0
    """
    if count <= _MAX_ROWS and _copies_little():
        for height in _STRIPS:
            if height < count and height * count * length <= _UNCOPIED:
                return height
    return 0


@cache
def _copies_little() -> bool:
    names = blas_architectures()
    return bool(names) and all(name in _WIDE for name in names)


@cache
def _below_diagonal(size: int) -> np.ndarray:
    return np.tril(np.ones((size, size), bool), -1)
