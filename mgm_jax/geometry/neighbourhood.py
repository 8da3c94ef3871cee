"""Points and their candidates as Gram matrices of differences: the one form all metrics take.

There are two ways to it, with equal results. A small group has one Gram matrix, of which every
point takes its part: ``<x_j - x_i, x_l - x_i> = G_jl - G_ji - G_il + G_ii``. In a large cloud
each point gathers its candidates and multiplies their differences. All of it in float64.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jax import lax

from mgm_jax.geometry.kernel import COINCIDENT, KernelName, gaussian, shifted_cosine
from mgm_jax.geometry.nnk import NnkSolution, nnk_weights
from mgm_jax.geometry.polytope import squared_distances


def prepare(points: jax.Array, *, normalize: bool) -> jax.Array:
    """Points in float64, on the unit sphere if ``normalize``; any leading axes.

    The square of every float32 number, however large or small, has its place in float64.
    """
    wide = points.astype(jnp.float64)
    if not normalize:
        return wide
    length = jnp.sqrt(jnp.sum(wide * wide, axis=-1, keepdims=True))
    return wide / jnp.where(length > 0, length, 1)


def group_gram(
    points: jax.Array, mask: jax.Array, *, normalize: bool
) -> tuple[jax.Array, jax.Array]:
    """Gram matrix of one group about its mean.

    Taking the mean off first keeps the digits of the differences where all points are alike.

    Args:
        points: ``[m, d]``.
        mask: which rows are points, ``[m]`` bool.
        normalize: whether to put the points on the unit sphere first.

    Returns:
        The matrix ``[m, m]`` float64, symmetric, 0 where masked; and the squared lengths of the
        points before the mean was taken off, ``[m]``.
    """
    placed = jnp.where(mask[:, None], prepare(points, normalize=normalize), 0)
    squared_lengths = jnp.sum(placed**2, axis=1)
    mean = jnp.sum(placed, axis=0) / jnp.maximum(jnp.sum(mask), 1)
    centred = jnp.where(mask[:, None], placed - mean, 0)
    gram = centred @ centred.T
    return (gram + gram.T) / 2, squared_lengths


def nearest_in_group(
    gram: jax.Array,
    mask: jax.Array,
    squared_lengths: jax.Array,
    *,
    k: int,
    wanted: jax.Array | int,
) -> tuple[jax.Array, jax.Array]:
    """Nearest other members of every member of a group; ties go to the earlier place.

    Args:
        gram: Gram matrix of the group, ``[m, m]``.
        mask: which places are points, ``[m]`` bool.
        squared_lengths: of the points, ``[m]``; what counts as zero is relative to them.
        k: columns of the result.
        wanted: how many candidates to take, at most k.

    Returns:
        Places ``[m, k]`` int32 by rising distance, and which of them are candidates
        ``[m, k]`` bool. Distances are compared in float32: what float64 adds is the rounding of
        the matrix, which must not order equal points.
    """
    m = gram.shape[0]
    distance = squared_distances(gram)
    distance = jnp.where(distance <= COINCIDENT * squared_lengths[:, None], 0, distance)
    distance = distance.astype(jnp.float32)
    others = mask[:, None] & mask[None, :] & ~jnp.eye(m, dtype=bool)
    negative, places = lax.top_k(jnp.where(others, -distance, -jnp.inf), k)
    found = jnp.isfinite(negative) & (jnp.arange(k) < wanted)
    return places.astype(jnp.int32), found


def differences_in_group(gram: jax.Array, places: jax.Array) -> jax.Array:
    """Gram matrices of differences of every member's candidates, ``[m, m]`` to ``[m, k, k]``."""
    m = gram.shape[0]
    to_point = jnp.take_along_axis(gram, places, axis=1)
    among = gram[places[:, :, None], places[:, None, :]]
    own = gram[jnp.arange(m), jnp.arange(m)]
    return among - to_point[:, :, None] - to_point[:, None, :] + own[:, None, None]


def gathered_differences(
    points: jax.Array, row: jax.Array, neighbours: jax.Array, *, normalize: bool
) -> jax.Array:
    """Differences of one point of a cloud to its candidates.

    Args:
        points: the cloud, ``[n, d]``.
        row: the point, a scalar int.
        neighbours: its candidates, ``[k]`` int.
        normalize: whether the cloud is meant on the unit sphere.

    Returns:
        ``x_j - x_i``, shape ``[k, d]`` float64.
    """
    own = prepare(points[row], normalize=normalize)
    return prepare(points[neighbours], normalize=normalize) - own


def gathered_gram(
    points: jax.Array, rows: jax.Array, neighbours: jax.Array, *, normalize: bool
) -> tuple[jax.Array, jax.Array]:
    """Gram matrices of differences of some points of a cloud.

    Args:
        points: the cloud, ``[n, d]``.
        rows: the points, ``[b]`` int.
        neighbours: their candidates, ``[b, k]`` int.
        normalize: whether the cloud is meant on the unit sphere.

    Returns:
        ``[b, k, k]`` float64, and the squared lengths of the points, ``[b]``.
    """

    # One point at a time: a batched gather of all candidates is large, and far slower.
    def gram_of(chosen: tuple[jax.Array, jax.Array]) -> jax.Array:
        difference = gathered_differences(points, *chosen, normalize=normalize)
        return difference @ difference.T

    lengths = jnp.sum(prepare(points[rows], normalize=normalize) ** 2, axis=1)
    return lax.map(gram_of, (rows, neighbours)), lengths


def regress(
    gram: jax.Array,
    mask: jax.Array,
    bandwidth: jax.Array | None,
    squared_length: jax.Array,
    *,
    kernel: KernelName,
) -> tuple[NnkSolution, jax.Array]:
    """Kernel regression of points on their candidates from Gram matrices of differences.

    Args:
        gram: ``[b, k, k]`` float64.
        mask: which candidates count, ``[b, k]`` bool.
        bandwidth: of the Gaussian, ``[b]``; None takes the distance of the farthest candidate.
            (A third of it, a common choice, leaves hardly a candidate out in high dimension.)
        squared_length: of the points, ``[b]``; what counts as zero is relative to it.
        kernel: which kernel; the cosine expects points on the unit sphere.

    Returns:
        The solution, and the squared distances among the candidates ``[b, k, k]``, those below
        rounding set to 0.
    """
    smallest = COINCIDENT * squared_length
    to_point = jnp.diagonal(gram, axis1=1, axis2=2)
    to_point = jnp.where(to_point <= smallest[:, None], 0, to_point)
    among = squared_distances(gram)
    among = jnp.where(among <= smallest[:, None, None], 0, among)
    if kernel == "cosine":
        values, target = shifted_cosine(among), shifted_cosine(to_point)
    else:
        farthest = jnp.max(jnp.where(mask, to_point, 0), axis=1)
        farthest = jnp.sqrt(jnp.where(farthest > 0, farthest, 1))
        width = farthest if bandwidth is None else bandwidth
        values = gaussian(among, width[:, None, None])
        target = gaussian(to_point, width[:, None])
    own = jnp.ones(mask.shape[0], values.dtype)
    return nnk_weights(values, target, mask, own), among
