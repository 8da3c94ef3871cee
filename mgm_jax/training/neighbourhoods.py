"""Neighbours and NNK polytopes of a few anchor points, within compiled code.

The arithmetic is in the precision of the points: float32 within most training steps. Distances to
the neighbours that are kept come from differences, so they are right for near-duplicates too; the
choice of neighbours comes from products, so points nearer to each other than the rounding of a
product (about 1e-3 on the unit sphere in float32) may be taken one for the other.
"""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

from mgm_jax.geometry.local.affinity import affinity
from mgm_jax.geometry.nnk.gram_distances import squared_distances
from mgm_jax.geometry.nnk.kernel import shifted_cosine
from mgm_jax.geometry.nnk.solve import SUPPORT_WEIGHT
from mgm_jax.geometry.nnk.sweep_operator import sweep


class Neighbourhoods(NamedTuple):
    """The k nearest other points of a anchors.

    Attributes:
        index: ``[a, k]`` int32, nearest first.
        gram: inner products of the differences from anchor to neighbours ``[a, k, k]``.
        squared: squared distances to the neighbours ``[a, k]``, ascending.
        cosines: with all points ``[a, n]``.
    """

    index: jax.Array
    gram: jax.Array
    squared: jax.Array
    cosines: jax.Array


def neighbourhoods(points: jax.Array, anchors: jax.Array, *, k: int) -> Neighbourhoods:
    """The k nearest other points of ``points[anchors]`` among ``points [n, d]`` on the sphere."""
    chosen = points[anchors]
    cosines = jnp.matmul(chosen, points.T, precision="highest")
    others = cosines.at[jnp.arange(anchors.shape[0]), anchors].set(-jnp.inf)
    _, index = lax.top_k(others, k)
    differences = points[index] - chosen[:, None]
    gram = jnp.einsum("akd,ald->akl", differences, differences, precision="highest")
    squared = jnp.diagonal(gram, axis1=1, axis2=2)
    order = jnp.argsort(squared, axis=1, stable=True)
    gram = jnp.take_along_axis(
        jnp.take_along_axis(gram, order[:, :, None], 1), order[:, None, :], 2
    )
    index = jnp.take_along_axis(index, order, 1).astype(jnp.int32)
    return Neighbourhoods(index, gram, jnp.take_along_axis(squared, order, 1), cosines)


def nnk_support(gram: jax.Array) -> jax.Array:
    """Which candidates an NNK regression under the shifted cosine gives weight, ``[a, k]`` bool.

    Principal pivoting on the full tableau by the largest decrease, as the certified solver does,
    with the rounding of the type at hand.

    Args:
        gram: inner products of the differences ``[a, k, k]`` of unit vectors.

    Example:
        >>> nnk_support(jnp.array([[[1.0, 2.0], [2.0, 4.0]]])).tolist()
        [[True, False]]
    """
    anchors, k, _ = gram.shape
    squared = jnp.diagonal(gram, axis1=1, axis2=2)
    target = shifted_cosine(squared)
    kernel = shifted_cosine(squared_distances(gram))
    rounding = 16 * jnp.finfo(gram.dtype).eps
    tableau = jnp.concatenate([kernel, target[:, :, None]], axis=2)
    border = jnp.concatenate([target, jnp.ones((anchors, 1), gram.dtype)], axis=1)
    tableau = jnp.concatenate([tableau, border[:, None, :]], axis=1)

    def advance(state: tuple[jax.Array, ...]) -> tuple[jax.Array, ...]:
        tableau, inside, count, _ = state
        value = tableau[:, :k, k]
        slack = jnp.diagonal(tableau, axis1=1, axis2=2)[:, :k]
        enters = ~inside & (slack > rounding) & (value > rounding)
        violated = enters | (inside & (value < 0))
        score = jnp.where(violated, value**2 / jnp.abs(slack), -1.0)
        pivot = jnp.argmax(score, axis=1)
        active = jnp.max(score, axis=1) >= 0
        flip = (jnp.arange(k) == pivot[:, None]) & active[:, None]
        return sweep(tableau, pivot, active), inside ^ flip, count + 1, active

    def unfinished(state: tuple[jax.Array, ...]) -> jax.Array:
        # Rounding can make two candidates swap for ever; the certified solver goes on otherwise.
        return state[3].any() & (state[2] < 3 * k)

    # Made from the data, so that under shard_map all parts of the state vary alike.
    outside = target > jnp.inf
    start = (tableau, outside, jnp.zeros((), jnp.int32), ~outside.any(axis=1))
    tableau, inside, *_ = lax.while_loop(unfinished, advance, start)
    return inside & (tableau[:, :k, k] > SUPPORT_WEIGHT)


def affinity_excess(
    points: jax.Array,
    first: tuple[jax.Array, jax.Array, jax.Array],
    second: tuple[jax.Array, jax.Array, jax.Array],
) -> jax.Array:
    """Excess over chance of the affinity of pairs of polytopes, ``[a]``.

    With A, B the Gram matrices of the differences and C their cross products, the overlap of the
    two spans is ``trace(A^+ C B^+ C')``.

    Args:
        points: on the sphere ``[n, d]``.
        first: anchors ``[a]``, their candidates ``[a, k]``, and which are neighbours ``[a, k]``.
        second: the same of the points that the anchors are compared with.

    Returns:
        At most 1 (one subspace holds the other), 0 at chance; NaN where a span is empty.
    """
    differences = [
        jnp.where(support[:, :, None], points[index] - points[own][:, None], 0)
        for own, index, support in (first, second)
    ]
    inverses, dimensions = zip(*map(_inverse_on_span, differences), strict=True)
    cross = jnp.einsum("apd,aqd->apq", *differences, precision="highest")
    left = jnp.matmul(inverses[0], cross, precision="highest")
    right = jnp.matmul(cross, inverses[1], precision="highest")
    overlap = (left * right).sum(axis=(1, 2))
    return affinity(overlap, *dimensions, width=points.shape[1])[1]


def _inverse_on_span(vectors: jax.Array) -> tuple[jax.Array, jax.Array]:
    """A generalised inverse of the Gram matrix of vectors ``[a, k, d]``, and their rank ``[a]``.

    The vector farthest from the span of those before is taken next, down to the rounding of the
    largest.
    """
    gram = jnp.einsum("akd,ald->akl", vectors, vectors, precision="highest")
    k = gram.shape[1]
    largest = jnp.max(jnp.diagonal(gram, axis1=1, axis2=2), axis=1)
    smallest = 4 * k * jnp.finfo(gram.dtype).eps * largest

    def advance(_: int, state: tuple[jax.Array, jax.Array]) -> tuple[jax.Array, jax.Array]:
        tableau, taken = state
        distance = jnp.where(taken, -1, jnp.diagonal(tableau, axis1=1, axis2=2))
        pivot = jnp.argmax(distance, axis=1)
        active = jnp.max(distance, axis=1) > smallest
        flip = (jnp.arange(k) == pivot[:, None]) & active[:, None]
        return sweep(tableau, pivot, active), taken | flip

    tableau, taken = lax.fori_loop(0, k, advance, (gram, gram[:, 0] > jnp.inf))
    inverse = jnp.where(taken[:, :, None] & taken[:, None, :], -tableau, 0)
    return inverse, taken.sum(axis=1)
