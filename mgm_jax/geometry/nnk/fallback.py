"""Principal pivoting of non-negative regressions on the whole tableau, with a backup rule.

It costs k^2 operations an exchange and forgives more than :mod:`mgm_jax.geometry.nnk.pivot`: it
starts from a support with a tableau that has seen no other, goes on with the least-index rule where
the greedy one does not end, and refines the weights. A few points need it.
"""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

from mgm_jax.geometry.nnk.pivot import decrease, independent
from mgm_jax.geometry.nnk.sweep_operator import sweep


class FallbackSolution(NamedTuple):
    """Solution of b points of k candidates.

    Attributes:
        theta: weights ``[b, k]``.
        pivots: exchanges made ``[b]`` int32.
    """

    theta: jax.Array
    pivots: jax.Array


def solve_fallback(
    kernel: jax.Array,
    target: jax.Array,
    allowed: jax.Array,
    start: jax.Array,
    *,
    greedy: int | None = None,
) -> FallbackSolution:
    """Solve problems from a support on, with the tableau of [K k; k' 1] in full.

    Args:
        kernel: kernel matrices ``[b, k, k]`` float64.
        target: kernel between candidates and points ``[b, k]``.
        allowed: which candidates may enter ``[b, k]`` bool.
        start: candidates to take in first ``[b, k]`` bool.
        greedy: exchanges by largest decrease, which can cycle in theory; None takes more than any
            problem is known to need. After them comes the least-index rule of Murty, which ends on
            every positive definite problem.

    Returns:
        Weights and exchanges.

    Reference:
        K. G. Murty, "Note on a Bard-type scheme for solving the complementarity problem", 1974.

    Example:
        >>> kernel, target, yes = jnp.eye(2)[None], jnp.array([[0.5, -0.5]]), jnp.ones((1, 2), bool)
        >>> solve_fallback(kernel, target, yes, ~yes).theta.tolist()
        [[0.5, 0.0]]
    """
    points, k = target.shape
    diagonal = jnp.diagonal(kernel, axis1=1, axis2=2)
    greedy = 3 * k + 10 if greedy is None else greedy
    limit = greedy + 20 * k + 40
    border = jnp.concatenate([target, jnp.ones((points, 1), target.dtype)], axis=1)
    tableau = jnp.concatenate([kernel, target[:, :, None]], axis=2)
    tableau = jnp.concatenate([tableau, border[:, None, :]], axis=1)

    def advance(state: tuple[jax.Array, ...]) -> tuple[jax.Array, ...]:
        tableau, inside, due, pivots, _ = state
        value, slack = tableau[:, :k, k], jnp.diagonal(tableau, axis1=1, axis2=2)[:, :k]
        score = decrease(value, slack, inside, diagonal, allowed)
        by_rule = jnp.where((pivots < greedy)[:, None], score, jnp.where(score >= 0, 1.0, -1.0))
        due &= independent(slack, diagonal)
        score = jnp.where(due.any(axis=1)[:, None], jnp.where(due, slack, -1.0), by_rule)
        pivot = jnp.argmax(score, axis=1)
        active = (jnp.max(score, axis=1) >= 0) & (pivots < limit)
        at_pivot = (jnp.arange(k) == pivot[:, None]) & active[:, None]
        return (
            sweep(tableau, pivot, active),
            inside ^ at_pivot,
            due & ~at_pivot,
            pivots + active,
            active,
        )

    nowhere = (
        tableau,
        jnp.zeros((points, k), bool),
        start & allowed,
        jnp.zeros(points, jnp.int32),
        jnp.ones(points, bool),
    )
    tableau, inside, _, pivots, _ = lax.while_loop(lambda s: s[4].any(), advance, nowhere)
    theta = jnp.where(inside, tableau[:, :k, k], 0)
    # Iterative refinement with the inverse that the tableau holds takes back the rounding that
    # the pivots left.
    inverse = jnp.where(inside[:, :, None] & inside[:, None, :], -tableau[:, :k, :k], 0)
    for _ in range(2):
        misfit = target - jnp.einsum("bjl,bl->bj", kernel, theta)
        theta += jnp.einsum("bjl,bl->bj", inverse, jnp.where(inside, misfit, 0))
    return FallbackSolution(jnp.maximum(theta, 0), pivots)
