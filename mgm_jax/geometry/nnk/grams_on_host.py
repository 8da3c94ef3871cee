"""Gram matrices of neighbourhoods on a CPU, by the linear algebra of NumPy.

The features never reach compiled code, so that points of another width compile nothing anew, and
of a symmetric product one triangle is computed.
"""

from __future__ import annotations

import numpy as np

# Differences that stay in the cache of a core until their product is done.
_BLOCK_BYTES = 2**20
# Of so few rows a product in full is faster than its triangle.
_FEW_ROWS = 24


def group_grams_on_host(
    points: np.ndarray, mask: np.ndarray, *, normalize: bool
) -> tuple[np.ndarray, np.ndarray]:
    """What :func:`mgm_jax.geometry.nnk.neighbourhood.group_gram` says of many groups.

    A group stays in the cache of a core from the first step to the product. Nothing depends on
    the padding.

    Args:
        points: ``[g, m, d]``.
        mask: which rows are points, ``[g, m]`` bool.
        normalize: whether to put the points on the unit sphere first.

    Returns:
        Matrices ``[g, m, m]`` float64 and squared lengths ``[g, m]``.
    """
    from scipy.linalg import get_blas_funcs

    grams = np.zeros((*mask.shape, mask.shape[1]))
    lengths = np.zeros(mask.shape)
    room = np.empty(points.shape[1:])
    (ger,) = get_blas_funcs(("ger",), (room,))
    for group, (rows, real) in enumerate(zip(points, mask, strict=True)):
        count = int(np.count_nonzero(real))
        if not count:
            continue
        wide = room[:count]
        wide[:] = rows if count == len(real) else rows[real]
        squared = np.vecdot(wide, wide)
        scale = 1 / np.sqrt(np.where(squared > 0, squared, 1)) if normalize else np.ones(count)
        # The points stay as long as they are, and the mean is taken off at the length of each:
        # one pass over them instead of three. Their products are put on the sphere.
        mean = (scale / count) @ wide
        ger(-1.0, mean, 1 / scale, a=wide.T, overwrite_a=1)
        product = _symmetric_product(wide)
        product *= scale[:, None] * scale
        squared *= scale**2
        resolved = np.diagonal(product).max() / 4
        grams[group][np.ix_(real, real)] = product
        lengths[group] = resolved
        lengths[group, real] = np.maximum(squared, resolved)
    return grams, lengths


def _symmetric_product(rows: np.ndarray) -> np.ndarray:
    """Gram matrix of rows, the same above and below the diagonal."""
    if len(rows) > _FEW_ROWS:
        # NumPy sees that a matrix meets its own transpose, and computes one triangle only.
        return rows @ rows.T
    product = rows @ rows.copy().T
    return (product + product.T) / 2


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
