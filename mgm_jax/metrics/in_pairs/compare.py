"""The polytopes of a large group compared: each with those of its neighbours and of chance.

Two polytopes have as many products of features as the product of their degrees, which differ much:
points of like degree are compared side by side, the others in the order of their degrees, and
places that are empty all over are left out. So the widest polytope of a group costs what it costs,
not what it would if all were as wide, and no number has to be known to compile.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jax import lax

from mgm_jax.geometry.backend.pairs import Pair
from mgm_jax.metrics.in_pairs.frames import frames_of
from mgm_jax.metrics.in_pairs.subspaces import CHUNK, PairSubspaces, chunks_of
from mgm_jax.metrics.local import Affinity, affinities

# Values of the differences that are gathered at once, of each of two parts: 32 MiB.
_GATHERED_VALUES = 2**23
# Polytopes that one is compared with at once, at least: the differences to their neighbours, eight
# of each, then fill a matrix unit, and a TPU's compiler takes them from memory as it multiplies.
_OTHERS = 14

_HIGHEST = lax.Precision.HIGHEST


def compare_rows(
    cloud: Pair, subspaces: PairSubspaces, rows: jax.Array, partners: jax.Array, *, k: int
) -> tuple[Affinity, jax.Array]:
    """Compare the subspaces of some points with those of their neighbours and of chance.

    Args:
        cloud: as it is compared, ``[n, d]``, in pairs or with low parts None.
        subspaces: of all its points.
        rows: points to compare ``[b]`` int.
        partners: rows of random partners ``[b, r]`` int, -1 for none.
        k: candidates of every point.

    Returns:
        Columns, each ``[b]`` float32; and how far the frames of the points are from orthonormal
        ``[b]``.
    """
    degree = subspaces.degree[rows]
    near = subspaces.neighbours[rows][:, :k]
    others = jnp.concatenate([near, jnp.maximum(partners, 0)], axis=1)
    counted = jnp.concatenate([jnp.arange(k) < degree[:, None], partners >= 0], axis=1)
    overlap, defect = _overlaps(cloud, subspaces, rows, others, counted, k=k)
    dimensions = subspaces.dimension[rows], subspaces.dimension[others]
    width = cloud.high.shape[1]
    return affinities(overlap, counted, *dimensions, width, near=k), defect


def _overlaps(
    cloud: Pair,
    subspaces: PairSubspaces,
    rows: jax.Array,
    others: jax.Array,
    counted: jax.Array,
    *,
    k: int,
) -> tuple[jax.Array, jax.Array]:
    """Squared norms of the products of two frames ``[b, c]``, and defects of the first ``[b]``."""
    (b, c), d = others.shape, cloud.high.shape[1]
    turns = max(1, c // _OTHERS)
    at_once = -(-c // turns)
    most = max(1, min(b, _GATHERED_VALUES // (at_once * CHUNK * d)))
    beside = 1 << most.bit_length() - 1
    more = -b % beside
    rows = jnp.pad(rows, (0, more))
    others = jnp.pad(others, [(0, more), (0, turns * at_once - c)])
    counted = jnp.pad(counted, [(0, more), (0, turns * at_once - c)])
    # What is to be multiplied, the most first: of the others of each point, and of the points.
    sizes = jnp.where(counted, subspaces.degree[others], 0)
    column = jnp.broadcast_to(jnp.arange(others.shape[1]), others.shape)
    negative, others, column = lax.sort((-sizes, others, column), num_keys=1)
    # Of one degree, those whose neighbours have the most.
    order = jnp.argsort(negative[:, 0] - (k + 1) * subspaces.degree[rows])

    def by_blocks(values: jax.Array) -> jax.Array:
        return values[order].reshape(-1, beside, *values.shape[1:])

    def block(chosen: tuple[jax.Array, jax.Array, jax.Array]) -> tuple[jax.Array, jax.Array]:
        row, *listed = chosen
        compared, size = (jnp.moveaxis(x.reshape(beside, turns, at_once), 1, 0) for x in listed)
        return _overlaps_of_block(cloud, subspaces, row, compared, size, k=k)

    blocks = by_blocks(rows), by_blocks(others), by_blocks(-negative)
    overlap, defect = lax.map(block, blocks)
    back = jnp.argsort(order)[:b]
    overlap = jnp.moveaxis(overlap, 2, 1).reshape(b + more, -1)[back]
    _, overlap = lax.sort((column[:b], overlap), num_keys=1)
    return overlap[:, :c], defect.reshape(-1)[back]


def _overlaps_of_block(
    cloud: Pair,
    subspaces: PairSubspaces,
    row: jax.Array,
    compared: jax.Array,
    size: jax.Array,
    *,
    k: int,
) -> tuple[jax.Array, jax.Array]:
    """Overlaps ``[turns, b, c]`` of b points with c others a turn, whose degrees are ``size``."""
    chunks, beside, at_once = chunks_of(k), len(row), size.shape[2]

    def at(points: jax.Array) -> Pair:
        # Rows of the cloud, all of them: none has to be brought into bounds.
        return jax.tree.map(lambda part: part.at[points].get(mode="promise_in_bounds"), cloud)

    def differences(place: Pair, chosen: jax.Array, unit: jax.Array) -> jax.Array:
        near = at(chosen)
        gap = near.high - place.high[..., None, :]
        if cloud.low is not None:
            gap += near.low - place.low[..., None, :]
        return gap / unit[..., None, None]

    own = differences(at(row), subspaces.neighbours[row], subspaces.unit[row])
    made_of = jnp.swapaxes(subspaces.coefficients(row, k=k), 1, 2)
    frame, defect = frames_of(made_of, own, subspaces.dimension[row])

    def turn(listed: tuple[jax.Array, jax.Array]) -> jax.Array:
        other, widest = listed[0], jnp.max(listed[1])

        def compare() -> jax.Array:
            near, place, unit = subspaces.neighbours[other], at(other), subspaces.unit[other]

            def chunk(number: jax.Array, cross: jax.Array) -> jax.Array:
                first = number * CHUNK

                def multiply() -> jax.Array:
                    chosen = lax.dynamic_slice_in_dim(near, first, CHUNK, axis=2)
                    gaps = differences(place, chosen, unit)
                    part = jnp.einsum("bcpd,bsd->bcps", gaps, frame, precision=_HIGHEST)
                    return lax.dynamic_update_slice_in_dim(cross, part, first, axis=2)

                return lax.cond(first < widest, multiply, lambda: cross)

            cross = jnp.zeros((beside, at_once, chunks * CHUNK, k), jnp.float32)
            cross = lax.fori_loop(0, chunks, chunk, cross)
            made_of = subspaces.coefficients(other, k=k)
            both = jnp.einsum("bcps,bcpt->bcst", cross, made_of, precision=_HIGHEST)
            return jnp.sum(both * both, axis=(2, 3))

        nothing = jnp.zeros((beside, at_once), jnp.float32)
        return lax.cond(widest > 0, compare, lambda: nothing)

    return lax.map(turn, (compared, size)), defect
