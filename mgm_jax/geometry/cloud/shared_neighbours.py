"""Standard errors of means over points whose neighbourhoods overlap.

Estimates of dimension are means over points that share neighbours, and so depend on each other: the
usual error, which takes them for independent, is too small, by half at sixty neighbours. Two
points are taken to depend on each other by the share of their neighbourhoods that is common.
"""

from __future__ import annotations

import numpy as np


def overlap_error(influence: np.ndarray, neighbours: np.ndarray) -> float:
    """Root of ``sum_ij u_i u_j |N_i & N_j| / (k + 1)``, N_i the point with its k neighbours.

    The weights are 1 for a point with itself and make a positive semidefinite matrix, so that the
    sum is never below 0. It takes n (k + 1) additions: it is the squared length of what every point
    collects from the neighbourhoods that it is in.

    Args:
        influence: how far each point moves the estimate, ``[n]``; 0 where it did not enter.
        neighbours: rows ``[n, k]``.

    Example:
        >>> influence = np.array([1.0, -1.0, 1.0, -1.0])
        >>> overlap_error(influence, np.zeros((4, 0), int))  # as if independent
        2.0
    """
    n, k = neighbours.shape
    collected = influence + np.bincount(
        neighbours.ravel(), weights=np.repeat(influence, k), minlength=n
    )
    return float(np.sqrt(collected @ collected / (k + 1)))
