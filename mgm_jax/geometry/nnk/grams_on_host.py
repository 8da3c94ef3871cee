"""Gram matrices of neighbourhoods on a CPU, by the linear algebra of NumPy.

The features never reach compiled code, so that points of another width compile nothing anew, and
of a symmetric product one triangle is computed.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from mgm_jax.geometry.backend.row_products import row_products

# Differences, or groups, that stay near a core until their products are done.
_BLOCK_BYTES = 2**20
_GROUPS_BYTES = 2**21
# Squared distance on the unit sphere from which up nothing is lost by products about the origin.
_APART = 2.0**-6


def group_grams_on_host(
    points: np.ndarray, rows: np.ndarray, mask: np.ndarray, *, normalize: bool
) -> tuple[np.ndarray, np.ndarray]:
    """What :func:`mgm_jax.geometry.nnk.neighbourhood.group_gram` says of many groups.

    A few groups at a time stay in the cache of a core from the first step to the product, and
    Python says little to each. Nothing depends on the padding.

    Args:
        points: ``[n, d]``.
        rows: the points of each group, ``[g, m]`` int.
        mask: which of the rows count, ``[g, m]`` bool.
        normalize: whether to put the points on the unit sphere first.

    Returns:
        Matrices ``[g, m, m]`` float64 and squared lengths ``[g, m]``.
    """
    from scipy.linalg import get_blas_funcs

    grams = np.zeros((*mask.shape, mask.shape[1]))
    lengths = np.zeros(mask.shape)
    (ger,) = get_blas_funcs(("ger",), dtype=np.float64)
    for groups, places, wide in _wide_groups(points, rows, mask):
        count = wide.shape[1]
        squared = np.vecdot(wide, wide)
        scale = np.ones_like(squared)
        if normalize:
            scale /= np.sqrt(np.where(squared > 0, squared, 1))
        # The points stay as long as they are, and the mean is taken off at the length of each:
        # one pass over them instead of three. Their products are put on the sphere.
        means = ((scale / count)[:, None] @ wide)[:, 0]
        for group, mean, length in zip(wide, means, 1 / scale, strict=True):
            ger(-1.0, mean, length, a=group.T, overwrite_a=1)
        products = row_products(wide, np.empty((len(wide), count, count)))
        products *= scale[:, :, None] * scale[:, None]
        squared *= scale**2
        resolved = np.diagonal(products, axis1=1, axis2=2).max(axis=1, keepdims=True) / 4
        grams[groups[:, None, None], places[:, :, None], places[:, None]] = products
        lengths[groups] = resolved
        lengths[groups[:, None], places] = np.maximum(squared, resolved)
    return grams, lengths


def unit_grams_on_host(points: np.ndarray, rows: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """Gram matrices of groups on the unit sphere, each about an origin that keeps the digits.

    Points that are well apart are multiplied as they are. About the mean of their group are those
    of groups in which two points are near each other.

    Args:
        points: ``[n, d]``, none of them zero.
        rows: the points of each group, ``[g, m]`` int.
        mask: which of the rows count, ``[g, m]`` bool.

    Returns:
        ``[g, m, m]`` float64, symmetric, 0 where masked.
    """
    grams = np.zeros((*mask.shape, mask.shape[1]))
    near = np.zeros(len(mask), bool)
    for groups, places, wide in _wide_groups(points, rows, mask):
        count = wide.shape[1]
        products = row_products(wide, np.empty((len(wide), count, count)))
        scale = 1 / np.sqrt(np.diagonal(products, axis1=1, axis2=2))
        products *= scale[:, :, None] * scale[:, None]
        pairs = products.reshape(len(products), -1) > 1 - _APART / 2
        near[groups] = np.count_nonzero(pairs, axis=1) > count
        if count == mask.shape[1]:
            grams[groups] = products
        else:
            grams[groups[:, None, None], places[:, :, None], places[:, None]] = products
    if near.any():
        grams[near] = group_grams_on_host(points, rows[near], mask[near], normalize=True)[0]
    return grams


def _wide_groups(
    points: np.ndarray, rows: np.ndarray, mask: np.ndarray
) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """A few groups of one size at a time: which, the places of their points, these in float64.

    The array of the points is to be written to, and the same at every turn.
    """
    sizes = np.count_nonzero(mask, axis=1)
    for size in np.unique(sizes[sizes > 0]).tolist():
        groups = np.flatnonzero(sizes == size)
        places = np.nonzero(mask[groups])[1].reshape(-1, size)
        step = min(max(1, _GROUPS_BYTES // (8 * size * points.shape[1])), len(groups))
        room = np.empty((step, size, points.shape[1]))
        for start in range(0, len(groups), step):
            part = slice(start, start + step)
            wide = room[: len(groups[part])]
            wide[:] = points[rows[groups[part, None], places[part]]]
            yield groups[part], places[part], wide


def gathered_grams_on_host(
    points: np.ndarray, rows: np.ndarray, neighbours: np.ndarray, *, normalize: bool
) -> tuple[np.ndarray, np.ndarray]:
    """What :func:`mgm_jax.geometry.nnk.neighbourhood.gathered_gram` says.

    Args:
        points: the cloud, ``[n, d]``.
        rows: the points, ``[b]`` int.
        neighbours: their candidates, ``[b, k]`` int.
        normalize: whether the cloud is meant on the unit sphere.

    Returns:
        ``[b, k, k]`` float64, and the squared lengths of the points, ``[b]``.
    """
    b, k = neighbours.shape
    grams, lengths = np.empty((b, k, k)), np.empty(b)
    step = max(1, _BLOCK_BYTES // (8 * k * points.shape[1]))
    for start in range(0, b, step):
        part = slice(start, start + step)
        own = _prepared(points, rows[part], normalize=normalize)
        lengths[part] = np.einsum("bd,bd->b", own, own)
        differences = _prepared(points, neighbours[part].ravel(), normalize=normalize)
        differences = differences.reshape(len(own), k, -1)
        differences -= own[:, None]
        # NumPy sees that a matrix meets its own transpose, and computes one triangle only.
        np.matmul(differences, differences.transpose(0, 2, 1), out=grams[part])
    return grams, lengths


def _prepared(points: np.ndarray, rows: np.ndarray, *, normalize: bool) -> np.ndarray:
    """Some points in float64, on the unit sphere if ``normalize``."""
    wide = points[rows].astype(np.float64)
    if normalize:
        length = np.sqrt(np.einsum("bd,bd->b", wide, wide))
        wide /= np.where(length > 0, length, 1)[:, None]
    return wide
