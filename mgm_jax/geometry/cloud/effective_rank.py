"""From eigenvalues to one number: the entropy of their shares, the slope of their decay."""

from __future__ import annotations

import numpy as np

RANK_EPSILON = 1e-7
"""What RankMe and LiDAR add to every share."""

POWER_LAW_RANKS = (11, 100)
"""Ranks that alpha-ReQ is fitted over, where three of them are left."""


def entropy_rank(values: np.ndarray, *, epsilon: float = RANK_EPSILON) -> float:
    """``exp(-sum p log p)`` with ``p_i = v_i / sum v + epsilon`` (Roy & Vetterli 2007).

    Args:
        values: at least 0, in any order.
        epsilon: keeps the logarithm finite.

    Returns:
        From about 1 (one value carries all) to the number of values.

    Example:
        >>> round(entropy_rank(np.ones(3)), 3)
        3.0
    """
    total = values.sum()
    shares = (values / total if total > 0 else np.zeros_like(values)) + epsilon
    return float(np.exp(-np.sum(shares * np.log(shares))))


def power_law(eigenvalues: np.ndarray, *, rounding: float = 0.0) -> float:
    """Alpha of ``l_i ~ i^-alpha``, by least squares of the logarithms with weight 1/i.

    Args:
        eigenvalues: descending; those that float64 rounds off the largest are left out.
        rounding: what the points were rounded by, as an eigenvalue; no more than it is left out.

    Returns:
        Alpha over ranks 11 to 100, over all ranks where fewer than three of these are left; NaN
        where fewer than three eigenvalues are.

    Example:
        >>> round(power_law(1 / np.arange(1.0, 50.0)), 6)
        1.0
    """
    # A share of the largest eigenvalue would do no more than this: one strong direction (a massive
    # activation) must not take the others out of the fit.
    floor = eigenvalues[0] * eigenvalues.size * np.finfo(np.float64).eps + rounding
    last = int(np.sum(eigenvalues > floor))
    ranks = np.arange(POWER_LAW_RANKS[0], min(POWER_LAW_RANKS[1], last) + 1)
    if ranks.size < 3:
        ranks = np.arange(1, last + 1)
    if ranks.size < 3:
        return float("nan")
    logs = np.log(ranks)
    slope, _ = np.polyfit(logs, np.log(eigenvalues[ranks - 1]), 1, w=1 / np.sqrt(ranks))
    return float(-slope)


def rounding_eigenvalue(squares: np.ndarray, *, count: int, features: int) -> float:
    """Largest eigenvalue of a covariance that rounding the points to float32 makes of nothing.

    Rounding moves each value by at most 2^-24 of itself, independently, so that its spectrum ends
    at the edge of Marchenko and Pastur; values of unequal size are allowed for by a factor.

    Args:
        squares: squared singular values of the points as they are; their sum is that of all values.
        count: points.
        features: of each.
    """
    mean_square = float(squares.sum()) / (count * features)
    return 4 / 3 * 2.0**-48 * mean_square * (1 + np.sqrt(features / count)) ** 2


def squared_singular_values(points: np.ndarray) -> np.ndarray:
    """Eigenvalues of the smaller of the two Gram matrices, ``[min(n, d)]``, descending.

    >>> squared_singular_values(np.array([[3.0], [4.0]])).tolist()
    [25.0]
    """
    rows, columns = points.shape
    return eigenvalues_of(points @ points.T if rows < columns else points.T @ points)


def eigenvalues_of(gram: np.ndarray) -> np.ndarray:
    """Eigenvalues of a Gram matrix, descending, what rounds below 0 set to 0.

    >>> eigenvalues_of(np.diag([1.0, 2.0])).tolist()
    [2.0, 1.0]
    """
    return np.maximum(np.linalg.eigvalsh(gram)[::-1], 0)
