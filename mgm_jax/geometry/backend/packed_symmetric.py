"""Symmetric matrices as rectangles of half as many numbers, and their inner products, on the host.

Of a matrix ``[[A, B], [B', C]]`` with an odd number of rows r, of which A holds (r + 1) / 2, the
rows ``[A B]`` hold the triangle of A above its diagonal twice. That is as many places as C has on
and above its own, which stand there instead. The diagonal is kept over the square root of 2, so
that half an inner product of two matrices is the plain one of what is kept. The rows come from one
product of matrices and C from another, without anything of B' being computed.
"""

from __future__ import annotations

from functools import cache

import numpy as np

from mgm_jax.geometry.backend.row_products import row_products

_ROOT = np.sqrt(0.5)


def packed_size(r: int) -> int:
    """Numbers that are kept of a symmetric matrix of r rows, r odd.

    >>> packed_size(3)
    6
    """
    return _half(r) * r


def packed_sums(left: np.ndarray, right: np.ndarray, out: np.ndarray) -> np.ndarray:
    """Symmetric matrices ``sum_p left[p] right[p]'``, packed.

    Args:
        left: ``[b, p, r]``, r odd.
        right: the same shape; the sum has to be symmetric.
        out: where to write, ``[b, packed_size(r)]``.

    Returns:
        ``out``.

    Example:
        >>> rows = np.array([[[1.0, 2.0, 3.0]]])
        >>> packed = packed_sums(rows, rows, np.empty((1, 6)))
        >>> packed_products(packed[None]).round(12).item()
        196.0
    """
    b, _, r = left.shape
    half = _half(r)
    rows = out.reshape(b, half, r)
    np.matmul(left[:, :, :half].transpose(0, 2, 1), right, out=rows)
    rest = r - half
    if rest:
        corner = left[:, :, half:].transpose(0, 2, 1) @ right[:, :, half:]
        np.copyto(rows[:, :rest, 1 : rest + 1], corner, where=_upper(rest))
    for part in _diagonal(out, r):
        part *= _ROOT
    return out


def add_to_diagonal(packed: np.ndarray, values: np.ndarray) -> None:
    """Add ``values`` ``[b, r]`` to the diagonals of packed matrices ``[b, t]``."""
    r = values.shape[1]
    half = _half(r)
    first, last = _diagonal(packed, r)
    first += _ROOT * values[:, :half]
    last += _ROOT * values[:, half:]


def packed_products(packed: np.ndarray) -> np.ndarray:
    """Inner products of all pairs of packed matrices, ``[g, m, t]`` to ``[g, m, m]``."""
    g, m, _ = packed.shape
    products = row_products(packed, np.empty((g, m, m)))
    products *= 2
    return products


def _half(r: int) -> int:
    return (r + 1) // 2


def _diagonal(packed: np.ndarray, r: int) -> tuple[np.ndarray, np.ndarray]:
    """Views of the diagonals of A and of C."""
    return packed[:, :: r + 1], packed[:, 1 :: r + 1][:, : r - _half(r)]


@cache
def _upper(size: int) -> np.ndarray:
    return np.triu(np.ones((size, size), bool))
