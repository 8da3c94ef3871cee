"""Principal pivoting of non-negative regressions with the tableau as a sum of rank-one terms.

A sweep (see :mod:`mgm_jax.geometry.nnk.sweep_operator`) changes the tableau by one rank-one term.
The tableau of k candidates is therefore never written: it is the kernel matrix less the terms so
far, and of it a pivot needs one row, its diagonal and its border. A pivot costs k operations a term
kept instead of k^2, and the terms of a few points fit the cache of a CPU.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

DEPENDENT = 2e-15
"""A candidate this close to the span of the support (squared distance, relative to its own length)
adds nothing to it: rounding would decide its weight."""

GRADIENT_ROUNDING = 16 * float(np.finfo(np.float64).eps)
"""Rounding of a gradient of kernel values near 1."""

WEIGHT_ROUNDING = 1e-9
"""Smallest weight worth a pivot."""

# Relative difference of two scores that counts as none.
_TIE = 1e-9

# Terms are kept in blocks of so many, and those that hold none yet are left alone.
_BLOCK = 32


class Pivoted(NamedTuple):
    """Where the pivots have led b points of k candidates.

    Attributes:
        value: weights of the candidates inside, minus the gradient of those outside ``[b, k]``.
        slack: diagonal of the tableau ``[b, k]``: squared distance to the span of the support
            outside, minus the diagonal of the inverse kernel matrix of the support inside.
        inside: which candidates are in the support ``[b, k]`` bool.
        pivots: exchanges made ``[b]`` int32.
        active: whether the last exchange of a point was not yet the last ``[b]`` bool.
    """

    value: jax.Array
    slack: jax.Array
    inside: jax.Array
    pivots: jax.Array
    active: jax.Array


def independent(slack: jax.Array, diagonal: jax.Array) -> jax.Array:
    """Which candidates outside are far enough from the span of the support to enter it."""
    return slack > DEPENDENT * diagonal


def worth_entering(value: jax.Array, slack: jax.Array, diagonal: jax.Array) -> jax.Array:
    """Whether minus the gradient is more than rounding, and the weight more than nothing."""
    return value > jnp.maximum(WEIGHT_ROUNDING * slack, GRADIENT_ROUNDING * diagonal)


def decrease(
    value: jax.Array, slack: jax.Array, inside: jax.Array, diagonal: jax.Array, allowed: jax.Array
) -> jax.Array:
    """Change of the objective by each exchange that is called for, -1 for the others, ``[b, k]``.

    A candidate is to enter where the gradient is negative and to leave where its weight is.
    """
    enters = ~inside & allowed & independent(slack, diagonal)
    enters &= worth_entering(value, slack, diagonal)
    violated = enters | (inside & (value < 0))
    return jnp.where(violated, value**2 / jnp.abs(slack), -1.0)


class Tableau(NamedTuple):
    """Tableaus of b points as a matrix less rank-one terms, ``T = M - sum_i s_i u_i u_i'``.

    Attributes:
        pivoted: borders and diagonals.
        terms: u, block by block ``[b, size, k]`` each.
        scales: s, 0 where there is no term yet, block by block ``[b, size]`` each.
    """

    pivoted: Pivoted
    terms: tuple[jax.Array, ...]
    scales: tuple[jax.Array, ...]


def pivot_greedily(
    kernel: jax.Array,
    target: jax.Array,
    allowed: jax.Array,
    start: jax.Array | None = None,
) -> Pivoted:
    """Move one candidate a point at a time, that of the largest decrease, until none is worth it.

    Args:
        kernel: kernel matrices ``[b, k, k]`` float64. Only rows of allowed candidates are read, and
            columns that are not stay as they are.
        target: kernel between candidates and points ``[b, k]``.
        allowed: which candidates may enter ``[b, k]`` bool.
        start: candidates to take in before anything else ``[b, k]`` bool; None for none.

    Returns:
        The state after the last pivot, or when there is room for no more terms.
    """
    points = len(target)
    diagonal = jnp.diagonal(kernel, axis1=1, axis2=2)
    lanes = jnp.arange(points, dtype=jnp.int32)

    def row_of(pivot: jax.Array) -> jax.Array:
        return kernel.at[lanes, pivot].get(mode="promise_in_bounds")

    nowhere = Pivoted(
        target,
        diagonal,
        jnp.zeros(target.shape, bool),
        jnp.zeros(points, jnp.int32),
        jnp.ones(points, bool),
    )
    due = None if start is None else start & allowed
    return pivot_on(row_of, nowhere, diagonal, allowed, due=due).pivoted


def pivot_on(
    row_of: Callable[[jax.Array], jax.Array],
    begin: Pivoted,
    diagonal: jax.Array,
    allowed: jax.Array,
    *,
    first: tuple[jax.Array, jax.Array] | None = None,
    due: jax.Array | None = None,
) -> Tableau:
    """Move one candidate a point at a time from a tableau on, as :func:`pivot_greedily` does.

    A sweep at p with row r and diagonal t adds ``s = 1 / t`` and ``u = r``, but
    ``u_p = t - sign(t)``, which turns row p of the sum into ``r / |t|``.

    Args:
        row_of: rows ``[b, k]`` of the matrices M at a place for each point ``[b]``.
        begin: borders and diagonals of the tableaus.
        diagonal: of the kernel matrices ``[b, k]``.
        allowed: which candidates may enter ``[b, k]`` bool.
        first: a term ``[b, k]`` and its scale ``[b]`` that the tableaus have from the beginning.
        due: candidates to take in before anything else ``[b, k]`` bool; None for none.

    Returns:
        The tableaus after the last pivot, or when there is room for no more terms.
    """
    points, k = allowed.shape
    candidates = jnp.arange(k, dtype=jnp.int32)
    lanes = jnp.arange(points, dtype=jnp.int32)
    blocks, size = blocks_of(k)

    def subtrahend(terms: jax.Array, scales: jax.Array, pivot: jax.Array) -> jax.Array:
        factor = terms.at[lanes, :, pivot].get(mode="promise_in_bounds") * scales
        return jnp.einsum("bm,bmk->bk", factor, terms)

    def advance(full: list[tuple[jax.Array, jax.Array]], state: tuple[Any, ...]) -> tuple[Any, ...]:
        (value, slack, inside, pivots, _), terms, scales, count, due = state
        score = decrease(value, slack, inside, diagonal, allowed)
        if due is not None:
            due &= independent(slack, diagonal)
            score = jnp.where(due.any(axis=1)[:, None], jnp.where(due, slack, -1.0), score)
        # Two plain reductions are faster than argmax on a CPU. Of scores that rounding alone
        # tells apart the first is taken, so that the first of equal candidates is.
        best = jnp.max(score, axis=1)
        active = best >= 0
        ties = score >= (best * (1 - _TIE))[:, None]
        pivot = jnp.min(jnp.where(ties & active[:, None], candidates, k - 1), axis=1)
        row = row_of(pivot)
        for block in (*full, (terms, scales)):
            row -= subtrahend(*block, pivot)
        own_slack = slack.at[lanes, pivot].get(mode="promise_in_bounds")
        own_value = value.at[lanes, pivot].get(mode="promise_in_bounds")
        inverse = jnp.where(active, 1 / own_slack, 0)
        at_pivot = (candidates == pivot[:, None]) & active[:, None]
        row = jnp.where(active[:, None], row, 0)
        term = jnp.where(at_pivot, (own_slack - jnp.sign(own_slack))[:, None], row)
        step = (own_value * inverse)[:, None]
        own_step = (own_value * jnp.abs(inverse))[:, None]
        value = jnp.where(at_pivot, own_step, value - row * step)
        slack = jnp.where(at_pivot, -inverse[:, None], slack - row * row * inverse[:, None])
        terms = lax.dynamic_update_slice_in_dim(terms, term[:, None], count, 1)
        scales = lax.dynamic_update_slice_in_dim(scales, inverse[:, None], count, 1)
        due = None if due is None else due & ~at_pivot
        pivoted = Pivoted(value, slack, inside ^ at_pivot, pivots + active, active)
        return pivoted, terms, scales, count + 1, due

    def unfinished(state: tuple[Any, ...]) -> jax.Array:
        return jnp.any(state[0].active) & (state[3] < size)

    # A loop for each block: none asks which blocks have begun, or writes into one that is full.
    full: list[tuple[jax.Array, jax.Array]] = []
    pivoted, dtype = begin, begin.value.dtype
    for _ in range(blocks):
        terms, scales = jnp.zeros((points, size, k), dtype), jnp.zeros((points, size), dtype)
        begun = first if not full else None
        if begun is not None:
            terms, scales = terms.at[:, 0].set(begun[0]), scales.at[:, 0].set(begun[1])
        count = jnp.asarray(int(begun is not None), jnp.int32)
        state = pivoted, terms, scales, count, due
        pivoted, terms, scales, _, due = lax.while_loop(unfinished, partial(advance, full), state)
        full = [*full, (terms, scales)]
    return Tableau(pivoted, *zip(*full, strict=True))


def room_for_terms(k: int) -> int:
    """How many terms a point of k candidates has room for."""
    blocks, size = blocks_of(k)
    return blocks * size


def blocks_of(k: int) -> tuple[int, int]:
    """How many blocks of how many terms: room for as many pivots as candidates and a few more.

    >>> blocks_of(15), blocks_of(50), blocks_of(200), blocks_of(1000)
    ((1, 24), (2, 32), (7, 32), (8, 128))
    """
    wanted = k + 8
    if wanted <= _BLOCK:
        return 1, -(-wanted // 8) * 8
    size = max(_BLOCK, wanted // 256 * _BLOCK + _BLOCK if wanted > 256 else _BLOCK)
    return -(-wanted // size), size
