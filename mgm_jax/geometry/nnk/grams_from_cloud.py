"""Gram matrices of neighbourhoods on a CPU, looked up in the one of their whole cloud.

``<x_j - x_i, x_l - x_i>`` is four entries of the Gram matrix of the cloud. Where the matrix fits
and the neighbourhoods overlap, one large product makes all its entries in far less time than the
small products of each neighbourhood take.
"""

from __future__ import annotations

import jax
import numpy as np

from mgm_jax.geometry.knn.cpu.by_gram import CloudGram, gram_of_cloud
from mgm_jax.geometry.knn.distance import Metric

# Bytes of the Gram matrix of a cloud: of 8192 points.
_GRAM_BYTES = 2**29
# Above this share of the cloud's own spread, squared distances keep 12 digits in its Gram matrix.
_NEAR_SHARE = 1e-4
# Costs in products of the small matrices of neighbourhoods, as measured for 1500 to 6000 points of
# 512 and 2048 features: of a product of the large matrix, beyond the one in float32 that a search
# without it makes; of an entry of it, to write it and to select the nearest; to look an entry up;
# and to gather a value of a candidate and take the point off.
_PRODUCT, _ENTRY, _LOOK_UP, _GATHER = 0.7, 400, 1000, 160


def cloud_gram_if_worth(points: np.ndarray, *, k: int, metric: Metric) -> CloudGram | None:
    """Make the Gram matrix of a cloud where it is the fast way to all of its neighbourhoods.

    Args:
        points: ``[n, d]``.
        k: neighbours of every point.
        metric: ``"cosine"`` for points that are meant on the unit sphere.

    Returns:
        The matrix on a CPU, where it fits and costs less than to multiply the differences of every
        point to its neighbours, and to search for these without it; None elsewhere.
    """
    n, d = points.shape
    if jax.default_backend() != "cpu" or 8 * n**2 > _GRAM_BYTES:
        return None
    if _PRODUCT * n * d / 2 + _ENTRY * n + _LOOK_UP * k**2 >= k * (k + _GATHER) * d:
        return None
    return gram_of_cloud(points, metric=metric)


def look_up_differences(
    cloud: CloudGram, rows: np.ndarray, neighbours: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Gram matrices of the differences of some points to their neighbours, in scaled units.

    Args:
        cloud: of all points.
        rows: the points, ``[b]`` int.
        neighbours: of each, ``[b, k]`` int.

    Returns:
        ``[b, k, k]`` float64, symmetric; and which points have a neighbour so much closer to them
        than the cloud is wide that digits are lost, ``[b]`` bool: their differences should be
        multiplied themselves.
    """
    n = len(cloud.own)
    wide = neighbours.astype(np.intp)
    half = cloud.gram[rows[:, None], wide] - cloud.own[rows, None] / 2
    grams = cloud.gram.reshape(-1).take(wide[:, :, None] * n + wide[:, None, :])
    grams -= half[:, :, None] + half[:, None, :]
    squared = np.diagonal(grams, axis1=1, axis2=2)
    return grams, (squared < _NEAR_SHARE * cloud.own.max()).any(axis=1)
