"""Principal pivoting of many small regressions in float32, a point a lane.

The tableau of every point is held in full, ``[k, k, *b]`` with the points in the last axes: vector
units work on as many points as they have lanes, no pivot gathers anything, and the row of a pivot
is a masked sum of which all but one term are zero. Here ``*b`` stands for one axis of points or
several; where they are ``[s, 128]``, with s a multiple of 8, both axes of candidates lie outside
the tiles of a TPU, so that nothing is ever moved within a register. What a sweep is says
:mod:`mgm_jax.geometry.nnk.sweep_operator`.
"""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

DEPENDENT = 1e-5
"""A candidate this close to the span of the support (squared distance, relative to its own length)
does not enter: float32 would decide its weight."""

_UNIT = float(np.finfo(np.float32).eps)
# Rounding of an update of the values, relative to its largest term.
_UPDATE = 4 * _UNIT
# Exchanges of two that a point may make; float32 does not know what is better without end.
_MAX_SWAPS = 8


class Tableau(NamedTuple):
    """State of the pivoting of b points of k candidates.

    Attributes:
        matrix: the swept matrix ``[k, k, *b]`` float32.
        slack: its diagonal ``[k, *b]``: squared distance to the span of the support outside, minus
            the diagonal of the inverse matrix of the support inside.
        value: weights of the candidates inside, minus the gradient outside ``[k, *b]`` float32.
        noise: rounding of the values, absolute ``[k, *b]``.
        inside: which candidates are in the support ``[k, *b]`` bool.
        reach: smallest slack that lets a candidate enter ``[k, *b]``; infinite for nobody.
        due: candidates of an exchange of two: 1 is to leave, 2 to enter after it ``[k, *b]`` int32.
        pivots: exchanges made ``[*b]`` int32.
        swaps: of these, pairs of exchanges of two, ``[*b]`` int32.
    """

    matrix: jax.Array
    slack: jax.Array
    value: jax.Array
    noise: jax.Array
    inside: jax.Array
    reach: jax.Array
    due: jax.Array
    pivots: jax.Array
    swaps: jax.Array


def empty_support(matrix: jax.Array, target: jax.Array, allowed: jax.Array) -> Tableau:
    """Start without a neighbour.

    Args:
        matrix: ``[k, k, *b]`` float32, 0 where a candidate is not allowed.
        target: right-hand sides ``[k, *b]``, likewise.
        allowed: which candidates may enter ``[k, *b]`` bool.
    """
    points = target.shape[1:]
    slack = diagonal_of(matrix)
    nobody = jnp.zeros(target.shape, jnp.int32)
    return Tableau(
        matrix,
        slack,
        target,
        _UPDATE * jnp.abs(target),
        nobody > 0,
        jnp.where(allowed & (slack > 0), DEPENDENT * slack, jnp.inf),
        nobody,
        jnp.zeros(points, jnp.int32),
        jnp.zeros(points, jnp.int32),
    )


def pivot_until_done(start: Tableau, *, limit: int) -> Tableau:
    """Exchange one candidate a point at a time, that of the largest decrease of the objective.

    Where none is left but one that depends on the support, as far as float32 can tell, it takes
    the place of the member whose weight it would bring to 0 first.

    Args:
        start: from :func:`empty_support`, or a later state with better values.
        limit: exchanges that a point may have made in all.

    Returns:
        The state in which no candidate has a negative weight or gradient beyond rounding, or
        which has made ``limit`` exchanges.
    """

    def advance(state: tuple[Tableau, jax.Array]) -> tuple[Tableau, jax.Array]:
        tableau, _ = state
        matrix, slack, value, noise, inside, reach, due, pivots, swaps = tableau
        wrong = value * jnp.where(inside, -1, 1) > noise
        far = inside | (slack > reach)
        score = jnp.where(wrong & far, value**2 / jnp.abs(slack), -1.0)
        best = first_best(score)
        leaves, enters = due == 1, (due == 2) & (slack > reach)
        best = jnp.where(enters.any(axis=0), enters, best)
        best = jnp.where(leaves.any(axis=0), leaves, best)
        # Of those that depend on the support the row alone is looked at this time.
        depends = wrong & ~far & (reach < jnp.inf)
        looks = ~best.any(axis=0) & (swaps < _MAX_SWAPS)
        at_pivot = best | (looks & first_best(jnp.where(depends, value, -1.0)))
        at_pivot &= pivots < limit
        row = at_marked(at_pivot, matrix)
        falls = inside & (row > 0) & at_pivot.any(axis=0) & looks
        ratio = jnp.where(falls, value / jnp.where(falls, row, 1), jnp.inf)
        out = falls & first_best(jnp.where(falls, jnp.min(ratio, axis=0) - ratio + 1, -1.0))
        looks &= out.any(axis=0)
        due = jnp.where(looks, out + 2 * at_pivot, jnp.where(at_pivot, 0, due))
        at_pivot &= ~looks & best.any(axis=0)
        active = at_pivot.any(axis=0)
        own_slack, own_value = at_marked(at_pivot, slack), at_marked(at_pivot, value)
        inverse = jnp.where(active, 1 / jnp.where(active, own_slack, 1), 0)
        size = jnp.abs(inverse)
        swept = matrix - row[:, None] * (row * inverse)[None]
        swept = jnp.where(at_pivot[:, None], (row * size)[None], swept)
        swept = jnp.where(at_pivot[None], (row * size)[:, None], swept)
        swept = jnp.where(at_pivot[:, None] & at_pivot[None], -inverse, swept)
        change = row * (own_value * inverse)
        done = Tableau(
            swept,
            jnp.where(at_pivot, -inverse, slack - row * row * inverse),
            jnp.where(at_pivot, own_value * size, value - change),
            jnp.where(at_pivot, noise * size, noise + _UPDATE * jnp.abs(change)),
            inside ^ at_pivot,
            reach,
            due,
            pivots + active,
            swaps + looks,
        )
        return done, active | looks

    active = jnp.ones(start.pivots.shape, bool)
    return lax.while_loop(lambda state: state[1].any(), advance, (start, active))[0]


def first_best(score: jax.Array) -> jax.Array:
    """Mark the first of the largest scores where it is not negative, both ``[k, *b]``."""
    positions = jnp.arange(score.shape[0], dtype=jnp.int32).reshape(-1, *[1] * (score.ndim - 1))
    best = jnp.max(score, axis=0)
    pivot = jnp.min(jnp.where(score >= best, positions, score.shape[0]), axis=0)
    return (positions == pivot) & (best >= 0)


def at_marked(at_pivot: jax.Array, values: jax.Array, *, axis: int = 0) -> jax.Array:
    """Take the marked entry ``[k, *b]`` along an axis, the first; 0 where none is."""
    mask = at_pivot if values.ndim == at_pivot.ndim else at_pivot[:, None]
    return jnp.sum(jnp.where(mask, values, 0), axis=axis)


def diagonal_of(matrix: jax.Array) -> jax.Array:
    """Diagonal ``[k, *b]`` of ``[k, k, *b]``."""
    return jnp.moveaxis(jnp.diagonal(matrix, axis1=0, axis2=1), -1, 0)
