"""What hard data should give, in float64 or wider, and how far an answer is from it."""

from __future__ import annotations

import numpy as np

from tests.geometry.neighbour_oracle import all_distances

ONE_ROUNDING = 2.0**-23
TINY = float(np.finfo(np.float32).tiny)
# Cosine distances are known to 2^-80, and those below 2^-78 are reported as 0.
COSINE_FLOOR = 2.0**-78
# Candidates within 2^-23 of each other count as copies, which moves a slope of the shifted cosine
# by no more; weights sum up to less than 2.
COPIES = 2.0**-22


def dropped_weights(k: int) -> float:
    """How far leaving out weights up to 1e-6 of k candidates moves a slope, and copies do."""
    return k * 1e-6 + COPIES


def squared_gaps(x: np.ndarray) -> np.ndarray:
    """Squared distances of all pairs, ``[n, n]`` in extended precision."""
    wide = x.astype(np.longdouble)
    return np.stack([((wide - row) ** 2).sum(axis=1) for row in wide])


def unit_rows(x: np.ndarray) -> np.ndarray:
    """Rows of length 1, ``[n, d]`` in extended precision."""
    wide = x.astype(np.longdouble)
    wide = wide / np.abs(wide).max(axis=1, keepdims=True)
    return wide / np.sqrt((wide * wide).sum(axis=1, keepdims=True))


def check_neighbours(
    indices: np.ndarray,
    distances: np.ndarray,
    x: np.ndarray,
    metric: str,
    *,
    groups: np.ndarray | None = None,
    base: np.ndarray | None = None,
) -> None:
    """Fail unless a graph is exact: distances to one rounding, indices up to ties in float32.

    Below 1e-17 a cosine distance is as exact as its floor, no more.

    ``all_distances`` rounds the distances of extended precision once. Two that round to one
    float32 number may come in either order where their rounding differs in the last bit.
    """
    k = indices.shape[1]
    floor = COSINE_FLOOR if metric == "cosine" else TINY
    every = all_distances(x, x if base is None else base, metric).astype(np.float64)
    if base is None:
        np.fill_diagonal(every, np.inf)
    if groups is not None:
        every[groups[:, None] != groups[None, :]] = np.inf
    mine = np.take_along_axis(every, indices, axis=1)
    np.testing.assert_allclose(distances, mine, rtol=ONE_ROUNDING, atol=floor)
    np.testing.assert_allclose(distances, np.sort(every, axis=1)[:, :k], ONE_ROUNDING, atol=floor)
    assert all(np.unique(row).size == k for row in indices)
    # Reported distances rise, and of equal ones the smaller index comes first.
    step = np.diff(distances.astype(np.float64), axis=1)
    assert (step >= 0).all() and (np.diff(indices, axis=1)[step == 0] > 0).all()


def kkt_violation(
    x: np.ndarray,
    indices: np.ndarray,
    weights: np.ndarray,
    *,
    kernel: str,
    bandwidth: np.ndarray | None = None,
) -> np.ndarray:
    """Largest violation ``|min(theta, K theta - k)|`` of every point, from distances ``[n]``."""
    gaps = squared_gaps(unit_rows(x) if kernel == "cosine" else x)
    worst = np.zeros(len(x))
    for i, (row, theta) in enumerate(zip(indices, weights, strict=True)):
        chosen, theta = row[row >= 0], theta[row >= 0]
        among, own = gaps[np.ix_(chosen, chosen)], gaps[i, chosen]
        if kernel == "cosine":
            slope = (1 - among / 4) @ theta - (1 - own / 4)
        else:
            width = own.max() if bandwidth is None else bandwidth[i] ** 2
            width = 2 * (width if width > 0 else 1)
            slope = np.exp(-among / width) @ theta - np.exp(-own / width)
        worst[i] = np.abs(np.minimum(theta, slope)).max()
    return worst
