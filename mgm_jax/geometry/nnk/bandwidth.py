"""One Gaussian bandwidth for all points of a group, by the rule of arXiv 2210.17475."""

from __future__ import annotations

import warnings
from typing import Any, Literal

import jax
import numpy as np

from mgm_jax.errors import InputError
from mgm_jax.geometry.knn.search import find_neighbours
from mgm_jax.geometry.nnk.kernel import KernelName, check_bandwidth
from mgm_jax.geometry.points.checks import as_array, check_points, common_offset, normalise
from mgm_jax.geometry.points.duplicates import distinct_rows
from mgm_jax.geometry.points.groups import Groups, encode_groups
from mgm_jax.parallel.devices import fetch

BandwidthRule = Literal["hurtado"]
"""A rule that finds the bandwidth from the points: see :func:`hurtado_bandwidth`."""

#: The neighbour whose squared distance is averaged, the first being the nearest other point.
NEIGHBOUR = 15


def bandwidths(
    points: jax.Array | np.ndarray,
    groups: Groups,
    bandwidth: float | np.ndarray | BandwidthRule | None,
    *,
    kernel: KernelName,
    normalize: bool = False,
) -> np.ndarray | None:
    """Gaussian bandwidths as numbers, ``[n]`` float64; None where each point gets its own.

    Args:
        points: ``[n, d]``, checked.
        groups: of the points.
        bandwidth: numbers, a rule, or None.
        kernel: only the Gaussian has a bandwidth.
        normalize: whether the kernel will see the points on the unit sphere.

    Raises:
        InputError: an unknown rule, or as :func:`check_bandwidth` and :func:`hurtado_bandwidth`.
    """
    if not isinstance(bandwidth, str):
        return check_bandwidth(bandwidth, len(points), kernel=kernel)
    if bandwidth != "hurtado":
        raise InputError(
            f"bandwidth must be a number, one number a point, or 'hurtado'; got {bandwidth!r}."
        )
    check_bandwidth(1.0, len(points), kernel=kernel)
    seen = fetch(normalise(points)) if normalize else points
    return hurtado_bandwidth(seen, groups=groups.codes)


def tell_of_narrow_kernel(
    degree: np.ndarray, widths: np.ndarray | None, *, stacklevel: int = 3
) -> None:
    """Warn where a kernel of a width that was given vanishes at every candidate of points.

    Args:
        degree: NNK neighbours of every point, ``[n]``.
        widths: its bandwidth ``[n]``; None where each point got its own, which always reaches one.
        stacklevel: as in :func:`warnings.warn`.
    """
    lonely = int(np.sum(degree == 0))
    if widths is None or not lonely:
        return
    warnings.warn(
        f"{lonely} of {len(degree)} points have no neighbour: a Gaussian kernel of the bandwidth "
        f"{np.median(widths):.3g} (the median) vanishes at all their candidates. Scale the points, "
        "or pass a larger bandwidth, or None for one a point.",
        stacklevel=stacklevel,
    )


def hurtado_bandwidth(x: Any, *, groups: Any = None) -> np.ndarray:
    """Bandwidth of the Gaussian kernel as in arXiv 2210.17475, one value for a whole group.

    Theirs is the kernel ``exp(-d^2 / (2 s))`` with ``s = (mean_i d_i^2 / 3)^2``, d_i the distance
    of point i to its 15th neighbour. As ``bandwidth`` of :func:`mgm_jax.nnk_graph`, whose kernel is
    ``exp(-d^2 / (2 b^2))``, that is ``b = mean_i d_i^2 / 3``. Note that b is a squared distance:
    points scaled by c want a kernel that is c times wider still, so the rule gives the same graph
    only for points on the same scale, such as unit vectors.

    Args:
        x: points ``[n, d]``.
        groups: one integer or string a point; neighbours are sought and averaged within a group.

    Returns:
        One bandwidth a point ``[n]`` float64, equal within a group. In a group of fewer than 16
        points d_i is the distance to the farthest other point.

    Raises:
        InputError: unusable points, a group of one point, or a group whose points coincide.

    Reference:
        C. Hurtado, S. Shekkizhar, J. Ruiz-Hidalgo and A. Ortega, "Study of manifold geometry using
        multiscale non-negative kernel graphs", arXiv:2210.17475, and the code of the thesis.

    Example:
        >>> hurtado_bandwidth(np.arange(3.0)[:, None]).tolist()
        [1.0, 1.0, 1.0]
    """
    x = as_array(x)
    points = np.asarray(fetch(check_points(x, offset=common_offset(x))))
    partition = encode_groups(groups, len(points))
    widths = np.empty(len(points))
    for value, rows in zip(partition.values, partition.members(), strict=True):
        if rows.size < 2:
            raise InputError(
                f"bandwidth: 'hurtado' needs groups of at least 2 points; the group {value!s} has "
                "one. Leave it out."
            )
        cloud, k = points[rows], min(NEIGHBOUR, rows.size - 1)
        one = encode_groups(None, rows.size)
        distinct = distinct_rows(cloud, one)
        results = find_neighbours(cloud, one, k=k, metric="euclidean", distinct=distinct)
        width = float(np.mean(np.asarray(results.distances, np.float64)[:, -1] ** 2)) / 3
        if width <= 0:
            raise InputError(
                f"bandwidth: 'hurtado' needs points that differ; all {rows.size} points of the "
                f"group {value!s} have their {NEIGHBOUR} nearest neighbours at distance 0. Leave "
                "repeated points out."
            )
        widths[rows] = width
    return widths
