"""Squared distances of points and candidates in pairs of float32, the points in the last axes."""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from mgm_jax.geometry.backend import pairs
from mgm_jax.geometry.backend.exact_products import gram_in_pairs
from mgm_jax.geometry.backend.pairs import Pair
from mgm_jax.geometry.nnk.in_pairs.pivot import diagonal_of
from mgm_jax.geometry.nnk.kernel import COINCIDENT

# Values of the differences that are cut into digits together.
_TOGETHER = 2**22
# Rounding of a squared distance, relative to the largest.
_ROUNDING = 16 * pairs.EPSILON
# Squared length below which a point has no digits left where others are about 1.
_FAINT = 2.0**-40
# Points that fill the tiles of a TPU, and the lanes of one.
_TILE, _LANES = 1024, 128


class PairCandidates(NamedTuple):
    """Squared distances of points ``*b`` and their k candidates; those of copies are 0.

    Attributes:
        among: between candidates, pairs ``[k, k, *b]``.
        to_point: from candidates to the point, pairs ``[k, *b]``.
        mask: which candidates count ``[k, *b]`` bool.
        blurred: whether rounding hides which candidates are copies ``[*b]`` bool.
        reach: squared distance of the farthest candidate, copies or not, ``[*b]`` float32.
    """

    among: Pair
    to_point: Pair
    mask: jax.Array
    blurred: jax.Array
    reach: jax.Array


def to_lanes(values: jax.Array) -> jax.Array:
    """Move the points from the first axis to the last: ``[b, ...]`` to ``[..., *b]``."""
    moved = jnp.moveaxis(values, 0, -1)
    if moved.shape[-1] % _TILE:
        return moved
    return moved.reshape(*moved.shape[:-1], -1, _LANES)


def from_lanes(values: jax.Array, axes: int) -> jax.Array:
    """Move them back, behind ``axes`` axes of candidates: ``[..., *b]`` to ``[b, ...]``."""
    return jnp.moveaxis(values.reshape(*values.shape[:axes], -1), -1, 0)


def directions(points: jax.Array) -> Pair:
    """Points ``[..., d]`` on the unit sphere, pairs; rows of zeros stay."""
    largest = jnp.max(jnp.abs(points), axis=-1, keepdims=True)
    scaled = points * inverse_power(largest)
    squares = pairs.total(pairs.two_product(scaled, scaled), axis=-1)
    length = pairs.square_root(squares)
    there = length.high > 0
    safe = pairs.where(there, length, Pair(np.float32(1), np.float32(0)))
    inverse = pairs.divide(pairs.constant(1, safe.high), safe)[..., None]
    return pairs.multiply(pairs.from_float32(scaled), inverse)


def gathered(
    points: jax.Array, rows: jax.Array, neighbours: jax.Array, *, normalize: bool
) -> tuple[PairCandidates, Pair, jax.Array, jax.Array]:
    """Distances of some points of a cloud and their candidates, from differences.

    Args:
        points: the cloud ``[n, d]`` float32.
        rows: the points ``[b]`` int.
        neighbours: their candidates ``[b, k]`` int.
        normalize: whether the cloud is meant on the unit sphere.

    Returns:
        The candidates, Gram matrices of the differences to them, pairs ``[k, k, *b]``, the unit
        that both are in, a power of two ``[*b]``, and the squared lengths of the points in that
        unit ``[*b]``.
    """
    b, k = neighbours.shape

    def block(chosen: tuple[jax.Array, jax.Array]) -> tuple[Pair, jax.Array, jax.Array]:
        row, others = chosen
        own, near = points[row], points[others]
        if normalize:
            own_pair, near_pair = directions(own), directions(near)
            gap = pairs.subtract(near_pair, own_pair[None])
            length, unit = jnp.ones((), jnp.float32), jnp.ones((), jnp.float32)
        else:
            inverse = inverse_power(jnp.maximum(jnp.max(jnp.abs(near)), jnp.max(jnp.abs(own))))
            own, near = own * inverse, near * inverse
            gap = pairs.two_sum(near, -own[None])
            length, unit = jnp.sum(own * own), 1 / inverse
        return gram_in_pairs(gap), length, unit

    together = max(1, min(b, _TOGETHER // (k * points.shape[1])))
    gram, length, unit = lax.map(block, (rows, neighbours), batch_size=together)
    gram, length, unit = gram.map(to_lanes), to_lanes(length), to_lanes(unit)
    to_point = gram.map(diagonal_of)
    both = pairs.add(to_point[:, None], to_point[None])
    among = pairs.subtract(both, pairs.scale(gram, 2))
    mask = jnp.ones(to_point.shape, bool)
    largest = jnp.maximum(jnp.max(to_point.high, axis=0), jnp.max(among.high, axis=(0, 1)))
    results = above_rounding(among, to_point, mask, length, largest)
    results = results._replace(blurred=results.blurred | (length < _FAINT))
    return results, gram, unit, length


def above_rounding(
    among: Pair,
    to_point: Pair,
    mask: jax.Array,
    squared_length: jax.Array,
    largest: jax.Array,
) -> PairCandidates:
    """Set squared distances to 0 that are below the rounding of the points.

    Args:
        among: ``[k, k, *b]``.
        to_point: ``[k, *b]``.
        mask: which candidates count, ``[k, *b]`` bool.
        squared_length: of the points ``[*b]``.
        largest: squared distance of the Gram matrix that these come from ``[*b]``.
    """
    smallest = COINCIDENT * squared_length
    k = mask.shape[0]
    others = ~np.eye(k, dtype=bool).reshape(k, k, *[1] * (mask.ndim - 1))
    among = pairs.where(mask[:, None] & mask[None] & others, among, pairs.ZERO)
    to_point = pairs.where(mask, to_point, pairs.ZERO)

    def unclear(squared: jax.Array) -> jax.Array:
        near = jnp.abs(squared - smallest) <= _ROUNDING * largest
        return jnp.any((squared != 0) & near, axis=tuple(range(squared.ndim - smallest.ndim)))

    reach = jnp.max(to_point.high, axis=0)
    blurred = unclear(among.high) | unclear(to_point.high)
    among = pairs.where(among.high > smallest, among, pairs.ZERO)
    to_point = pairs.where(to_point.high > smallest, to_point, pairs.ZERO)
    return PairCandidates(among, to_point, mask, blurred, reach)


class GroupDistances(NamedTuple):
    """Squared distances of all members of g groups of at most m points.

    Attributes:
        gram: Gram matrices about a point in the middle, pairs ``[g, m, m]``, in units of ``unit``
            squared; 0 where masked.
        squared: squared distances, pairs ``[g, m, m]``, in that unit; 0 of copies, and of rounding
            a little below 0.
        squared_length: of the members, in the same unit ``[g, m]``.
        unit: a power of two ``[g]``.
        faint: whether a member is too small to be told from the origin in that unit ``[g, m]``.
    """

    gram: Pair
    squared: Pair
    squared_length: jax.Array
    unit: jax.Array
    faint: jax.Array


def group_distances(points: jax.Array, mask: jax.Array, *, normalize: bool) -> GroupDistances:
    """Squared distances within groups, about the mean of each.

    Args:
        points: ``[g, m, d]`` float32.
        mask: which rows are points ``[g, m]`` bool.
        normalize: whether to put the points on the unit sphere first.
    """
    points = jnp.where(mask[:, :, None], points, 0)
    if normalize:
        scaled, unit = directions(points), jnp.ones(len(points), jnp.float32)
    else:
        inverse = inverse_power(jnp.max(jnp.abs(points), axis=(1, 2)))
        scaled, unit = pairs.from_float32(points * inverse[:, None, None]), 1 / inverse
    lengths = jnp.sum(scaled.high * scaled.high, axis=2)
    # Any point in the middle will do: it need not be the mean to the last digit.
    count = jnp.maximum(jnp.sum(mask, axis=1), 1)
    middle = jnp.sum(scaled.high, axis=1) / count[:, None]
    centred = pairs.subtract(scaled, pairs.from_float32(middle[:, None]))
    centred = pairs.where(mask[:, :, None], centred, pairs.ZERO)
    gram = gram_in_pairs(centred)
    own = gram.map(lambda part: jnp.diagonal(part, axis1=1, axis2=2))
    both = pairs.add(own[:, :, None], own[:, None])
    squared = pairs.subtract(both, pairs.scale(gram, 2))
    resolved = jnp.max(own.high, axis=1, keepdims=True) / 4
    return GroupDistances(gram, squared, jnp.maximum(lengths, resolved), unit, lengths < _FAINT)


def nearest_in_groups(
    distances: GroupDistances, mask: jax.Array, *, k: int, wanted: jax.Array
) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Nearest other members of every member; as ``nearest_in_group``, of g groups.

    Args:
        distances: of the groups.
        mask: which places are points ``[g, m]`` bool.
        k: columns of the result.
        wanted: how many candidates to take ``[g]``, at most k.

    Returns:
        Places ``[g, m, k]`` int32, which of them are candidates ``[g, m, k]`` bool, and whether
        rounding may have changed their order ``[g, m]`` bool.
    """
    m = mask.shape[1]
    smallest = COINCIDENT * distances.squared_length[:, :, None]
    far = distances.squared.high > smallest
    squared = pairs.where(far, distances.squared, pairs.ZERO)
    others = mask[:, :, None] & mask[:, None] & ~jnp.eye(m, dtype=bool)
    # One more than asked for, which may be as near as the last.
    negative, positions = lax.top_k(jnp.where(others, -squared.high, -jnp.inf), min(k + 1, m))
    real = jnp.isfinite(negative)
    sorted_low = jnp.take_along_axis(squared.low, positions, axis=2)
    values = Pair(jnp.where(real, -negative, 0), jnp.where(real, sorted_low, 0))
    # What is near the bound could be on either side of it, but for copies, which differ by 0.
    near = jnp.abs(distances.squared.high - smallest)
    largest = jnp.max(jnp.where(others, squared.high, 0), axis=(1, 2))[:, None, None]
    unclear = others & (distances.squared.high != 0) & (near <= _ROUNDING * largest)
    step = jnp.abs(pairs.subtract(values[:, :, 1:], values[:, :, :-1]).high)
    close = (step > 0) & (step <= _ROUNDING * largest) & real[:, :, 1:]
    blurred = jnp.any(close & (jnp.arange(step.shape[2]) < wanted[:, None, None]), axis=2)
    blurred |= unclear.any(axis=2) | distances.faint
    positions, real = positions[:, :, :k], real[:, :, :k]
    return positions.astype(jnp.int32), real & (jnp.arange(k) < wanted[:, None, None]), blurred


def chosen_in_groups(
    distances: GroupDistances, positions: jax.Array, mask: jax.Array
) -> PairCandidates:
    """Take the members at some places as candidates, of all members of g groups.

    Args:
        distances: of the groups.
        places: of every member's candidates ``[g, m, k]`` int.
        mask: which of them count ``[g, m, k]`` bool.
    """
    g, m, k = positions.shape

    def select(part: jax.Array) -> tuple[jax.Array, jax.Array]:
        rows = jax.vmap(lambda matrix, chosen: matrix[chosen])(part, positions)
        columns = jnp.swapaxes(rows, 2, 3)
        block = jnp.take_along_axis(columns, positions[..., None], axis=2)
        to_point = jnp.take_along_axis(part, positions, axis=2)
        flat = block.reshape(g * m, k, k), to_point.reshape(g * m, k)
        return to_lanes(flat[0]), to_lanes(flat[1])

    high, low = select(distances.squared.high), select(distances.squared.low)
    lanes = to_lanes(mask.reshape(g * m, k)), to_lanes(distances.squared_length.reshape(g * m))
    largest = jnp.broadcast_to(jnp.max(distances.squared.high, axis=(1, 2))[:, None], (g, m))
    return above_rounding(
        Pair(high[0], low[0]), Pair(high[1], low[1]), *lanes, to_lanes(largest.reshape(-1))
    )


def inverse_power(largest: jax.Array) -> jax.Array:
    """The inverse of a power of two that is at most twice a positive number; 1 of 0."""
    field = lax.bitcast_convert_type(largest, jnp.int32) >> 23
    field = jnp.where(largest > 0, jnp.clip(field, 1, 252), 127)
    return lax.bitcast_convert_type((254 - field) << 23, jnp.float32)
