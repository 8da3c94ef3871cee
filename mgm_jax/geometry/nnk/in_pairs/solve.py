"""Non-negative kernel regression without float64: pivots in float32, proof in pairs of float32.

The candidates of a point are near it, so that all kernel values are near 1 and their digits are in
small differences. What all have in common is the point itself: with ``M = K - k k' / K_ii``, the
kernel of the candidates less their projections on the point, the conditions

    theta >= 0,  K theta - k >= 0,  theta' (K theta - k) = 0

hold where ``y >= 0, M y - k >= 0, y' (M y - k) = 0`` and ``theta = y / (1 + k'y / K_ii)``. M is as
small as the differences are and conditioned as their directions are; float32 is enough to find
its support, and an approximate inverse with it. Iterative refinement takes the weights from there
to the precision of pairs, because its residuals are computed in pairs from M itself; so are the
optimality conditions. Where these ask for another exchange, pivoting goes on from the refined
values. A point whose conditions do not hold to the rounding of pairs, or whose support they do
not settle, is refused: the caller solves it in float64.
"""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from mgm_jax.geometry.backend import pairs
from mgm_jax.geometry.backend.pairs import EPSILON, ZERO, Pair
from mgm_jax.geometry.nnk.in_pairs.pivot import (
    Tableau,
    diagonal_of,
    empty_support,
    pivot_until_done,
)

SUPPORT_WEIGHT = 1e-6
"""Smallest weight that makes a candidate a neighbour; as everywhere in NNK."""

CERTIFIED = 16 * EPSILON
"""Violation of the optimality conditions that rounding in pairs explains, relative to the numbers
that it is the difference of: 2.3e-13."""

# Rounds of pivoting and refinement, and steps of refinement in a round.
_ROUNDS = 6
_STEPS = 3
# Weights are to be certain to this.
_WEIGHT_ERROR = 2.5e-7
# A weight smaller than this is not worth an exchange.
_MIN_WEIGHT = 1e-9


class Reduced(NamedTuple):
    """Regressions of b points on k candidates, less what all candidates have of the point.

    Attributes:
        matrix: ``M = K - k k' / K_ii``, pairs ``[k, k, *b]``.
        target: k, the kernel between candidates and points, pairs ``[k, *b]``.
        own: kernel of the points with themselves, pairs ``[*b]``.
        mask: which candidates count ``[k, *b]`` bool.
        repeated: which of them coincide with an earlier one ``[k, *b]`` bool.
        at_point: which of them coincide with the point ``[k, *b]`` bool.
        rounding: what the entries of the matrix are known to, absolute ``[*b]`` float32.
    """

    matrix: Pair
    target: Pair
    own: Pair
    mask: jax.Array
    repeated: jax.Array
    at_point: jax.Array
    rounding: jax.Array


class PairSolution(NamedTuple):
    """Weights of b points on k candidates.

    Attributes:
        theta: weights, pairs ``[k, *b]``, at least 0.
        residual: squared kernel distance to the reproduction, pairs ``[*b]``.
        kkt: violation of the optimality conditions, float32 ``[*b]``.
        pivots: exchanges ``[*b]`` int32.
        refused: whether pairs do not settle the point, ``[*b]`` bool; the rest then means nothing.
    """

    theta: Pair
    residual: Pair
    kkt: jax.Array
    pivots: jax.Array
    refused: jax.Array


class _Refined(NamedTuple):
    """Weights y and gradient ``M y - k`` of a support, and which points need another exchange."""

    weight: Pair
    slope: Pair
    scale: jax.Array
    open: jax.Array


def solve_in_pairs(problem: Reduced) -> PairSolution:
    """Solve b regressions; pure, for use under ``jit``. No point depends on its company."""
    matrix, target, own, mask, repeated, at_point, _ = problem
    k, *points = mask.shape
    met = jnp.any(mask & at_point, axis=0)
    # A point that coincides with a candidate is that candidate: the others have nothing to add.
    allowed = mask & ~repeated & ~met
    matrix = pairs.where(allowed[:, None] & allowed[None], matrix, ZERO)
    target = pairs.where(allowed, target, ZERO)
    tableau = empty_support(matrix.high, target.high, allowed)
    limit = 3 * k + 10

    def rounds(state: tuple) -> tuple:
        tableau, _, count = state
        tableau = pivot_until_done(tableau, limit=limit)
        refined = _refine(matrix, target, own, allowed, tableau)
        value = jnp.where(tableau.inside, refined.weight.high, -refined.slope.high)
        # A point that is settled keeps its state: its company may go on.
        value = jnp.where(refined.open, value, jnp.where(tableau.inside, 1, -1))
        noise = CERTIFIED * refined.scale * jnp.where(tableau.inside, jnp.abs(tableau.slack), 1)
        return tableau._replace(value=value, noise=noise, due=0 * tableau.due), refined, count + 1

    def unfinished(state: tuple) -> jax.Array:
        return state[1].open.any() & (state[2] < _ROUNDS)

    nothing = pairs.from_float32(jnp.zeros(mask.shape, jnp.float32))
    begin = _Refined(nothing, nothing, jnp.zeros(points, jnp.float32), jnp.ones(points, bool))
    tableau, refined, _ = lax.while_loop(
        unfinished, rounds, (tableau, begin, jnp.zeros((), jnp.int32))
    )
    return _certified(problem, allowed, target, tableau, refined)


def _refine(
    matrix: Pair, target: Pair, own: Pair, allowed: jax.Array, tableau: Tableau
) -> _Refined:
    inside = tableau.inside

    def misfit(weight: Pair) -> Pair:
        products = pairs.multiply(matrix, weight[None])
        return pairs.subtract(target, pairs.total(products, axis=1))

    def step(_: int, weight: Pair) -> Pair:
        rest = jnp.where(inside, misfit(weight).high, 0)
        change = -jnp.sum(tableau.matrix * rest[None], axis=1)
        return pairs.where(inside, pairs.add(weight, pairs.from_float32(change)), ZERO)

    first = pairs.from_float32(jnp.where(inside, tableau.value, 0))
    weight = lax.fori_loop(0, _STEPS, step, first)
    slope = pairs.negative(misfit(weight))
    largest = jnp.max(jnp.where(inside, diagonal_of(matrix.high), 0), axis=0)
    scale = jnp.max(jnp.abs(target.high), axis=0)
    scale += largest * jnp.sum(jnp.abs(weight.high), axis=0)
    # In units of theta a gradient and a weight are smaller by the same factor.
    leaves = inside & (weight.high < -CERTIFIED * scale * jnp.abs(tableau.slack))
    factor = _factor(target, own, weight).high
    slack = jnp.abs(tableau.slack) + slope.high**2 / factor
    worth = jnp.maximum(CERTIFIED * scale, _MIN_WEIGHT * slack * factor)
    enters = allowed & ~inside & (-slope.high > worth)
    return _Refined(weight, slope, scale, jnp.any(leaves | enters, axis=0))


def _factor(target: Pair, own: Pair, weight: Pair) -> Pair:
    """``1 + k'y / K_ii``, pairs ``[*b]``."""
    reach = pairs.total(pairs.multiply(target, weight), axis=0)
    return pairs.add(pairs.constant(1, reach.high), pairs.divide(reach, own))


def _certified(
    problem: Reduced, allowed: jax.Array, target: Pair, tableau: Tableau, refined: _Refined
) -> PairSolution:
    weight, slope, scale, unfinished = refined
    own, inside = problem.own, tableau.inside
    factor = _factor(target, own, weight)
    theta = pairs.divide(weight, factor.map(lambda part: part[None]))
    size = jnp.abs(slope.high)
    rounding = CERTIFIED * scale
    violated = jnp.any(inside & (size > rounding), axis=0)
    # Outside without a gradient: another support is as good.
    undecided = jnp.any(allowed & ~inside & (size <= rounding), axis=0)
    # Weights move by the inverse of what the matrix and the residual are known to.
    spread = jnp.sum(jnp.where(inside, jnp.abs(tableau.slack), 0), axis=0)
    known = problem.rounding * jnp.sum(jnp.abs(theta.high), axis=0)
    error = spread * (known + EPSILON * scale / factor.high)
    near = jnp.any(inside & (jnp.abs(theta.high - SUPPORT_WEIGHT) <= error), axis=0)
    refused = unfinished | violated | undecided | near | (error > _WEIGHT_ERROR)
    violation = jnp.minimum(theta.high, slope.high / factor.high)
    kkt = jnp.max(jnp.where(allowed, jnp.abs(violation), 0), axis=0)
    refused |= ~jnp.isfinite(kkt)
    theta = pairs.where(inside & (theta.high > 0), theta, ZERO)
    met = problem.mask & problem.at_point
    first = met & (jnp.cumsum(met, axis=0) == 1)
    theta = pairs.where(first, Pair(np.float32(1), np.float32(0)), theta)
    # J = K_ii - 2 theta'k + theta'K theta, and theta'(K theta - k) is 0 but for rounding.
    residual = pairs.where(met.any(axis=0), ZERO, pairs.divide(own, factor))
    return PairSolution(theta, residual, kkt, tableau.pivots + met.any(axis=0), refused)
