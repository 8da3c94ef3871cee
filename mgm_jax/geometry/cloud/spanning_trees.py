"""Intrinsic dimension from the length of minimum spanning trees (Steele 1988).

The tree through n points of an m-dimensional manifold has a length that grows like n^((m-1)/m), for
any density: no neighbourhood has to be chosen. Lengths of trees through ever fewer of the points
give the slope (Costa and Hero 2004 fit geodesic graphs so; this is the plain Euclidean tree).
"""

from __future__ import annotations

import numpy as np

# Halved three times: the smallest trees are through an eighth of the points.
_HALVINGS = 3
MIN_POINTS = 2**_HALVINGS * 8
"""Fewest points that three halvings leave trees of eight for."""


def tree_length(squared: np.ndarray) -> float:
    """Length of the minimum spanning tree, by Prim's algorithm.

    Args:
        squared: squared distances of all pairs, ``[n, n]``, n at least 1.

    Example:
        >>> tree_length(np.square([[0.0, 1.0, 3.0], [1.0, 0.0, 2.0], [3.0, 2.0, 0.0]]))
        3.0
    """
    nearest = squared[0].copy()
    # What is in the tree is never the nearest again.
    nearest[0] = np.inf
    inside = np.zeros(len(squared), bool)
    inside[0] = True
    length = 0.0
    for _ in range(len(squared) - 1):
        new = int(np.argmin(nearest))
        length += float(np.sqrt(nearest[new]))
        inside[new] = True
        np.minimum(nearest, squared[new], out=nearest)
        nearest[inside] = np.inf
    return length


def tree_dimension(squared: np.ndarray, *, rng: np.random.Generator) -> float:
    """``1 / (1 - a)``, a the slope of log length over log number of points.

    The points are halved at random three times. Every part has its tree, and what is fitted are the
    means over the 1, 2, 4 and 8 parts, so that every point enters at every size.

    Args:
        squared: squared distances of all pairs, ``[n, n]``, n at least 64.
        rng: what halves the points.

    Returns:
        The dimension, at least 1 up to chance; NaN where the points coincide, infinity where the
        length grows like n or faster, as for points that are all equally far from each other.
    """
    order = rng.permutation(len(squared))
    sizes, lengths = [], []
    for level in range(_HALVINGS + 1):
        parts = np.array_split(order, 2**level)
        sizes.append(len(order) / len(parts))
        lengths.append(np.mean([tree_length(squared[np.ix_(part, part)]) for part in parts]))
    if not min(lengths) > 0:
        return float("nan")
    slope = np.polyfit(np.log(sizes), np.log(lengths), 1)[0]
    return float(1 / (1 - slope)) if slope < 1 else float("inf")


def tree_dimension_with_error(
    squared: np.ndarray, *, halves: int, rng: np.random.Generator
) -> tuple[float, float]:
    """The dimension, and its standard error in 1 / dimension by the delete-half jackknife.

    Over random halves h of the points, ``mean (1/m_h - mean 1/m_h)^2`` is the variance of the
    estimate from all of them (Shao and Wu 1989, with as many points deleted as are kept). The
    estimate is the median over as many ways to halve all points.

    Args:
        squared: as in ``tree_dimension``, n at least twice as large.
        halves: number of halves, at least 2.
        rng: what draws them.
    """
    n = len(squared)
    whole = [1 / tree_dimension(squared, rng=rng) for _ in range(_SPLITS)]
    parts = []
    for _ in range(halves):
        half = rng.permutation(n)[: n // 2]
        parts.append(1 / tree_dimension(squared[np.ix_(half, half)], rng=rng))
    return float(np.median(whole)), float(np.std(parts))


# Ways to halve all points: what chance adds falls below a third of the standard error.
_SPLITS = 3
