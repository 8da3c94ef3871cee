"""A stack of logistic regressions on their way: one step of L-BFGS for each of them.

The regressions share their features and nothing else. Every call evaluates all of them once, in
one product; a regression whose step was not good tries half of it in the next call, while the
others go on.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache, partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.sharding import Mesh, PartitionSpec

from mgm_jax.probe.logistic.loss import loss_and_slope

_MEMORY = 5
# Least share of the promised decrease that a step must bring, and what rounding may hide of it.
_DECREASE, _ROUNDING = 1e-4, 1e-6


class Lanes(NamedTuple):
    """A stack of regressions on their way; every field has the lanes first.

    Attributes:
        point: weights in the solver's coordinates, ``[s, r', c]``.
        value: objective, ``[s]``.
        slope: gradient in these coordinates.
        direction: of the step that is tried.
        step: its length.
        memory: of L-BFGS.
        squared: of the gradient by weights and by intercepts, ``[s, 2]``.
        curved: sum of ``p (1 - p)`` over rows and classes, ``[s]``.
    """

    point: jax.Array
    value: jax.Array
    slope: jax.Array
    direction: jax.Array
    step: jax.Array
    memory: Any
    squared: jax.Array
    curved: jax.Array


def _optimiser():
    import optax

    return optax.scale_by_lbfgs(memory_size=_MEMORY)


@jax.jit
def begin(point: jax.Array, step: jax.Array) -> Lanes:
    """Lanes that start at points ``[s, r, c]`` of the solver with first steps ``[s]``."""
    lanes = point.shape[0]
    return Lanes(
        point=point,
        value=jnp.full(lanes, jnp.inf, jnp.float32),
        slope=jnp.zeros_like(point),
        direction=jnp.zeros_like(point),
        step=step,
        memory=jax.vmap(_optimiser().init)(point),
        squared=jnp.full((lanes, 2), jnp.inf, jnp.float32),
        curved=jnp.zeros(lanes, jnp.float32),
    )


@jax.jit
def subset(state: Lanes, index: jax.Array) -> Lanes:
    """The lanes of a stack that an index names."""
    return jax.tree.map(lambda part: part[index], state)


@jax.jit
def renew(state: Lanes, factor: jax.Array, change: jax.Array, step: jax.Array) -> Lanes:
    """Restart some lanes where they are, in other coordinates."""
    restarted = begin(state.point * factor[:, :, None], step)
    return _choose(change, restarted, state)


def _choose(mask: jax.Array, new: Lanes, old: Lanes) -> Lanes:
    return jax.tree.map(
        lambda a, b: jnp.where(mask.reshape(-1, *([1] * (a.ndim - 1))), a, b), new, old
    )


def _advance(
    state: Lanes,
    z: jax.Array,
    codes: jax.Array,
    scale: jax.Array,
    ridge: jax.Array,
    *,
    rank: int,
    axis: tuple[str, ...] | None = None,
) -> Lanes:
    """Try one step of every lane; where it was good take it and choose the next, else halve it.

    Args:
        state: the lanes.
        z: features in the coordinates of the problem ``[n, r]``; under ``shard_map`` this
            device's share of the rows.
        codes: see :func:`~mgm_jax.probe.logistic.loss.loss_and_slope`.
        scale: weights over the solver's coordinates ``[s, r]``.
        ridge: penalty of each weight ``[s, r]``; 0 for the intercept and for columns that fill up.
        rank: column of the intercept.
        axis: mesh axis that the rows are spread over; None for no mesh.
    """
    point, weights = tried(state, scale)
    sums = loss_and_slope(weights, z, codes)
    if axis is not None:
        sums = jax.lax.psum(sums, axis)
    return settle(state, point, weights, sums, scale, ridge, rank=rank)


#: :func:`_advance` on one device.
advance = jax.jit(_advance, static_argnames=("rank", "axis"), donate_argnames=("state",))


@lru_cache(maxsize=64)
def advance_on(mesh: Mesh, rank: int) -> Callable[..., Lanes]:
    """:func:`_advance` of rows spread over a mesh: every device settles the same steps."""
    rows, whole = PartitionSpec(mesh.axis_names), PartitionSpec()
    return jax.jit(
        jax.shard_map(
            partial(_advance, rank=rank, axis=mesh.axis_names),
            mesh=mesh,
            in_specs=(whole, rows, rows, whole, whole),
            out_specs=whole,
            check_vma=False,
        ),
        donate_argnums=(0,),
    )


def tried(state: Lanes, scale: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Where the steps of all lanes lead: the solver's coordinates, and the weights, ``[s, r, c]``.

    Pure, for use under ``jit``.
    """
    point = state.point - state.step[:, None, None] * state.direction
    return point, point * scale[:, :, None]


def settle(
    state: Lanes,
    point: jax.Array,
    weights: jax.Array,
    sums: tuple[jax.Array, jax.Array, jax.Array],
    scale: jax.Array,
    ridge: jax.Array,
    *,
    rank: int,
) -> Lanes:
    """Take the steps that were good, halve the others.

    Pure, for use under ``jit``.

    Args:
        state: the lanes before.
        point: see :func:`tried`.
        weights: likewise.
        sums: over all rows, of what ``loss_and_slope`` returns at these weights.
        scale: as in :func:`advance`.
        ridge: likewise.
        rank: likewise.
    """

    def inner(a: jax.Array, b: jax.Array) -> jax.Array:
        return jnp.sum(a * b, axis=(1, 2))

    loss, by_weights, curved = sums
    value = loss + 0.5 * jnp.sum(ridge[:, :, None] * weights**2, axis=(1, 2))
    by_weights += ridge[:, :, None] * weights
    slope = by_weights * scale[:, :, None]
    first = jnp.isinf(state.value)
    promised = state.step * inner(state.slope, state.direction)
    allowed = state.value * (1 + _ROUNDING) - _DECREASE * promised
    good = first | (value <= allowed)
    # On a CPU lane by lane: its memory stays within the caches, and lanes that wait cost nothing.
    direction, memory = jax.lax.platform_dependent(
        (good, first, slope, point, state), cpu=partial(jax.lax.map, _next), default=jax.vmap(_next)
    )
    squares = jnp.sum(by_weights**2, axis=2)
    squared = jnp.stack([jnp.sum(squares[:, :rank], axis=1), squares[:, rank]], axis=1)
    step = jnp.where(first, state.step, jnp.where(good, 1, state.step / 2))
    new = Lanes(point, value, slope, direction, step, memory, squared, curved)
    kept = state._replace(direction=direction, step=step, memory=memory)
    return _choose(good, new, kept)


def _next(lane: tuple[jax.Array, jax.Array, jax.Array, jax.Array, Lanes]) -> tuple[Any, Any]:
    """Direction and memory of one lane after its step was good; else those that it had."""
    good, first, slope, point, state = lane

    def renewed() -> tuple[Any, Any]:
        direction: Any
        direction, memory = _optimiser().update(slope, state.memory, point)
        # The coordinates are made for the gradient itself to be a first step.
        plain = first | (jnp.vdot(slope, direction) <= 0)
        return jnp.where(plain, slope, direction), memory

    return jax.lax.cond(good, renewed, lambda: (state.direction, state.memory))
