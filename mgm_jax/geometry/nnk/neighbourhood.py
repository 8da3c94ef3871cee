"""Points and their candidates as squared distances: the one form that all metrics start from.

There are two ways to it, with equal results. A small group has one Gram matrix, of which every
point takes its part: ``|x_j - x_l|^2 = G_jj + G_ll - 2 G_jl``. In a large cloud each point gathers
its candidates and multiplies their differences. All of it in float64.
"""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

from mgm_jax.geometry.nnk.gram_distances import squared_distances
from mgm_jax.geometry.nnk.kernel import COINCIDENT, SEEN, KernelName, gaussian, shifted_cosine
from mgm_jax.geometry.nnk.solve import NnkSolution, nnk_weights


class Candidates(NamedTuple):
    """Squared distances of b points and their k candidates; those below rounding are 0.

    Attributes:
        among: between candidates ``[b, k, k]`` float64.
        to_point: from candidates to the point ``[b, k]``.
        mask: which candidates count ``[b, k]`` bool.
        squared_length: of the points ``[b]``; what counts as zero is relative to it.
    """

    among: jax.Array
    to_point: jax.Array
    mask: jax.Array
    squared_length: jax.Array


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
        points before the mean was taken off, ``[m]``, or a quarter of the largest after it where
        that is more.
    """
    prepared = jnp.where(mask[:, None], prepare(points, normalize=normalize), 0)
    squared_lengths = jnp.sum(prepared**2, axis=1)
    mean = jnp.sum(prepared, axis=0) / jnp.maximum(jnp.sum(mask), 1)
    centred = jnp.where(mask[:, None], prepared - mean, 0)
    gram = centred @ centred.T
    # What the matrix cannot tell apart counts as equal too: its rounding is that of its largest
    # entry, far above that of the points where one of them lies far out.
    resolved = jnp.max(jnp.diagonal(gram)) / 4
    return (gram + gram.T) / 2, jnp.maximum(squared_lengths, resolved)


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
    distance = _above_rounding(squared_distances(gram), squared_lengths)
    # In units of the largest, a power of two, so that squares of any size fit into float32.
    _, exponent = jnp.frexp(jnp.max(distance))
    distance = jnp.ldexp(distance, -exponent).astype(jnp.float32)
    others = mask[:, None] & mask[None, :] & ~jnp.eye(m, dtype=bool)
    negative, positions = lax.top_k(jnp.where(others, -distance, -jnp.inf), k)
    real = jnp.isfinite(negative) & (jnp.arange(k) < wanted)
    return positions.astype(jnp.int32), real


def differences_in_group(gram: jax.Array, positions: jax.Array) -> jax.Array:
    """Gram matrices of differences of every member's candidates, ``[m, m]`` to ``[m, k, k]``."""
    m = gram.shape[0]
    to_point = jnp.take_along_axis(gram, positions, axis=1)
    among = gram[positions[:, :, None], positions[:, None, :]]
    own = gram[jnp.arange(m), jnp.arange(m)]
    return among - to_point[:, :, None] - to_point[:, None, :] + own[:, None, None]


def all_in_group(gram: jax.Array, mask: jax.Array, squared_lengths: jax.Array) -> Candidates:
    """Take all other members of a group as candidates of each, in the order of their places.

    Nothing is sorted or gathered: all points share one matrix of distances, and each leaves
    itself out by its mask.

    Args:
        gram: Gram matrix of the group, ``[m, m]``.
        mask: which places are points, ``[m]`` bool.
        squared_lengths: of the points, ``[m]``.

    Returns:
        Candidates of every member, with ``k = m``.
    """
    m = gram.shape[0]
    distance = squared_distances(gram)
    among = jnp.broadcast_to(distance, (m, m, m))
    return Candidates(
        _above_rounding(among, squared_lengths),
        _above_rounding(distance, squared_lengths),
        mask[:, None] & mask[None, :] & ~jnp.eye(m, dtype=bool),
        squared_lengths,
    )


def chosen_in_group(
    gram: jax.Array, positions: jax.Array, mask: jax.Array, squared_lengths: jax.Array
) -> Candidates:
    """Take the members at some places as candidates.

    Args:
        gram: Gram matrix of the group, ``[m, m]``.
        places: of every member's candidates, ``[m, k]`` int.
        mask: which of them count, ``[m, k]`` bool.
        squared_lengths: of the points, ``[m]``.

    Returns:
        Candidates of every member, in the order of ``places``.
    """
    distance = squared_distances(gram)
    among = distance[positions[:, :, None], positions[:, None, :]]
    to_point = jnp.take_along_axis(distance, positions, axis=1)
    return Candidates(
        _above_rounding(among, squared_lengths),
        _above_rounding(to_point, squared_lengths),
        mask,
        squared_lengths,
    )


def from_differences(gram: jax.Array, mask: jax.Array, squared_lengths: jax.Array) -> Candidates:
    """Read candidates off Gram matrices of differences.

    Args:
        gram: ``<x_j - x_i, x_l - x_i>`` of points i and candidates j, l, ``[b, k, k]``.
        mask: which candidates count, ``[b, k]`` bool.
        squared_lengths: of the points, ``[b]``.
    """
    to_point = jnp.maximum(jnp.diagonal(gram, axis1=1, axis2=2), 0)
    return Candidates(
        _above_rounding(squared_distances(gram), squared_lengths),
        _above_rounding(to_point, squared_lengths),
        mask,
        squared_lengths,
    )


def _above_rounding(distance: jax.Array, squared_lengths: jax.Array) -> jax.Array:
    """Set squared distances ``[b, ...]`` to 0 that are below the rounding of the points."""
    smallest = COINCIDENT * squared_lengths.reshape(-1, *[1] * (distance.ndim - 1))
    return jnp.where(distance <= smallest, 0, distance)


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

    # On a CPU one point at a time: a batched gather of all candidates is large, and far slower.
    def gram_of(chosen: tuple[jax.Array, jax.Array]) -> jax.Array:
        difference = gathered_differences(points, *chosen, normalize=normalize)
        return difference @ difference.T

    lengths = jnp.sum(prepare(points[rows], normalize=normalize) ** 2, axis=1)
    together = None if jax.default_backend() == "cpu" else 16
    return lax.map(gram_of, (rows, neighbours), batch_size=together), lengths


def regress(
    gram: jax.Array,
    mask: jax.Array,
    bandwidth: jax.Array | None,
    squared_length: jax.Array,
    *,
    kernel: KernelName,
    fallback: bool = True,
) -> tuple[NnkSolution, jax.Array]:
    """Kernel regression of points on their candidates from Gram matrices of differences.

    Args:
        gram: ``[b, k, k]`` float64.
        mask: which candidates count, ``[b, k]`` bool.
        bandwidth: as for :func:`regress_on`.
        squared_length: of the points, ``[b]``; what counts as zero is relative to it.
        kernel: which kernel; the cosine expects points on the unit sphere.
        fallback: as for :func:`regress_on`.

    Returns:
        The solution, and the squared distances among the candidates ``[b, k, k]``.
    """
    candidates = from_differences(gram, mask, squared_length)
    return regress_on(candidates, bandwidth, kernel=kernel, fallback=fallback), candidates.among


def regress_on(
    candidates: Candidates,
    bandwidth: jax.Array | None,
    *,
    kernel: KernelName,
    fallback: bool = True,
) -> NnkSolution:
    """Kernel regression of points on their candidates.

    Args:
        candidates: of b points.
        bandwidth: of the Gaussian, ``[b]``; None takes the distance of the farthest candidate.
            (A third of it, a common choice, leaves hardly a candidate out in high dimension.)
        kernel: which kernel; the cosine expects points on the unit sphere.
        fallback: whether points that the fast way cannot settle take the slow one at once; without
            it they are flagged alone.

    Returns:
        The solution.
    """
    among, to_point, mask, _ = candidates
    if kernel == "cosine":
        values, target = shifted_cosine(among), shifted_cosine(to_point)
    else:
        width = _farthest(to_point, mask) if bandwidth is None else bandwidth
        values = gaussian(among, width[:, None, None])
        target = gaussian(to_point, width[:, None])
    own = jnp.ones(mask.shape[0], values.dtype)
    return nnk_weights(values, target, mask, own, fallback=fallback)


def are_resolved(
    gram: jax.Array,
    mask: jax.Array,
    bandwidth: jax.Array | None,
    squared_length: jax.Array,
    *,
    rounding: jax.Array | float,
) -> jax.Array:
    """Whether a Gaussian sees nothing of what is lost between nearly equal points.

    Points closer than 2^-23 of their length count as one. The kernel values of two such points
    with a third differ by up to that distance over the bandwidth: nothing, unless the bandwidth is
    as small, as it is where all candidates of a point are nearly copies of it.

    Args:
        gram: Gram matrices of differences, ``[b, k, k]`` float64.
        mask: which candidates count, ``[b, k]`` bool.
        bandwidth: as for :func:`regress_on`.
        squared_length: of the points, ``[b]``.
        rounding: of the squared distances, absolute.

    Returns:
        ``[b]`` bool. Whether points that count as one are equal after all is not asked.
    """
    to_point = jnp.maximum(jnp.diagonal(gram, axis1=1, axis2=2), 0)
    smallest = COINCIDENT * squared_length
    others = ~jnp.eye(mask.shape[1], dtype=bool) & mask[:, :, None] & mask[:, None, :]
    met = jnp.any(others & (squared_distances(gram) <= smallest[:, None, None]), axis=(1, 2))
    met |= jnp.any(mask & (to_point <= smallest[:, None]), axis=1)
    width = _farthest(to_point, mask) if bandwidth is None else bandwidth
    # One division after the other: the square of a small bandwidth may be zero.
    rounded = rounding / width / width > SEEN
    return ~(rounded | (met & (jnp.sqrt(smallest) > SEEN * width)))


def _farthest(to_point: jax.Array, mask: jax.Array) -> jax.Array:
    """Distance of the farthest candidate, ``[b]``; 1 where all are at the point."""
    farthest = jnp.max(jnp.where(mask, to_point, 0), axis=1)
    return jnp.sqrt(jnp.where(farthest > 0, farthest, 1))
