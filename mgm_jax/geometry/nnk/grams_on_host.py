"""Gram matrices of neighbourhoods on a CPU, by the linear algebra of NumPy.

The features never reach compiled code, so that points of another width compile nothing anew, and
of a symmetric product one triangle is computed.
"""

from __future__ import annotations

import numpy as np

from mgm_jax.geometry.backend.row_products import row_products, strip_height

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
    squared, scales = np.zeros(mask.shape), np.ones(mask.shape)
    counts = np.count_nonzero(mask, axis=1)
    # Points come first but where a mask leaves holes.
    in_front = (mask == (np.arange(mask.shape[1]) < counts[:, None])).all(axis=1)
    room = np.empty(points.shape[1:])
    (ger,) = get_blas_funcs(("ger",), (room,))
    for group, count in enumerate(counts.tolist()):
        if not count:
            continue
        rows = np.flatnonzero(mask[group])
        real = slice(0, count) if in_front[group] else rows
        wide = room[:count]
        wide[:] = points[group, real]
        squares = np.vecdot(wide, wide)
        scale = 1 / np.sqrt(np.where(squares > 0, squares, 1)) if normalize else np.ones(count)
        # The points stay as long as they are, and the mean is taken off at the length of each:
        # one pass over them instead of three. Their products are put on the sphere.
        mean = (scale / count) @ wide
        ger(-1.0, mean, 1 / scale, a=wide.T, overwrite_a=1)
        squared[group, real], scales[group, real] = squares, scale
        if in_front[group]:
            _symmetric_product(wide, out=grams[group, :count, :count])
        else:
            grams[group][np.ix_(rows, rows)] = _symmetric_product(
                wide, out=np.empty((count, count))
            )
    grams *= scales[:, :, None] * scales[:, None, :]
    resolved = np.diagonal(grams, axis1=1, axis2=2).max(axis=1) / 4
    return grams, np.maximum(squared * scales**2, resolved[:, None])


def _symmetric_product(rows: np.ndarray, *, out: np.ndarray) -> np.ndarray:
    """Gram matrix of rows, the same above and below the diagonal."""
    if len(rows) > _FEW_ROWS or strip_height(*rows.shape):
        return row_products(rows, out)
    np.matmul(rows, rows.copy().T, out=out)
    out += out.T.copy()
    out /= 2
    return out


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
