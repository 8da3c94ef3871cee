"""Non-negative kernel regression of a batch of points on their candidates, solved exactly.

Each point asks for ``min over theta >= 0 of 1/2 theta' K theta - theta' k``: K holds the kernel
among its candidates, k the kernel between the candidates and the point. Principal pivoting moves
one candidate at a time into or out of the support, in float64. The optimality conditions, computed
from K and k themselves, certify each point; the few that they refuse are solved by the fallback.
"""

from __future__ import annotations

from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from mgm_jax.errors import InputError, name_some
from mgm_jax.geometry.backend.precision import double_precision
from mgm_jax.geometry.backend.wide import on_host, wide_arithmetic
from mgm_jax.geometry.backend.workers import in_order, workers_for
from mgm_jax.geometry.nnk.fallback import solve_fallback
from mgm_jax.geometry.nnk.kernel import COINCIDENT
from mgm_jax.geometry.nnk.pivot import Pivoted, decrease, pivot_greedily, room_for_terms

SUPPORT_WEIGHT = 1e-6
"""Smallest weight that makes a candidate a neighbour."""

# Violation that rounding alone explains, relative to the numbers that it is the difference of.
CERTIFIED = 64 * float(np.finfo(np.float64).eps)
# Bytes of terms of the points that pivot together: about what the cache of a core holds.
_CACHE = 200_000
_MAX_LANES = 32
# Points solved by the fallback at once, handed to a thread at once, and to another device at once.
_FALLBACK_POINTS = 8
_BLOCK = 128
_DEVICE_BLOCK = 4096


class NnkSolution(NamedTuple):
    """Weights of b points on their k candidates, with their certificate.

    JAX arrays within compiled code, NumPy arrays from :func:`solve_nnk`.

    Attributes:
        theta: weights ``[b, k]``, at least 0; 0 where masked or refused.
        residual: ``J = K_ii - 2 theta'k + theta'K theta`` ``[b]``, 0 (reproduced) to K_ii.
        kkt: largest violation of the optimality conditions,
            ``max_j |min(theta_j, (K theta - k)_j)|`` ``[b]``; 0 at the exact solution.
        pivots: exchanges made ``[b]`` int.
        fallback: whether the certificate of the fast way failed and the point took the
            slow one, ``[b]`` bool.
    """

    theta: Any
    residual: Any
    kkt: Any
    pivots: Any
    fallback: Any


def solve_nnk(
    kernel: np.ndarray | jax.Array,
    target: np.ndarray | jax.Array,
    mask: np.ndarray | jax.Array | None = None,
    *,
    own: np.ndarray | jax.Array | None = None,
    start: np.ndarray | jax.Array | None = None,
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
        start: a support to start from, ``[b, k]`` bool, such as that among fewer candidates. The
            solution is the same whatever it is; exchanges count from the empty support.

    Returns:
        The solution, as NumPy arrays in float64. No point depends on what else is in the batch.

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
    if candidates == 0:
        raise InputError("every point needs at least 1 candidate; got k=0.")
    counted = np.ones((points, candidates), bool) if mask is None else np.asarray(mask, bool)
    wide_own = np.ones(points) if own is None else np.asarray(own, np.float64)
    if counted.shape != wide_target.shape or wide_own.shape != (points,):
        raise InputError(
            f"mask must have shape {wide_target.shape} and own {(points,)}; "
            f"got {counted.shape} and {wide_own.shape}."
        )
    columns = [wide_kernel, wide_target, counted, wide_own]
    if start is not None:
        columns.append(np.asarray(start, bool))
        if columns[-1].shape != wide_target.shape:
            raise InputError(f"start must have shape {wide_target.shape}; got {columns[-1].shape}.")
    if wide_arithmetic() == "pairs":
        solution = _solve_in_pairs(columns)
    else:
        solution = _solve_in_blocks(columns)
    # What is not finite in a kernel makes the certificate NaN: looking for it costs nothing.
    suspect = np.isnan(solution.kkt) | ~np.isfinite(np.where(counted, wide_target, 0)).all(1)
    for row in np.flatnonzero(suspect):
        both = counted[row, :, None] & counted[row]
        suspect[row] = not (
            np.isfinite(wide_target[row][counted[row]]).all()
            and np.isfinite(wide_kernel[row][both]).all()
        )
    if suspect.any():
        raise InputError(
            "kernel and target must be finite where the mask counts; "
            f"they are not in rows {name_some(np.flatnonzero(suspect))}."
        )
    return solution


def _solve_in_blocks(columns: list[np.ndarray]) -> NnkSolution:
    """Hand the points to the cores of a CPU in blocks of one size, or to a device at once."""
    points, k = columns[1].shape
    if jax.default_backend() == "cpu" or wide_arithmetic() == "pairs":
        workers = workers_for(None)
        # Powers of 2, so that few sizes compile.
        block = min(1 << max(-(-points // workers) - 1, 0).bit_length(), _BLOCK)
    else:
        workers, block = 1, min(points, _DEVICE_BLOCK)
    if points < block:
        columns = [np.pad(c, [(0, block - points)] + [(0, 0)] * (c.ndim - 1)) for c in columns]
    results = NnkSolution(
        np.zeros((points, k)),
        np.zeros(points),
        np.zeros(points),
        np.zeros(points, np.int32),
        np.zeros(points, bool),
    )

    def solve(first: int) -> NnkSolution:
        with double_precision():
            part = _solve(*(column[first : first + block] for column in columns))
            return NnkSolution(*map(np.asarray, part))

    # The last block reaches back to be full.
    firsts = [*range(0, points - block, block), max(points - block, 0)] if points else []
    parts = in_order([partial(solve, first) for first in firsts], workers=workers)
    for first, part in zip(firsts, parts, strict=True):
        for whole, column in zip(results, part, strict=True):
            whole[first : first + block] = column[:points]
    return results


def _solve_in_pairs(columns: list[np.ndarray]) -> NnkSolution:
    """Solve the points in pairs of float32 on the device, those that it refuses on the host."""
    from mgm_jax.geometry.nnk.in_pairs.settle import settled_kernels

    if not len(columns[1]):
        return _solve_in_blocks(columns)
    kernel, target, mask, own = columns[:4]
    results, refused = settled_kernels(kernel, target, mask, own)
    theta, residual, kkt, pivots = results
    solution = NnkSolution(theta, residual, kkt, pivots, refused)
    rows = np.flatnonzero(refused)
    if rows.size:
        with on_host():
            again = _solve_in_blocks([column[rows] for column in columns])
        for whole, part in zip(solution[:4], again[:4], strict=True):
            whole[rows] = part
    return solution


class _Certified(NamedTuple):
    """Weights of b points, and what the optimality conditions say of them."""

    theta: jax.Array
    residual: jax.Array
    kkt: jax.Array
    pivots: jax.Array
    inside: jax.Array
    refused: jax.Array


def nnk_weights(
    kernel: jax.Array,
    target: jax.Array,
    mask: jax.Array,
    own: jax.Array,
    start: jax.Array | None = None,
    *,
    fallback: bool = True,
) -> NnkSolution:
    """Do the work of :func:`solve_nnk` under ``jit`` and ``lax.map``; arguments as there, float64.

    On a CPU a few points at a time pivot together, so that what they need stays in its
    cache; on other devices all of them.

    Half of what compiles is the fallback, which few points need: without it the solution is that
    of the fast way, and ``fallback`` says which points still have to take the slow one.
    """
    points, k = target.shape
    columns = (kernel, target, mask, own) if start is None else (kernel, target, mask, own, start)
    if points == 0:
        return NnkSolution(target, own, own, jnp.zeros(0, jnp.int32), jnp.zeros(0, bool))
    lanes = points
    if jax.default_backend() == "cpu":
        most = min(_MAX_LANES, max(4, _CACHE // (8 * k * room_for_terms(k))))
        lanes = -(-points // -(-points // most))
    starts = [*range(0, points - lanes, lanes), points - lanes]

    def solve(first: jax.Array) -> _Certified:
        kernel, target, mask, own, *support = (
            lax.dynamic_slice_in_dim(column, first, lanes) for column in columns
        )
        # Whatever stands where the mask does not count must not reach a product.
        kernel, target = jnp.where(mask[:, None, :], kernel, 0), jnp.where(mask, target, 0)
        pivoted = pivot_greedily(kernel, target, mask, *support)
        theta = jnp.maximum(jnp.where(pivoted.inside, pivoted.value, 0), 0)
        slope, results = _certify(kernel, target, mask, own, theta, pivoted.pivots)
        refused = pivoted.active | _refuses(kernel, target, mask, pivoted, theta, slope)
        return results._replace(inside=pivoted.inside, refused=refused)

    parts = lax.map(solve, jnp.array(starts, jnp.int32))
    # The last points reach back to be as many as the others.
    kept = (len(starts) - 1) * lanes
    results = _Certified(
        *(
            jnp.concatenate([c[:-1].reshape(kept, *c.shape[2:]), c[-1, lanes - points + kept :]])
            for c in parts
        )
    )

    if not fallback:
        return NnkSolution(
            results.theta, results.residual, results.kkt, results.pivots, results.refused
        )

    def correct(state: _Certified) -> _Certified:
        rows = jnp.nonzero(state.refused, size=min(_FALLBACK_POINTS, points), fill_value=points)[0]
        kernel, target, mask, own, *_ = (column.at[rows].get(mode="clip") for column in columns)
        both = mask[:, :, None] & mask[:, None, :]
        kernel = jnp.where(both, kernel, jnp.eye(k, dtype=kernel.dtype))
        target = jnp.where(mask, target, 0)
        allowed = mask & ~_repeated(kernel)
        support = state.inside.at[rows].get(mode="clip")
        again = solve_fallback(kernel, target, allowed, support)
        pivots = state.pivots.at[rows].get(mode="clip") + again.pivots
        _, better = _certify(kernel, target, mask, own, again.theta, pivots)
        return _Certified(
            *(
                whole.at[rows].set(new, mode="drop")
                for whole, new in zip(state, better, strict=True)
            )
        )

    done = lax.while_loop(lambda state: state.refused.any(), correct, results)
    return NnkSolution(done.theta, done.residual, done.kkt, done.pivots, results.refused)


_solve = jax.jit(nnk_weights)


def _certify(
    kernel: jax.Array,
    target: jax.Array,
    mask: jax.Array,
    own: jax.Array,
    theta: jax.Array,
    pivots: jax.Array,
) -> tuple[jax.Array, _Certified]:
    """Compute the gradient ``[b, k]`` and the optimality conditions from the problem itself."""
    # A sum, no product of matrices: its order, and so the last bits, are those of any other cut
    # of the points into blocks.
    slope = jnp.sum(kernel * theta[:, None, :], axis=2) - target
    kkt = jnp.max(jnp.where(mask, jnp.abs(jnp.minimum(theta, slope)), 0), axis=1)
    reproduced = jnp.sum(jnp.where(mask, theta * (target - slope), 0), axis=1)
    residual = jnp.maximum(own - reproduced, 0)
    return slope, _Certified(theta, residual, kkt, pivots, theta > 0, jnp.zeros(kkt.shape, bool))


def _refuses(
    kernel: jax.Array,
    target: jax.Array,
    mask: jax.Array,
    pivoted: Pivoted,
    theta: jax.Array,
    slope: jax.Array,
) -> jax.Array:
    """Which points the optimality conditions refuse, or the rule about coincidence, ``[b]``.

    A candidate that depends on the support may keep a gradient, and so may one whose weight would
    be nothing: neither is a mistake.
    """
    _, slack, inside, *_ = pivoted
    diagonal = jnp.diagonal(kernel, axis1=1, axis2=2)
    scale = jnp.max(jnp.abs(target), axis=1) + jnp.sum(theta * diagonal, axis=1)
    missing = decrease(-slope, slack, jnp.zeros_like(inside), diagonal, mask & ~inside) >= 0
    beyond = jnp.abs(jnp.minimum(theta, slope)) > CERTIFIED * scale[:, None]
    refused = jnp.any((missing | inside) & beyond, axis=1)
    # Candidates that coincide are close to the span of each other, which is quicker to see.
    apart = jnp.where(inside, 1 / jnp.abs(slack), slack)
    close = jnp.any(mask & (apart <= 4 * COINCIDENT * diagonal))
    repeated = lax.cond(close, _repeated, lambda kernel: jnp.zeros_like(inside), kernel)
    return refused | jnp.any(inside & mask & repeated, axis=1)


def _repeated(kernel: jax.Array) -> jax.Array:
    diagonal = jnp.diagonal(kernel, axis1=1, axis2=2)
    return repeats(diagonal[:, :, None] + diagonal[:, None, :] - 2 * kernel, diagonal)


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
