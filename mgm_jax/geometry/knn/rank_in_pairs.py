"""Candidates in the order of their exact distances, without float64: in pairs of float32.

Differences of float32 numbers are sums of two of them, exactly, and so are their squares. Those
are added with what rounding takes from each addition kept aside, so that a squared distance is
known to ``relative_error`` of itself, whatever cancels between the points. Reported distances are
rounded to float32: where the error decides to which side, or the distances are so small that low
parts are lost, the row is *open*, and is ranked on the host.

On TPUs a Pallas kernel fetches the candidates row by row from memory, the next query's while it
works on this one's; elsewhere the same arithmetic is XLA's, some rows at a time.

Points are scaled by powers of two, which rounds nothing: under the cosine to lengths from 1 to 2,
candidates once more to within sqrt 2 of the query's, so that ``2 |a| |b| (1 - cos) =
|a - b|^2 - (|a| - |b|)^2`` cancels little.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from mgm_jax.geometry.backend import pairs
from mgm_jax.geometry.backend.pairs import Pair
from mgm_jax.geometry.backend.precision import single_precision
from mgm_jax.geometry.knn.distance import COSINE_FLOOR, RAISED, Metric, Points
from mgm_jax.geometry.knn.selection import NOBODY, order_by_distance

_LANES, _SUBLANES = 128, 8
# Queries of a step of the kernel, and the most candidates whose results fit a tile.
_ROWS, _MOST = 32, 128
# Tiles of all candidates whose squares are added in one straight piece of the kernel.
_TILES = 4
# Places in a tile of results: three parts of a square, two of a length.
_PARTS, _GROUPS = 5, 16
# Values of the candidates that XLA gathers at once.
_GATHERED_VALUES = 2**24
_ROOT_2 = np.float32(2**0.5)
# Squares below this lose their low parts.
_SMALLEST = np.float32(2.0**-90)
_PAIR = np.float32(2.0**-44)


def width_for_ranking(features: int) -> int:
    """Columns of a table of points with some number of features.

    >>> width_for_ranking(126), width_for_ranking(128)
    (128, 256)
    """
    return -(-(features + 2) // _LANES) * _LANES


def table_for_ranking(points: Points, *, metric: Metric) -> jax.Array:
    """Points as they are ranked; float64 must be on, but only numbers of points are of it.

    Returns:
        ``[n, 1, w]`` float32, w a multiple of 128: values times a power of two, zeros, and in the
        last two columns the high and low part of the length under the cosine. The dimension of
        one keeps each point in one piece in the memory of TPUs.
    """
    n, d = points.values.shape
    width = width_for_ranking(d)
    mantissa, exponent = jnp.frexp(points.scales)
    if metric == "cosine":
        length = points.lengths / jnp.where(mantissa > 0, mantissa, 1)
    else:
        # The scale is a power of two itself, and its mantissa a half.
        exponent, length = exponent - 1, jnp.ones(n, jnp.float64)
    high = length.astype(jnp.float32)
    low = (length - high).astype(jnp.float32)
    # In two steps, none of which leaves the range of float32 where the result does not.
    half = exponent // 2
    first, second = (jnp.ldexp(jnp.float32(1), part)[:, None] for part in (half, exponent - half))
    values = points.values.astype(jnp.float32) * first * second
    filled = jnp.pad(values, ((0, 0), (0, width - d - 2)))
    return jnp.concatenate([filled, high[:, None], low[:, None]], axis=1)[:, None]


def relative_error(width: int) -> float:
    """How far a squared distance can be off, relative to itself, for tables of some width.

    A lane adds one square of each of n tiles. It keeps aside at most 2^-24 of its sum for every
    addition and 2^-21 for the low parts of the squares; adding that up rounds n + 12 times by
    2^-24 of it. Taken twice.
    """
    n = width // _LANES
    return 2 * 2.0**-24 * (n + 12) * (n * 2.0**-24 + 2.0**-21)


@partial(jax.jit, static_argnames=("k", "metric", "kernel"))
def rank_in_pairs(
    queries: jax.Array,
    base: jax.Array,
    candidates: jax.Array,
    *,
    k: int,
    metric: Metric,
    kernel: str,
) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Order candidates by their exact distance and keep k.

    Args:
        queries: ``[r, 1, w]`` of :func:`table_for_ranking`.
        base: ``[m, 1, w]``, likewise.
        candidates: ``[r, c]`` int32 rows of the base; outside ``0 .. m - 1`` for nobody.
        k: how many to keep, at most c.
        metric: which distance.
        kernel: ``"pallas"`` on a TPU, ``"interpret"`` for the same on a CPU, ``"xla"``.

    Returns:
        Distances ``[r, k]`` float32 in scaled units and indices ``[r, k]`` int32, as ``rerank``
        does in float64; and ``[r]`` bool, rows whose distances or order this leaves open.
    """
    with single_precision():
        m, _, width = base.shape
        real = (candidates >= 0) & (candidates < m)
        chosen = jnp.where(real, candidates, 0)
        cosine = metric == "cosine"
        if kernel == "xla" or candidates.shape[1] > _MOST:
            parts = _parts_in_xla(queries, base, chosen, cosine=cosine)
        else:
            parts = _parts_in_pallas(queries, base, chosen, cosine=cosine, kernel=kernel)
        lengths = Pair(queries[:, 0, -2:-1], queries[:, 0, -1:])
        distances, unsure = _reported(parts, lengths, width, metric=metric)
        distances = jnp.where(real, distances, jnp.inf)
        ordered, who = order_by_distance(distances, jnp.where(real, candidates, NOBODY), count=k)
        # A distance that may be one step lower or higher matters up to a step beyond the last.
        last = ordered[:, -1:] * np.float32(1 + 2.0**-22)
        return ordered, who, jnp.any(unsure & real & (distances <= last), axis=1)


def compile_for(array: Any, *, width: int) -> None:
    """Compile the kernel for a device; raises what its compiler raises.

    Args:
        array: makes a description of an array on the device, of a shape and ``dtype``.
        width: number of features.
    """
    columns = width_for_ranking(width)
    queries, base = array(_ROWS, 1, columns), array(2 * _MOST, 1, columns)
    candidates = array(_ROWS, _MOST, dtype=jnp.int32)
    rank_in_pairs.lower(queries, base, candidates, k=1, metric="cosine", kernel="pallas").compile()


def _reported(
    parts: tuple[jax.Array, ...], lengths: Pair, width: int, *, metric: Metric
) -> tuple[jax.Array, jax.Array]:
    """Distances ``[r, c]`` rounded to float32, and whether their error decides how."""
    first, second, third, high, low = parts
    squared = pairs.add(pairs.two_sum(first, second), pairs.from_float32(third))
    error = np.float32(relative_error(width)) * squared.high
    if metric == "cosine":
        length = pairs.scale(Pair(high, low), _nearer(high, lengths.high))
        longer = pairs.subtract(length, lengths)
        above = pairs.subtract(squared, pairs.multiply(longer, longer))
        below = pairs.scale(pairs.multiply(length, lengths), np.float32(2))
        found = pairs.divide(above, below)
        error = error + _PAIR * (squared.high + jnp.abs(longer.high))
        error = error / below.high + _PAIR * jnp.abs(found.high)
        surely_none = found.high + error < np.float32(COSINE_FLOOR)
        found = pairs.where(surely_none, pairs.ZERO, found)
        error = jnp.where(surely_none, np.float32(0), error)
    elif metric == "sqeuclidean":
        found = pairs.scale(squared, np.float32(RAISED))
        error = (error + _PAIR * squared.high) * np.float32(RAISED)
    else:
        found = pairs.square_root(squared)
        share = np.float32(relative_error(width)) + _PAIR
        error = share * found.high * np.float32(RAISED)
        found = pairs.scale(found, np.float32(RAISED))
    value, rest = pairs.quick_two_sum(found.high, found.low)
    error = error * np.float32(1.01)
    unsure = (value + (rest + error) != value) | (value + (rest - error) != value)
    unsure |= (squared.high > 0) & (squared.high < _SMALLEST)
    return jnp.maximum(value, 0), unsure


def _nearer(length: jax.Array, of_query: jax.Array) -> jax.Array:
    """The power of two that brings a length within sqrt 2 of the query's."""
    less = jnp.where(length * _ROOT_2 < of_query, np.float32(2), np.float32(1))
    return jnp.where(length > of_query * _ROOT_2, np.float32(0.5), less)


def _add_squares(
    sums: jax.Array, aside: jax.Array, a: jax.Array, b: jax.Array
) -> tuple[jax.Array, jax.Array]:
    """Add ``(a - b)^2`` to sums of at least 0, and to what is kept aside what rounding took."""
    difference = a - b
    of_b = difference - a
    lost = (a - (difference - of_b)) - (b + of_b)
    upper, lower = pairs.halves(difference)
    square, rest = pairs.quick_two_sum(upper * upper, (upper + upper) * lower)
    larger, smaller = jnp.maximum(sums, square), jnp.minimum(sums, square)
    total, rounded = pairs.quick_two_sum(larger, smaller)
    low = lower * lower + (difference + difference) * lost
    return total, aside + ((rounded + rest) + low)


def _summed(sums: jax.Array, aside: jax.Array) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Three numbers that add up to the sum of all lanes ``[..., 128]``, the first two exact."""
    largest = jnp.max(sums, axis=-1, keepdims=True)
    bits = lax.bitcast_convert_type(largest, jnp.int32) & np.int32(0x7F800000)
    # Adding and taking off this number rounds to a grid of 2^-16 of the largest: 128 such
    # numbers have a sum of 24 bits.
    rounder = lax.bitcast_convert_type(bits, jnp.float32) * np.float32(384)
    first = (sums + rounder) - rounder
    rest = sums - first
    rounder = rounder * np.float32(2.0**-17)
    second = (rest + rounder) - rounder
    third = (rest - second) + aside
    first, second, third = (
        jnp.sum(part, axis=-1, keepdims=True) for part in (first, second, third)
    )
    return first, second, third


def _sums_of(
    tiles: Any,
    of_query: Any,
    which: range,
    *,
    last: int,
    nearer: jax.Array | None,
    so_far: tuple[jax.Array, jax.Array] | None = None,
) -> tuple[jax.Array, jax.Array]:
    """Sums of squared differences in each lane, over tiles ``tiles(t)`` and ``of_query(t)``.

    The last two lanes of the last tile are lengths, and left out.
    """
    for t in which:
        a, b = tiles(t), of_query(t)
        if t == last:
            value = lax.broadcasted_iota(jnp.int32, a.shape, a.ndim - 1) < _LANES - 2
            a, b = jnp.where(value, a, 0), jnp.where(value, b, 0)
        if nearer is not None:
            a = a * nearer
        if so_far is None:
            nothing = jnp.zeros(a.shape, jnp.float32)
            so_far = nothing, nothing
        so_far = _add_squares(*so_far, a, b)
    assert so_far is not None
    return so_far


def _parts_in_xla(
    queries: jax.Array, base: jax.Array, chosen: jax.Array, *, cosine: bool
) -> tuple[jax.Array, ...]:
    rows, count = chosen.shape
    width = base.shape[2]

    def one(row: tuple[jax.Array, jax.Array]) -> tuple[jax.Array, ...]:
        query, whose = row
        found = base[whose, 0]

        def cut(values: jax.Array, t: int) -> jax.Array:
            return values[..., t * _LANES : (t + 1) * _LANES]

        high, low = found[:, -2:-1], found[:, -1:]
        nearer = _nearer(high, query[0, -2]) if cosine else None
        tiles, of_query = partial(cut, found), partial(cut, query)
        count_of = width // _LANES
        sums = _sums_of(tiles, of_query, range(count_of), last=count_of - 1, nearer=nearer)
        return tuple(part[:, 0] for part in (*_summed(*sums), high, low))

    together = max(1, min(rows, _GATHERED_VALUES // (count * width)))
    return lax.map(one, (queries, chosen), batch_size=together)


def _parts_in_pallas(
    queries: jax.Array, base: jax.Array, chosen: jax.Array, *, cosine: bool, kernel: str
) -> tuple[jax.Array, ...]:
    from jax.experimental import pallas as pl
    from jax.experimental.pallas import tpu as pltpu

    (rows, count), width = chosen.shape, base.shape[2]
    more, filling = -rows % _ROWS, -count % _SUBLANES
    chosen = jnp.pad(chosen, ((0, more), (0, filling)))
    queries = jnp.pad(queries, ((0, more), (0, 0), (0, 0)))
    wide = count + filling
    # What is waited for is described by as many rows.
    base = jnp.pad(base, ((0, max(0, wide - base.shape[0])), (0, 0), (0, 0)))
    out = pl.pallas_call(
        partial(_rank_kernel, count=wide, cosine=cosine),
        grid=((rows + more) // _ROWS,),
        in_specs=[
            pl.BlockSpec((_ROWS, wide), lambda i: (i, jnp.int32(0)), memory_space=pltpu.SMEM),
            pl.BlockSpec(memory_space=pl.ANY),
            pl.BlockSpec(memory_space=pl.ANY),
        ],
        out_specs=pl.BlockSpec(
            (_ROWS, _SUBLANES, _LANES), lambda i: (i, jnp.int32(0), jnp.int32(0))
        ),
        out_shape=jax.ShapeDtypeStruct((rows + more, _SUBLANES, _LANES), jnp.float32),
        scratch_shapes=[
            # Two of each and not one of twice the size, so that the compiler sees that what
            # arrives in one is not what is read from the other.
            *[pltpu.VMEM((wide, width), jnp.float32)] * 2,
            *[pltpu.VMEM((1, width), jnp.float32)] * 2,
            pltpu.VMEM((3, wide, _LANES), jnp.float32),
            pltpu.SemaphoreType.DMA((2,)),
            pltpu.SemaphoreType.DMA((2,)),
        ],
        interpret=pltpu.InterpretParams() if kernel == "interpret" else False,
        # All indices are those of rows.
        compiler_params=pltpu.CompilerParams(disable_bounds_checks=True),
        name="rank_in_pairs",
    )(chosen, queries, base)
    out = out[:rows].reshape(rows, _SUBLANES, _LANES // _GROUPS, _GROUPS)
    out = out[:, :, :_PARTS, : wide // _SUBLANES].transpose(2, 0, 3, 1)
    return tuple(out.reshape(_PARTS, rows, wide)[:, :, :count])


def _rank_kernel(
    chosen: Any, queries: Any, base: Any, out: Any, *scratch: Any, count: int, cosine: bool
) -> None:
    """Results of candidate ``8 g + s`` of a query in sublane s, lanes g, 16 + g and so on."""
    from jax.experimental import pallas as pl
    from jax.experimental.pallas import tpu as pltpu

    fetched, query, (kept, arrived, query_arrived) = scratch[:2], scratch[2:4], scratch[4:]
    width = base.shape[2]
    tiles, groups = width // _LANES, count // _SUBLANES
    first_row = pl.program_id(0) * np.int32(_ROWS)

    def fetch_query(row: Any, slot: int) -> Any:
        return pltpu.make_async_copy(
            queries.at[first_row + row], query[slot], query_arrived.at[slot]
        )

    def fetch(row: Any, slot: int, group: int) -> None:
        for place in range(group * _SUBLANES, (group + 1) * _SUBLANES):
            pltpu.make_async_copy(
                base.at[chosen[row, place]],
                fetched[slot].at[place : place + 1],
                arrived.at[slot],
            ).start()

    def wait(slot: int) -> None:
        # One wait for as many bytes as all candidates have.
        as_many = fetched[1 - slot], fetched[slot], arrived.at[slot]
        pltpu.make_async_copy(*as_many).wait()
        fetch_query(np.int32(0), slot).wait()

    def rank(row: Any, slot: int) -> None:
        wait(slot)
        following = jnp.minimum(row + np.int32(1), np.int32(_ROWS - 1))
        fetch_query(following, 1 - slot).start()

        def of_query(t: int, rows: int) -> jax.Array:
            part = query[slot][:, t * _LANES : (t + 1) * _LANES]
            return jnp.broadcast_to(part, (rows, _LANES))

        # What takes steps across lanes is done for all candidates at once, which hides how long
        # these take.
        tail = fetched[slot][:, width - _LANES : width]
        lanes = lax.broadcasted_iota(jnp.int32, tail.shape, 1)

        def entry(tile: jax.Array, lane: int) -> jax.Array:
            only = jnp.where(lanes == np.int32(lane), tile, np.float32(0))
            return jnp.sum(only, axis=1, keepdims=True)

        high, low = entry(tail, _LANES - 2), entry(tail, _LANES - 1)

        def add(group: int, which: range) -> None:
            here = slice(group * _SUBLANES, (group + 1) * _SUBLANES)
            kept[0, here], kept[1, here] = _sums_of(
                lambda t: fetched[slot][here, t * _LANES : (t + 1) * _LANES],
                partial(of_query, rows=_SUBLANES),
                which,
                last=tiles - 1,
                nearer=kept[2, here] if cosine else None,
                so_far=(kept[0, here], kept[1, here]) if which.start else None,
            )

        if cosine:
            length = entry(of_query(tiles - 1, count), _LANES - 2)
            kept[2] = jnp.broadcast_to(_nearer(high, length), tail.shape)

        steps = -(-tiles // _TILES)
        for step in range(steps):
            # A branch that is always taken: beyond it nothing is moved forward, which would take
            # more registers than there are.
            @pl.when(chosen[row, 0] >= 0)
            def _(step: int = step) -> None:
                # Written out: the places are constants then, and copies cost fewer instructions.
                for group in range(step, groups, steps):
                    fetch(following, 1 - slot, group)
                for group in range(groups):
                    add(group, range(step * _TILES, min((step + 1) * _TILES, tiles)))

        results = jnp.zeros((_SUBLANES, _LANES), jnp.float32)
        for number, part in enumerate((*_summed(kept[0], kept[1]), high, low)):
            for group in range(groups):
                here = part[group * _SUBLANES : (group + 1) * _SUBLANES]
                place = np.int32(number * _GROUPS + group)
                results = jnp.where(lanes[:_SUBLANES] == place, here, results)
        out[row] = results

    def rank_two(pair: Any, carried: Any) -> Any:
        for slot in (0, 1):
            rank(pair * np.int32(2) + np.int32(slot), slot)
        return carried

    fetch_query(np.int32(0), 0).start()
    for group in range(groups):
        fetch(np.int32(0), 0, group)
    lax.fori_loop(np.int32(0), np.int32(_ROWS // 2), rank_two, np.int32(0))
    # The last query and its candidates were fetched once more.
    wait(0)
