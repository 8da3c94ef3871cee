"""The ranking in pairs of float32 as a Pallas kernel of TPUs.

It fetches the candidates row by row from memory, the next query's while it works on this one's.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from mgm_jax.geometry.knn.in_pairs.pieces import (
    LANES,
    Plan,
    Steps,
    Sums,
    exponents_of,
    merged,
    pieces_of,
    split,
    steps_of,
    summed,
    sums_of,
)

ROWS, MOST = 32, 128
"""Queries of a step of the kernel, and the most candidates whose results fit a tile."""
TOGETHER = 64
"""Pairs that take the place of a query and its candidates."""

_SUBLANES = 8
# Places in a tile of results: three parts of a square, what of it is rounded, two of a length.
_PARTS, _GROUPS = 6, 16


def parts_in_pallas(
    queries: jax.Array,
    base: jax.Array,
    chosen: jax.Array,
    profile: jax.Array,
    reach: jax.Array,
    *,
    plan: Plan,
    kernel: str,
) -> tuple[jax.Array, ...]:
    """What ``rank._parts_in_xla`` returns, of queries ``[r, 1, w]`` and candidates ``[r, c]``."""
    from jax.experimental import pallas as pl
    from jax.experimental.pallas import tpu as pltpu

    (rows, count), width = chosen.shape, base.shape[2]
    more, filling = -rows % ROWS, -count % _SUBLANES
    wide = count + filling
    # The reach of a query stands behind its candidates, as bits.
    chosen = jnp.pad(chosen, ((0, more), (0, filling)))
    bits = jnp.pad(lax.bitcast_convert_type(reach, jnp.int32), (0, more))
    chosen = jnp.concatenate([chosen, bits[:, None]], axis=1)
    queries = jnp.pad(queries, ((0, more), (0, 0), (0, 0)))
    # What is waited for is described by as many rows.
    base = jnp.pad(base, ((0, max(0, wide - base.shape[0])), (0, 0), (0, 0)))
    spec = pl.BlockSpec((ROWS, wide + 1), lambda i: (i, jnp.int32(0)), memory_space=pltpu.SMEM)
    call = _call(rows + more, wide, width, [spec], pairs=False, plan=plan, kernel=kernel)
    parts = _parts_of(call(chosen, _broadcast(profile), queries, base), wide)
    return tuple(parts[:, :rows, :count])


def pair_parts_in_pallas(
    queries: jax.Array,
    base: jax.Array,
    whose: jax.Array,
    chosen: jax.Array,
    profile: jax.Array,
    reach: jax.Array,
    *,
    plan: Plan,
    kernel: str,
) -> tuple[jax.Array, ...]:
    """The same of pairs ``[p]``, each of a query and a point of the base, and a reach of its own.

    Their number is a multiple of ``ROWS * TOGETHER``.
    """
    from jax.experimental import pallas as pl
    from jax.experimental.pallas import tpu as pltpu

    rows, width = chosen.size // TOGETHER, base.shape[2]
    names = pl.BlockSpec((ROWS, TOGETHER), lambda i: (i, jnp.int32(0)), memory_space=pltpu.SMEM)
    reaches = pl.BlockSpec((ROWS * TOGETHER, 1), lambda i: (i, jnp.int32(0)))
    specs = [names, names, reaches]
    call = _call(rows, TOGETHER, width, specs, pairs=True, plan=plan, kernel=kernel)
    chosen, whose = (part.reshape(rows, TOGETHER) for part in (chosen, whose))
    if kernel == "pallas":
        # A block of a ring might fit the vector memory, within which copies are loads and stores.
        queries, base = (
            pltpu.with_memory_space_constraint(part, pltpu.MemorySpace.HBM)
            for part in (queries, base)
        )
    out = call(chosen, whose, reach[:, None], _broadcast(profile), queries, base)
    return tuple(_parts_of(out, TOGETHER).reshape(_PARTS, -1))


def _broadcast(profile: jax.Array) -> jax.Array:
    return jnp.broadcast_to(profile, (_SUBLANES, LANES))


def _parts_of(out: jax.Array, wide: int) -> jax.Array:
    """Results of the kernel as ``[_PARTS, rows, wide]``."""
    rows = out.shape[0]
    out = out.reshape(rows, _SUBLANES, LANES // _GROUPS, _GROUPS)
    out = out[:, :, :_PARTS, : wide // _SUBLANES].transpose(2, 0, 3, 1)
    return out.reshape(_PARTS, rows, wide)


def _call(
    rows: int, wide: int, width: int, specs: list[Any], *, pairs: bool, plan: Plan, kernel: str
) -> Any:
    from jax.experimental import pallas as pl
    from jax.experimental.pallas import tpu as pltpu

    queries = wide if pairs else 1
    return pl.pallas_call(
        partial(_rank_kernel, count=wide, plan=plan, pairs=pairs),
        grid=(rows // ROWS,),
        in_specs=[
            *specs,
            pl.BlockSpec((_SUBLANES, LANES), lambda i: (jnp.int32(0), jnp.int32(0))),
            pl.BlockSpec(memory_space=pl.ANY),
            pl.BlockSpec(memory_space=pl.ANY),
        ],
        out_specs=pl.BlockSpec((ROWS, _SUBLANES, LANES), lambda i: (i, jnp.int32(0), jnp.int32(0))),
        out_shape=jax.ShapeDtypeStruct((rows, _SUBLANES, LANES), jnp.float32),
        scratch_shapes=[
            # Two of each and not one of twice the size, so that the compiler sees that what
            # arrives in one is not what is read from the other.
            *[pltpu.VMEM((wide, width), jnp.float32)] * 2,
            *[pltpu.VMEM((queries, width), jnp.float32)] * 2,
            pltpu.VMEM((len(Sums._fields), wide, LANES), jnp.float32),
            pltpu.SemaphoreType.DMA((2,)),
            pltpu.SemaphoreType.DMA((2,)),
        ],
        interpret=pltpu.InterpretParams() if kernel == "interpret" else False,
        # All indices are those of rows.
        compiler_params=pltpu.CompilerParams(disable_bounds_checks=True),
        name="rank_pairs" if pairs else "rank_in_pairs",
    )


def _rank_kernel(chosen: Any, *parts: Any, count: int, plan: Plan, pairs: bool) -> None:
    """Results of candidate ``8 g + s`` of a query in sublane s, lanes g, 16 + g and so on.

    With ``pairs`` every candidate has a query and a reach of its own.
    """
    from jax.experimental import pallas as pl
    from jax.experimental.pallas import tpu as pltpu

    whose, reaches, *rest = parts if pairs else (chosen, chosen, *parts)
    profile, queries, base, out, *scratch = rest
    fetched, query, (kept, arrived, query_arrived) = scratch[:2], scratch[2:4], scratch[4:]
    width, groups = base.shape[2], count // _SUBLANES
    first_row = pl.program_id(0) * np.int32(ROWS)

    def fetch_query(row: Any, slot: int) -> Any:
        return pltpu.make_async_copy(
            queries.at[first_row + row], query[slot], query_arrived.at[slot]
        )

    def fetch(row: Any, slot: int, group: int) -> None:
        for number in range(group * _SUBLANES, (group + 1) * _SUBLANES):
            pltpu.make_async_copy(
                base.at[chosen[row, number]],
                fetched[slot].at[number : number + 1],
                arrived.at[slot],
            ).start()
            if pairs:
                pltpu.make_async_copy(
                    queries.at[whose[row, number]],
                    query[slot].at[number : number + 1],
                    query_arrived.at[slot],
                ).start()

    def wait(slot: int) -> None:
        # One wait for as many bytes as all candidates have.
        as_many = fetched[1 - slot], fetched[slot], arrived.at[slot]
        pltpu.make_async_copy(*as_many).wait()
        if pairs:
            pltpu.make_async_copy(query[1 - slot], query[slot], query_arrived.at[slot]).wait()
        else:
            fetch_query(np.int32(0), slot).wait()

    def rank(row: Any, slot: int) -> None:
        wait(slot)
        following = jnp.minimum(row + np.int32(1), np.int32(ROWS - 1))
        lanes = lax.broadcasted_iota(jnp.int32, (_SUBLANES, LANES), 1)

        def steps_at(group: int, rows: int = _SUBLANES) -> Steps:
            """Steps of a group of pairs, or from there on."""
            start = row * np.int32(count) + np.int32(group * _SUBLANES)
            reach = jnp.broadcast_to(reaches[pl.ds(start, rows), :], (rows, LANES))
            shares = jnp.broadcast_to(profile[:1], (rows, LANES))
            return steps_of(exponents_of(shares, reach), plan.finer)

        if not pairs:
            fetch_query(following, 1 - slot).start()
            bits = jnp.full((_SUBLANES, LANES), chosen[row, count], jnp.int32)
            reach = lax.bitcast_convert_type(bits, jnp.float32)
            steps = steps_of(exponents_of(profile[...], reach), plan.finer)

        def tile(values: Any, t: int) -> jax.Array:
            part = jnp.broadcast_to(values[:, t * LANES : (t + 1) * LANES], lanes.shape)
            filled = plan.features - t * LANES
            return part if filled >= LANES else jnp.where(lanes < np.int32(filled), part, 0)

        def add(group: int, piece: range, of_query: list[tuple[jax.Array, ...]]) -> None:
            block = slice(group * _SUBLANES, (group + 1) * _SUBLANES)
            near = fetched[slot].at[block]
            own = steps_at(group) if pairs else steps
            if pairs:
                of_query = [split(tile(query[slot].at[block], t), own) for t in piece]
            fresh = sums_of([tile(near, t) for t in piece], of_query, own)
            for number, part in enumerate(fresh):
                kept[number, block] = kept[number, block] + part if piece.start else part

        pieces = pieces_of(plan)
        # Branches that are always taken: beyond them nothing is moved forward, which would take
        # more registers than there are.
        always = chosen[row, 0] >= 0
        for number, piece in enumerate(pieces):
            fetched_here = range(number, groups, len(pieces))
            # Written out: the places are constants then, and copies cost fewer instructions.
            if pairs:
                for group in range(groups):

                    @pl.when(always)
                    def _(
                        group: int = group, piece: range = piece, here: Any = fetched_here
                    ) -> None:
                        if group in here:
                            fetch(following, 1 - slot, group)
                        add(group, piece, [])

                continue

            @pl.when(always)
            def _(piece: range = piece, here: Any = fetched_here) -> None:
                for group in here:
                    fetch(following, 1 - slot, group)
                of_query = [split(tile(query[slot], t), steps) for t in piece]
                for group in range(groups):
                    add(group, piece, of_query)

        # What takes steps across lanes is done for all candidates at once, which hides how long
        # these take.
        tail = fetched[slot][:, width - LANES : width]
        whole = lax.broadcasted_iota(jnp.int32, tail.shape, 1)

        def entry(lane: int) -> jax.Array:
            only = jnp.where(whole == np.int32(lane), tail, np.float32(0))
            return jnp.sum(only, axis=1, keepdims=True)

        sums = Sums(*(kept[number] for number in range(len(Sums._fields))))
        square = steps_at(0, count).square if pairs else steps.square[:1]
        square = jnp.broadcast_to(square, tail.shape)
        below = jnp.sum(sums.below, axis=1, keepdims=True)
        squared = *summed(*merged(sums, square, plan)), below
        results = jnp.zeros((_SUBLANES, LANES), jnp.float32)
        for number, part in enumerate((*squared, entry(LANES - 2), entry(LANES - 1))):
            for group in range(groups):
                block = part[group * _SUBLANES : (group + 1) * _SUBLANES]
                lane = np.int32(number * _GROUPS + group)
                results = jnp.where(lanes == lane, block, results)
        out[row] = results

    def rank_two(pair: Any, carried: Any) -> Any:
        for slot in (0, 1):
            rank(pair * np.int32(2) + np.int32(slot), slot)
        return carried

    if not pairs:
        fetch_query(np.int32(0), 0).start()
    for group in range(groups):
        fetch(np.int32(0), 0, group)
    lax.fori_loop(np.int32(0), np.int32(ROWS // 2), rank_two, np.int32(0))
    # The last query and its candidates were fetched once more.
    wait(0)
