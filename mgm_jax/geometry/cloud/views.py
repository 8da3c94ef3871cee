# pyright: strict, reportMissingTypeStubs=false, reportUnknownMemberType=false
# pyright: reportUnknownVariableType=false, reportUnknownArgumentType=false
"""How views of one image compare with views of others: LiDAR, alignment, cosine, distance.

Each is computed from moments within and between groups (``grouped_moments``), so a function that
takes points has a twin that takes moments, for views that come in chunks.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from mgm_jax.errors import InputError
from mgm_jax.geometry.cloud.effective_rank import entropy_rank, squared_singular_values
from mgm_jax.geometry.cloud.grouped_moments import GroupedMoments, grouped_moments_of


def lidar(x: Any, groups: Any, *, delta: float = 1e-4) -> float:
    """Effective rank of what tells images apart from their views (Thilak et al. 2024).

    ``exp(-sum p log p)`` over the eigenvalues of ``W^-1/2 B W^-1/2``, with B the covariance of the
    group means, W the covariance within groups plus ``delta`` on the diagonal, and
    ``p = l / sum l + 1e-7``.

    Args:
        x: embeddings of views ``[n, d]``.
        groups: the image of every view; at least two views an image.
        delta: what keeps W invertible, in squared units of x.

    Returns:
        From about 1 to min(g - 1, d).

    Raises:
        InputError: unusable points, fewer than two groups, groups of one point, delta not above 0.

    Example:
        >>> views = np.repeat(np.eye(4), 2, axis=0)
        >>> round(lidar(views, np.repeat(np.arange(4), 2)), 3)
        3.0
    """
    _check_delta(delta)
    return lidar_of(grouped_moments_of(x, groups), delta=delta)


def lidar_of(moments: GroupedMoments, *, delta: float = 1e-4) -> float:
    """LiDAR of views of which only the moments are known; see ``lidar``.

    Args:
        moments: of the embeddings, with their scatter within groups.
        delta: what keeps W invertible.

    Raises:
        InputError: as ``lidar``; moments without the scatter.

    Example:
        >>> views = np.repeat(np.eye(4), 2, axis=0)
        >>> half = grouped_moments_of(views[::2], np.arange(4))
        >>> round(lidar_of(half.add(views[1::2], np.arange(4))), 3)
        3.0
    """
    _check_delta(delta)
    known = moments.several(least=2)
    if known.within is None:
        raise InputError(
            "moments must hold the scatter within groups; got none. "
            "Pass covariance=True to grouped_moments_of."
        )
    between = known.means - known.means.mean(axis=0)
    covariance = known.within / (known.count - len(known))
    whitened = _whitened(between, covariance, delta)
    return entropy_rank(squared_singular_values(whitened) / (len(known) - 1))


def alignment(x: Any, groups: Any) -> float:
    """Mean squared distance of two views of one image on the sphere (Wang & Isola 2020, alpha 2).

    ``mean over groups of mean over i != j of |u_i - u_j|^2`` with ``u = x / |x|``.

    Args:
        x: embeddings of views ``[n, d]``.
        groups: the image of every view; at least two views an image.

    Returns:
        From 0 (all views agree) to 4.

    Raises:
        InputError: unusable points, rows of zeros, groups of one point.

    Example:
        >>> alignment(np.eye(4), [0, 0, 1, 1])
        2.0
    """
    return alignment_of(grouped_moments_of(x, groups, on_sphere=True, covariance=False))


def alignment_of(moments: GroupedMoments) -> float:
    """Alignment of views of which only the moments on the sphere are known; see ``alignment``.

    Raises:
        InputError: groups of one point, or points that were not scaled to length 1.

    Example:
        >>> moments = grouped_moments_of(np.eye(4), [0, 0, 1, 1], on_sphere=True)
        >>> round(alignment_of(moments), 6)
        2.0
    """
    known = _on_sphere(moments).several()
    # The mean squared distance of n points is 2 / (n - 1) times their spread about their mean.
    return float(np.mean(2 * known.spreads / (known.sizes - 1)))


def mean_cosine(x: Any, *, groups: Any = None) -> float:
    """Mean cosine of two different points: how narrow the cone is that all of them lie in.

    ``mean over pairs of u_i'u_j`` with ``u = x / |x|``, from sums alone.

    Args:
        x: points ``[n, d]``.
        groups: one integer or string a point; then only pairs from different groups count, such
            as views of different images. None counts all pairs.

    Returns:
        From -1 / (n - 1) to 1; 1 is a collapsed cloud, 0 a spread one.

    Raises:
        InputError: unusable points, rows of zeros, only one group.

    Example:
        >>> mean_cosine(np.eye(3))
        0.0
    """
    moments = grouped_moments_of(x, groups, on_sphere=True, covariance=False)
    if groups is None:
        return mean_cosine_of(moments)
    _several_groups(moments)
    return mean_cosine_of(moments)


def mean_cosine_of(moments: GroupedMoments) -> float:
    """Mean cosine of points of which only the moments on the sphere are known.

    Args:
        moments: of one group of at least two points, of which all pairs count; or of several, of
            which the pairs from different groups do.

    Raises:
        InputError: one point, or points that were not scaled to length 1.

    Example:
        >>> mean_cosine_of(grouped_moments_of(np.eye(3), None, on_sphere=True))
        0.0
    """
    known = _on_sphere(moments)
    sizes = known.sizes.astype(np.float64)
    sums = known.means * sizes[:, None]
    total = sums.sum(axis=0)
    if len(known) == 1:
        # Every point has product 1 with itself.
        n = known.several().count
        return float((total @ total - n) / (n * (n - 1.0)))
    pairs = total @ total - np.sum(sums * sums)
    return float(pairs / (sizes.sum() ** 2 - sizes @ sizes))


def pair_distance(x: Any, *, groups: Any = None) -> float:
    """Root-mean-square distance of two different points on the sphere: what "far apart" means.

    ``sqrt(mean over pairs of |u_i - u_j|^2)`` with ``u = x / |x|``, from sums alone. All pairs
    count once, so that its expectation does not depend on how many points there are, as a
    distance to the nearest ones does.

    Args:
        x: points ``[n, d]``.
        groups: one integer or string a point; then only pairs from different groups count, such
            as views of different images. None counts all pairs.

    Returns:
        From 0 (a collapsed cloud) to ``sqrt(2 n / (n - 1))``; ``sqrt(2)`` where points are at
        right angles on average.

    Raises:
        InputError: unusable points, rows of zeros, only one point or one group.

    Example:
        >>> round(pair_distance(np.eye(3)), 6)
        1.414214
    """
    moments = grouped_moments_of(x, groups, on_sphere=True, covariance=False)
    if groups is not None:
        _several_groups(moments)
    return pair_distance_of(moments)


def pair_distance_of(moments: GroupedMoments) -> float:
    """Root-mean-square distance of points of which only the moments on the sphere are known.

    Args:
        moments: of one group of at least two points, of which all pairs count; or of several, of
            which the pairs from different groups do.

    Raises:
        InputError: one point, or points that were not scaled to length 1.

    Example:
        >>> moments = grouped_moments_of(np.eye(4), [0, 0, 1, 1], on_sphere=True)
        >>> round(pair_distance_of(moments), 6)
        1.414214
    """
    known = _on_sphere(moments)
    if len(known) == 1:
        return float(np.sqrt(alignment_of(known)))
    sizes = known.sizes.astype(np.float64)
    n = sizes.sum()
    # About the mean of all points, so that a narrow cone loses no digits: the squared distances
    # of all ordered pairs of m points add up to 2 m times their spread about their mean.
    shift = known.means - sizes @ known.means / n
    spread = known.spreads.sum() + sizes @ np.sum(shift * shift, axis=1)
    between = 2 * (n * spread - sizes @ known.spreads)
    return float(np.sqrt(max(between, 0) / (n * n - sizes @ sizes)))


def _several_groups(moments: GroupedMoments) -> None:
    if len(moments) < 2:
        raise InputError(
            "groups must name at least two groups, to compare points of different ones; got one."
        )


def _whitened(points: np.ndarray, covariance: np.ndarray, delta: float) -> np.ndarray:
    """Points ``[g, d]`` times a root R with ``R R' = (C + delta I)^-1``; any will do.

    All of them give the same singular values.
    """
    from scipy.linalg import LinAlgError, cholesky, solve_triangular

    shifted = covariance + delta * np.eye(len(covariance))
    try:
        root = cholesky(shifted, lower=True)
    except LinAlgError:
        # delta is below the rounding of the covariance: its eigenvalues still can be bounded.
        values, vectors = np.linalg.eigh(covariance)
        return points @ (vectors / np.sqrt(np.maximum(values, 0) + delta))
    # Few points are solved for faster than the whole root is inverted.
    return solve_triangular(root, points.T, lower=True).T


def _on_sphere(moments: GroupedMoments) -> GroupedMoments:
    if not moments.on_sphere:
        raise InputError(
            "moments must be of points of length 1; got points as they are. "
            "Pass on_sphere=True to grouped_moments_of."
        )
    return moments


def _check_delta(delta: float) -> None:
    if not delta > 0:
        raise InputError(f"delta must be above 0; got {delta}.")
