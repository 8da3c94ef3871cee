"""Products of all rows with each other, and their eigenvalues: what few rows of many features have.

Rows may be read; then two blocks are in memory at a time.
"""

from __future__ import annotations

import numpy as np

from mgm_jax.probe.features import Features


def mean_of(x: Features, block_rows: int | None) -> np.ndarray:
    """Mean of features ``[n, d]``, ``[d]`` float64."""
    total = np.zeros(x.shape[1])
    for _, block in x.blocks(block_rows):
        total += block.sum(axis=0, dtype=np.float64)
    return total / x.shape[0]


def products_of_rows(x: Features, mean: np.ndarray, block_rows: int | None) -> np.ndarray:
    """``(X - mean)(X - mean)'``, ``[n, n]`` float64.

    Args:
        x: features ``[n, d]``.
        mean: ``[d]``.
        block_rows: rows read at a time; all are read once for every block. None for all.
    """
    gram = np.empty((x.shape[0], x.shape[0]))
    for rows, block in x.blocks(block_rows):
        centred = block - mean
        gram[rows, rows] = centred @ centred.T
        if not rows.start:
            continue
        for others, before in x.take(np.arange(rows.start)).blocks(block_rows):
            gram[rows, others] = centred @ (before - mean).T
            gram[others, rows] = gram[rows, others].T
    return gram


def real_eigenvalues(
    values: np.ndarray, vectors: np.ndarray, *, size: int
) -> tuple[np.ndarray, np.ndarray]:
    """Those of a float64 product that are more than rounding.

    Args:
        values: ascending.
        vectors: their eigenvectors, as columns.
        size: the larger side of the factors.
    """
    real = values > max(values[-1], 0) * size * np.finfo(np.float64).eps
    return values[real], vectors[:, real]
