"""A ring of devices: every block of every device's share is shown to every device.

A turn takes one block of each share once round the ring. While a device works on the block it
holds, the next one is already on its way. Nothing larger than a block ever travels, and a device
holds no more of the others than two blocks.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple, TypeVar

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh

from mgm_jax.parallel.devices import shard_rows
from mgm_jax.parallel.spread_jit import SPREAD, WHOLE, spread_jit

State = TypeVar("State")

# Rows of a block where rows are only moved.
_TAKE_BLOCK = 1024


class Visitor(NamedTuple):
    """A block of somebody's share.

    Attributes:
        parts: arrays ``[block, ...]``.
        first: row, among all rows, of the first of the block; int32.
        begin: rows of the block before this one came with an earlier block; int32.
        step: how many visitors came before in this turn; int32.
    """

    parts: Any
    first: jax.Array
    begin: jax.Array
    step: jax.Array


class Blocks(NamedTuple):
    """How a share is cut: ``count`` blocks of ``size`` rows, the last reaching back to be full."""

    count: int
    size: int


def cut(share: int, *, most: int, least: int = 1) -> Blocks:
    """Cut a share into blocks of about one size.

    Sizes are multiples of 16 where that is possible: selections like them.

    Args:
        share: rows to cut, at least ``least``.
        most: largest size of a block, a multiple of 16.
        least: smallest.

    >>> cut(100, most=64), cut(96, most=64), cut(7, most=64)
    (Blocks(count=2, size=64), Blocks(count=2, size=48), Blocks(count=1, size=7))
    """
    largest = min(share, most)
    if largest < 16:
        return Blocks(-(-share // largest), largest)
    count = -(-share // most)
    while (size := -(-share // count // 16) * 16) > largest:
        count += 1
    if size < least:
        size = largest // 16 * 16 if largest // 16 * 16 >= least else largest
    return Blocks(-(-share // size), size)


def over_blocks(
    function: Callable[..., Any],
    parts: Any,
    present: jax.Array,
    state: Any,
    *,
    blocks: Blocks,
    fresh_only: bool = True,
) -> Any:
    """Call ``function(parts, present, start, state)`` for every block of a share, in a program.

    Args:
        function: takes a block's parts, its presence, its first row and the state; returns the
            state.
        parts: arrays ``[share, ...]``.
        present: ``[share]`` bool.
        state: what the first call takes.
        blocks: how the share is cut.
        fresh_only: rows of the last block, which reaches back, are absent there where an earlier
            block held them, as sums and lists need it.
    """
    last = present.shape[0] - blocks.size

    def step(number: jax.Array, state: Any) -> Any:
        start = jnp.minimum(number * blocks.size, last)
        block, mask = jax.tree.map(
            lambda part: jax.lax.dynamic_slice_in_dim(part, start, blocks.size), (parts, present)
        )
        if fresh_only:
            mask &= start + jnp.arange(blocks.size) >= number * blocks.size
        return function(block, mask, start, state)

    return jax.lax.fori_loop(0, blocks.count, step, state)


def turn(
    shares: Any,
    number: jax.Array,
    state: State,
    visit: Callable[[State, Visitor], State],
    *,
    axis: str,
    devices: int,
    size: int,
    every: int | None = None,
    after: Callable[[State, jax.Array | int], State] | None = None,
) -> State:
    """Take one block of every share round the ring; for use under ``shard_map``.

    Args:
        shares: this device's arrays, ``[share, ...]`` each.
        number: which block, from 0; int32, the same on all devices.
        state: what ``visit`` builds up.
        visit: called with every visitor; must cost the same on all devices.
        axis: the mesh axis.
        devices: how many there are.
        size: rows of a block.
        every: how many visitors are a party; None for all.
        after: called with the state and the number of a party, from 0, once it has been seen.

    Returns:
        The state after the last visitor.
    """
    share = jax.tree.leaves(shares)[0].shape[0]
    start = jnp.minimum(number * size, share - size).astype(jnp.int32)
    begin = (number * size - start).astype(jnp.int32)
    onward = [(device, (device + 1) % devices) for device in range(devices)]

    def receive(parts: Any, step: jax.Array | int, state: State) -> State:
        owner = owner_at(step, axis=axis, devices=devices)
        parts = jax.tree.map(jax.lax.bitcast_convert_type, parts, types)
        first = (owner * share + start).astype(jnp.int32)
        return visit(state, Visitor(parts, first, begin, jnp.asarray(step, jnp.int32)))

    def step_on(step: jax.Array | int, carry: tuple[Any, State]) -> tuple[Any, State]:
        parts, state = carry
        coming = jax.tree.map(lambda part: jax.lax.ppermute(part, axis, onward), parts)
        return coming, receive(parts, step, state)

    # On a CPU as bits: those without bfloat16 would send it as float32.
    types = jax.tree.map(lambda part: part.dtype, shares)
    shares = jax.tree.map(_as_bits, shares)
    parts = jax.tree.map(lambda part: jax.lax.dynamic_slice_in_dim(part, start, size), shares)
    every = devices if every is None else min(every, devices)
    after = after or (lambda state, _: state)

    # Two at a time on accelerators: what comes third can lie where the first has left, and no
    # visitor is copied to make the memory after a step that of before.
    together = 1 if jax.default_backend() == "cpu" else 2

    def see_some(first: jax.Array | int, count: int, carry: tuple[Any, State]) -> Any:
        def see_few(number: jax.Array, carry: tuple[Any, State]) -> tuple[Any, State]:
            for step in range(together):
                carry = step_on(first + number * together + step, carry)
            return carry

        carry = jax.lax.fori_loop(0, count // together, see_few, carry)
        for step in range(count - count % together, count):
            carry = step_on(first + step, carry)
        return carry

    def see_party(number: jax.Array, carry: tuple[Any, State]) -> tuple[Any, State]:
        parts, state = see_some(number * every, every, carry)
        return parts, after(state, number)

    whole = (devices - 1) // every
    carry = parts, state
    if whole:
        carry = jax.lax.fori_loop(0, whole, see_party, carry)
    # The last visitor of all goes no further.
    parts, state = see_some(whole * every, devices - 1 - whole * every, carry)
    return after(receive(parts, devices - 1, state), whole)


def owner_at(step: Any, *, axis: str, devices: int) -> jax.Array:
    """Whose block visits this device at a step of a turn, from 0; for use under ``shard_map``."""
    return (jax.lax.axis_index(axis) - step) % devices


def _as_bits(part: jax.Array) -> jax.Array:
    narrow = part.dtype == jnp.bfloat16 and jax.default_backend() == "cpu"
    return jax.lax.bitcast_convert_type(part, jnp.uint16) if narrow else part


def take_rows(x: jax.Array, rows: np.ndarray, mesh: Mesh, *, least: int = 1) -> jax.Array:
    """Some rows of a spread array, spread again, without bringing them together.

    Args:
        x: ``[n, d]``, spread by rows over the mesh.
        rows: ``[r]`` ascending.
        mesh: the devices, of one or many processes.
        least: fewest rows of a share.

    Returns:
        ``[r', d]`` spread over the mesh, zeros from r on to fill the shares.
    """
    share = max(-(-rows.size // mesh.size), least)
    wanted = np.full(share * mesh.size, np.iinfo(np.int32).max, np.int32)
    wanted[: rows.size] = rows
    blocks = cut(x.shape[0] // mesh.size, most=_TAKE_BLOCK)
    start = spread_jit(_begin, mesh, share=share)
    take = spread_jit(
        _take_turn,
        mesh,
        inputs=(SPREAD, SPREAD, SPREAD, WHOLE),
        donate=(2,),
        axis=mesh.axis_names[0],
        devices=mesh.size,
        size=blocks.size,
    )
    results, wanted = start(x), shard_rows(wanted, mesh)
    for number in range(blocks.count):
        results = take(x, wanted, results, np.int32(number))
    return results


def _begin(x: jax.Array, *, share: int) -> jax.Array:
    return jnp.zeros((share, *x.shape[1:]), x.dtype)


def _take_turn(
    x: jax.Array,
    wanted: jax.Array,
    results: jax.Array,
    number: jax.Array,
    *,
    axis: str,
    devices: int,
    size: int,
) -> jax.Array:
    share = wanted.shape[0]
    batch = min(share, _TAKE_BLOCK)

    def visit(results: jax.Array, visitor: Visitor) -> jax.Array:
        # The wanted rows rise, so those of this visitor stand side by side.
        start = jnp.sum(wanted < visitor.first + visitor.begin, dtype=jnp.int32)
        stop = jnp.sum(wanted < visitor.first + size, dtype=jnp.int32)

        def take_batch(b: jax.Array, results: jax.Array) -> jax.Array:
            positions = start + b * batch + jnp.arange(batch, dtype=jnp.int32)
            local = wanted[jnp.minimum(positions, share - 1)] - visitor.first
            values = visitor.parts[jnp.clip(local, 0, size - 1)]
            # What another visitor brings is written nowhere.
            return results.at[jnp.where(positions < stop, positions, share)].set(
                values, mode="drop"
            )

        return jax.lax.fori_loop(0, -(-(stop - start) // batch), take_batch, results)

    return turn(x, number, results, visit, axis=axis, devices=devices, size=size)
