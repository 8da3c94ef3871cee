"""Non-negative kernel regression of a batch of points on their candidates, solved exactly.

Each point asks for ``min over theta >= 0 of 1/2 theta' K theta - theta' k``: K holds the kernel
among its candidates, k the kernel between the candidates and the point. Symmetric principal
pivoting on the bordered tableau [K k; k' K_ii] moves one candidate at a time into or out of the
support. All points of a batch advance together, in float64; the finished ones wait.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from mgm_jax.errors import InputError, name_some
from mgm_jax.geometry.kernel import COINCIDENT
from mgm_jax.geometry.precision import double_precision
from mgm_jax.geometry.sweep import sweep

SUPPORT_WEIGHT = 1e-6
"""Smallest weight that makes a candidate a neighbour."""

# A candidate this close to the span of the support (squared distance, relative to its own
# length) adds nothing to it: rounding would decide its weight.
_DEPENDENT = 2e-15
# Rounding of a gradient of kernel values near 1, and the smallest weight worth a pivot.
_GRADIENT_ROUNDING = 16 * float(np.finfo(np.float64).eps)
_WEIGHT_ROUNDING = 1e-9


class NnkSolution(NamedTuple):
    """Weights of b points on their k candidates, with their certificate.

    JAX arrays within compiled code, NumPy arrays from :func:`solve_nnk`.

    Attributes:
        theta: weights ``[b, k]``, at least 0; 0 where masked or refused.
        residual: ``J = K_ii - 2 theta'k + theta'K theta`` ``[b]``, 0 (reproduced) to K_ii.
        kkt: largest violation of the optimality conditions,
            ``max_j |min(theta_j, (K theta - k)_j)|`` ``[b]``; 0 at the exact solution.
        pivots: exchanges made ``[b]`` int.
        polished: whether the greedy rule did not end and the least-index rule took over
            ``[b]`` bool.
    """

    theta: Any
    residual: Any
    kkt: Any
    pivots: Any
    polished: Any


def solve_nnk(
    kernel: np.ndarray | jax.Array,
    target: np.ndarray | jax.Array,
    mask: np.ndarray | jax.Array | None = None,
    *,
    own: np.ndarray | jax.Array | None = None,
) -> NnkSolution:
    """Solve ``theta_i = argmin_{theta >= 0} 1/2 theta' K_i theta - theta' k_i`` exactly.

    Of candidates that coincide the first is kept and the others are refused, and so is a
    candidate that depends linearly on the support: the objective is the same without it.

    Args:
        kernel: kernel matrices among the candidates, ``[b, k, k]``, symmetric, positive
            semi-definite, with a diagonal near 1.
        target: kernel between candidates and point, ``[b, k]``.
        mask: which candidates count, ``[b, k]`` bool; all where None.
        own: kernel of each point with itself, ``[b]``; 1 where None.

    Returns:
        The solution, as NumPy arrays in float64.

    Raises:
        InputError: shapes that do not fit, or values that are not finite where the mask counts.

    Reference:
        S. Shekkizhar and A. Ortega, "Graph construction from data by non-negative kernel
        regression", ICASSP 2020, equation 8.

    Example:
        >>> solve_nnk(np.eye(2)[None], np.array([[0.5, -0.5]])).theta.tolist()
        [[0.5, 0.0]]
    """
    wide_kernel = np.asarray(kernel, dtype=np.float64)
    wide_target = np.asarray(target, dtype=np.float64)
    if wide_target.ndim != 2 or wide_kernel.shape != (*wide_target.shape, wide_target.shape[1]):
        raise InputError(
            "kernel must have shape [b, k, k] and target [b, k]; "
            f"got {wide_kernel.shape} and {wide_target.shape}."
        )
    points, candidates = wide_target.shape
    counted = np.ones((points, candidates), bool) if mask is None else np.asarray(mask, bool)
    wide_own = np.ones(points) if own is None else np.asarray(own, np.float64)
    if counted.shape != wide_target.shape or wide_own.shape != (points,):
        raise InputError(
            f"mask must have shape {wide_target.shape} and own {(points,)}; "
            f"got {counted.shape} and {wide_own.shape}."
        )
    both = counted[:, :, None] & counted[:, None, :]
    finite = np.isfinite(np.where(both, wide_kernel, 0)).all((1, 2))
    finite &= np.isfinite(np.where(counted, wide_target, 0)).all(1)
    if not finite.all():
        raise InputError(
            "kernel and target must be finite where the mask counts; "
            f"they are not in rows {name_some(np.flatnonzero(~finite))}."
        )
    with double_precision():
        return NnkSolution(*map(np.asarray, _solve(wide_kernel, wide_target, counted, wide_own)))


def nnk_weights(
    kernel: jax.Array, target: jax.Array, mask: jax.Array, own: jax.Array
) -> NnkSolution:
    """Do the work of :func:`solve_nnk` under ``jit`` and ``vmap``; arguments as there, float64."""
    points, k = target.shape
    both = mask[:, :, None] & mask[:, None, :]
    # Masked candidates become isolated and useless: unit diagonal, nothing to reproduce.
    kernel = jnp.where(both, kernel, jnp.eye(k, dtype=kernel.dtype))
    target = jnp.where(mask, target, 0)
    diagonal = jnp.diagonal(kernel, axis1=1, axis2=2)
    allowed = mask & ~repeats(diagonal[:, :, None] + diagonal[:, None, :] - 2 * kernel, diagonal)
    border = jnp.concatenate([target, own[:, None]], axis=1)
    tableau = jnp.concatenate([kernel, target[:, :, None]], axis=2)
    tableau = jnp.concatenate([tableau, border[:, None, :]], axis=1)
    greedy_limit = _greedy_limit(k)
    limit = greedy_limit + 20 * k + 40

    def advance(state: tuple[jax.Array, ...]) -> tuple[jax.Array, ...]:
        tableau, inside, pivots, _ = state
        value, slack = tableau[:, :k, k], jnp.diagonal(tableau, axis1=1, axis2=2)[:, :k]
        enters = ~inside & allowed & (slack > _DEPENDENT * diagonal)
        enters &= (value > _WEIGHT_ROUNDING * slack) & (value > _GRADIENT_ROUNDING * diagonal)
        violated = enters | (inside & (value < 0))
        decrease = jnp.where(violated, value**2 / jnp.abs(slack), -1.0)
        greedy = (pivots < greedy_limit)[:, None]
        pivot = jnp.argmax(jnp.where(greedy, decrease, violated), axis=1)
        active = violated.any(axis=1) & (pivots < limit)
        flipped = (jnp.arange(k) == pivot[:, None]) & active[:, None]
        return sweep(tableau, pivot, active), inside ^ flipped, pivots + active, active

    start = (
        tableau,
        jnp.zeros((points, k), bool),
        jnp.zeros(points, jnp.int32),
        jnp.ones(points, bool),
    )
    tableau, inside, pivots, _ = lax.while_loop(lambda state: state[3].any(), advance, start)
    theta = jnp.where(inside, tableau[:, :k, k], 0)
    # One step of iterative refinement with the inverse that the tableau holds takes back the
    # rounding that the pivots left.
    inverse = jnp.where(inside[:, :, None] & inside[:, None, :], -tableau[:, :k, :k], 0)
    misfit = target - jnp.einsum("bjl,bl->bj", kernel, theta)
    theta = jnp.maximum(theta + jnp.einsum("bjl,bl->bj", inverse, jnp.where(inside, misfit, 0)), 0)
    slope = jnp.einsum("bjl,bl->bj", kernel, theta) - target
    kkt = jnp.max(jnp.where(mask, jnp.abs(jnp.minimum(theta, slope)), 0), axis=1)
    residual = own - jnp.sum(theta * (target - slope), axis=1)
    return NnkSolution(theta, jnp.maximum(residual, 0), kkt, pivots, pivots >= greedy_limit)


def _greedy_limit(k: int) -> int:
    """Pivots by largest decrease, which can cycle in theory; it takes about one a neighbour.

    After them comes the least-index rule of Murty, which ends on every positive definite problem.
    """
    return 3 * k + 10


_solve = jax.jit(nnk_weights)


def repeats(squared_distance: jax.Array, squared_length: jax.Array) -> jax.Array:
    """Whether a candidate coincides with an earlier one of the same point.

    Args:
        squared_distance: among the candidates, ``[b, k, k]``.
        squared_length: scale of each candidate, ``[b, k]``.

    Returns:
        ``[b, k]`` bool.
    """
    k = squared_distance.shape[-1]
    earlier = jnp.tril(jnp.ones((k, k), bool), -1)
    near = squared_distance <= COINCIDENT * squared_length[:, :, None]
    return jnp.any(near & earlier, axis=2)
