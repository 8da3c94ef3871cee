"""Orthonormal bases of spans from Gram matrices in pairs of float32, the points in the last axes.

The Gram matrices are factored column by column (Cholesky), next always the vector farthest from
the span of those before. Of every basis vector two things are kept: what it is made of, and its
products with all vectors; the latter are also coordinates that have the Gram matrix.
"""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from mgm_jax.geometry.backend import pairs
from mgm_jax.geometry.backend.pairs import EPSILON, ZERO, Pair
from mgm_jax.geometry.nnk.in_pairs.pivot import at_marked, diagonal_of, first_best

# Rounding of a squared distance to a span, relative to the sum of the squared lengths.
NOISE = 16 * EPSILON


class PairSpans(NamedTuple):
    """Bases of the spans of m vectors each, of at most m basis vectors.

    Attributes:
        made_of: coefficients of the vectors in the basis vectors, pairs ``[m, m, *b]``, basis
            vectors first; 0 beyond the dimension.
        products: of the basis vectors with the vectors, pairs ``[m, m, *b]``, likewise.
        dimension: ``[*b]`` int32.
        thinnest: smallest squared distance of a vector that was taken from the span of those
            before, over the sum of all squared lengths; 1 where there is none ``[*b]`` float32.
        doubtful: whether rounding decides what counts as dependent ``[*b]`` bool.
    """

    made_of: Pair
    products: Pair
    dimension: jax.Array
    thinnest: jax.Array
    doubtful: jax.Array


def spans_in_pairs(gram: Pair, mask: jax.Array, smallest: jax.Array) -> PairSpans:
    """Orthonormal bases of the spans of vectors; pure.

    Args:
        gram: Gram matrices, pairs ``[m, m, *b]``.
        mask: which vectors count ``[m, *b]`` bool.
        smallest: squared distance to the span of others up to which a vector depends on them
            ``[*b]``.
    """
    gram = pairs.where(mask[:, None] & mask[None], gram, ZERO)
    distance = gram.map(diagonal_of)
    total = jnp.sum(distance.high, axis=0)
    one = pairs.constant(1, total)

    def advance(state: tuple) -> tuple:
        made_of, products, distance, taken, thinnest, _, count = state
        score = jnp.where(mask & ~taken, distance.high, -1.0)
        active = jnp.max(score, axis=0) > smallest
        chosen = first_best(score) & active
        own = distance.map(lambda part: at_marked(chosen, part))
        safe = pairs.where(active, own, one)
        inverse = pairs.divide(one, pairs.square_root(safe))
        inverse = pairs.where(active, inverse, ZERO)[None]
        known = products.map(lambda part: at_marked(chosen[None], part, axis=1))[:, None]
        row = gram.map(lambda part: at_marked(chosen, part))
        unit = pairs.from_float32(jnp.where(chosen, np.float32(1), np.float32(0)))
        column, coefficients = (
            pairs.multiply(
                pairs.subtract(first, pairs.total(pairs.multiply(known, before), axis=0)), inverse
            )
            for first, before in ((row, products), (unit, made_of))
        )
        rest = pairs.subtract(distance, pairs.multiply(column, column))
        share = own.high / jnp.where(total > 0, total, 1)
        return (
            Pair(*(_put(a, b, count) for a, b in zip(made_of, coefficients, strict=True))),
            Pair(*(_put(a, b, count) for a, b in zip(products, column, strict=True))),
            pairs.where(active, rest, distance),
            taken | chosen,
            jnp.where(active, jnp.minimum(thinnest, share), thinnest),
            active,
            count + 1,
        )

    nothing = jnp.zeros((len(mask), *mask.shape), jnp.float32)
    start = (
        *(Pair(nothing, nothing), Pair(nothing, nothing), distance, jnp.zeros_like(mask)),
        *(jnp.ones_like(total), jnp.ones(total.shape, bool), jnp.zeros((), jnp.int32)),
    )
    made_of, products, distance, taken, thinnest, _, _ = lax.while_loop(
        lambda state: state[5].any() & (state[6] < len(mask)), advance, start
    )
    left = jnp.max(jnp.where(mask & ~taken, distance.high, 0), axis=0)
    noise = NOISE * total
    doubtful = (left > noise) & (left > smallest - noise)
    dimension = jnp.sum(taken, axis=0, dtype=jnp.int32)
    return PairSpans(made_of, products, dimension, thinnest, doubtful)


def _put(rows: jax.Array, row: jax.Array, position: jax.Array) -> jax.Array:
    return lax.dynamic_update_index_in_dim(rows, row, position, 0)
