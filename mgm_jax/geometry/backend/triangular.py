"""Inverses of many small triangular matrices at once, on the host.

A call of LAPACK costs more than the work where a matrix is small, and NumPy's takes a triangle as
full. Here blocks of four rows are inverted by substitution, each step for all blocks of all
matrices, and put together two by two by products of matrices.
"""

from __future__ import annotations

import numpy as np
from numpy.lib.stride_tricks import as_strided

_BLOCK = 4


def inverse_of_lower(factor: np.ndarray) -> np.ndarray:
    """Inverses of lower triangular matrices.

    Args:
        factor: ``[b, p, p]`` float64, p a multiple of 4; nothing above the diagonal is read.

    Returns:
        ``[b, p, p]``, lower triangular.

    Example:
        >>> inverse_of_lower(2 * np.eye(4)[None])[0].diagonal().tolist()
        [0.5, 0.5, 0.5, 0.5]
    """
    p = factor.shape[1]
    inverse = np.zeros(factor.shape)
    _invert_blocks(_blocks(factor), _blocks(inverse))
    width = _BLOCK
    while width < p:
        for start in range(0, p - width, 2 * width):
            middle = start + width
            first, last = slice(start, middle), slice(middle, min(middle + width, p))
            between = factor[:, last, first] @ inverse[:, first, first]
            between = inverse[:, last, last] @ between
            np.negative(between, out=inverse[:, last, first])
        width *= 2
    return inverse


def _blocks(matrices: np.ndarray) -> np.ndarray:
    """The blocks along the diagonals with what counts last, ``[4, 4, b, blocks]``, a view."""
    b, p, _ = matrices.shape
    of_matrix, of_row, of_column = matrices.strides
    return as_strided(
        matrices,
        (_BLOCK, _BLOCK, b, p // _BLOCK),
        (of_row, of_column, of_matrix, _BLOCK * (of_row + of_column)),
    )


def _invert_blocks(blocks: np.ndarray, out: np.ndarray) -> None:
    places = [(row, column) for row in range(_BLOCK) for column in range(row + 1)]
    own = {place: blocks[place].copy() for place in places}
    inverse = {(row, row): 1 / own[row, row] for row in range(_BLOCK)}
    for row in range(1, _BLOCK):
        for column in range(row):
            total = own[row, column] * inverse[column, column]
            for between in range(column + 1, row):
                total += own[row, between] * inverse[between, column]
            total *= -inverse[row, row]
            inverse[row, column] = total
    for place, values in inverse.items():
        out[place] = values
