"""Candidates in the order of their exact distances, without float64: in pieces of float32.

Every value is a sum of three: one on a coarse grid, one on a grid finer by some ten bits, and a
rest below it. Differences of the first two kinds are exact, and so are the sums of squares and of
products of such differences that matter: they are whole numbers of steps, and below 2^24. That
they stayed below it is seen at the end: sums of squares only grow, and bound the sums of products
(Cauchy and Schwarz, ``_merged``). Only what is left, 2^-17 of the whole as a rule, is rounded, so
that a squared distance is known to some 2^-37 of what the grids were made for (``_error``).
That is half as dear as keeping aside what each addition loses.

The grids are those of a query and a lane of 128: fine enough for the distances that the scan says
its candidates have. Where that is too low a sum exceeds its limit, where it is far too high little
is proved; in both cases the row is *open*. Reported distances are rounded to float32, and where the
error decides to which side, the row is open too. Open rows are ranked on the host.

On TPUs a Pallas kernel fetches the candidates row by row from memory, the next query's while it
works on this one's; elsewhere the same arithmetic is XLA's, some rows at a time.

Points are scaled by powers of two (``scaled``), which rounds nothing: under the cosine to similar
lengths, so that ``2 |a| |b| (1 - cos) = |a - b|^2 - (|a| - |b|)^2`` cancels little.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from mgm_jax.geometry.backend import pairs
from mgm_jax.geometry.backend.pairs import Pair
from mgm_jax.geometry.backend.precision import single_precision
from mgm_jax.geometry.knn.distance import COSINE_FLOOR, RAISED, Metric
from mgm_jax.geometry.knn.scaled import Scaled
from mgm_jax.geometry.knn.selection import INFINITY, NOBODY, order_by_distance

_LANES, _SUBLANES = 128, 8
# Queries of a step of the kernel, and the most candidates whose results fit a tile.
_ROWS, _MOST = 32, 128
# Tiles of all candidates whose squares are added in one straight piece of the kernel.
_TILES = 4
# Places in a tile of results: three parts of a square, what of it is rounded, two of a length.
_PARTS, _GROUPS = 6, 16
# Values of the candidates that XLA gathers at once.
_GATHERED_VALUES = 2**24
# Squares below this lose their low parts.
_SMALLEST = np.float32(2.0**-75)
_PAIR = np.float32(2.0**-44)
# Points whose spread over the lanes is looked at, and how much more than its part of a squared
# distance a lane of n features may hold: this over n and over its root; their sums vary less.
_SAMPLE, _HEADROOM = 8192, 12.0


class Ranking(NamedTuple):
    """Points as they are ranked.

    Attributes:
        rows: ``[n, 1, w]`` float32, w a multiple of 128: values times a power of two, zeros, and in
            the last two columns the high and low part of the length under the cosine. The
            dimension of one keeps each point in one piece in the memory of TPUs.
        spread: ``[128]`` what each lane holds of a squared distance, with headroom, as a share.
        farthest: what no squared distance is expected to exceed.
    """

    rows: jax.Array
    spread: jax.Array
    farthest: jax.Array


def width_for_ranking(features: int) -> int:
    """Columns of a table of points with some number of features.

    >>> width_for_ranking(126), width_for_ranking(128)
    (128, 256)
    """
    return -(-(features + 2) // _LANES) * _LANES


def spread_of(points: Scaled, *, axis: str | None = None) -> tuple[jax.Array, jax.Array]:
    """What of a squared distance lies in each lane, and about the largest; see :class:`Ranking`.

    Args:
        points: of this device.
        axis: of the mesh, where points are spread.
    """

    def average(values: jax.Array) -> jax.Array:
        return values if axis is None else lax.pmean(values, axis)

    some = points.take(slice(None, None, -(-points.high.shape[0] // _SAMPLE))).rows()
    some = jnp.pad(some, ((0, 0), (0, -some.shape[1] % _LANES)))
    centred = some - average(jnp.mean(some, axis=0))
    squares = average(jnp.mean(centred * centred, axis=0))
    lanes = jnp.sum(squares.reshape(-1, _LANES), axis=0)
    total = jnp.maximum(jnp.sum(lanes), _SMALLEST)
    return lanes / total + np.float32(1 / _LANES), 4 * total


@jax.jit
def table_for_ranking(points: Scaled, like: Ranking | None = None) -> Ranking:
    """Points as they are ranked.

    Args:
        points: n points.
        like: the points that these are ranked against; None to look at these.
    """
    spread, farthest = spread_of(points) if like is None else like[1:]
    features = points.values.shape[1]
    width = width_for_ranking(features)
    filled = jnp.pad(points.rows(), ((0, 0), (0, width - features)))
    # Entry by entry, which TPUs take in one piece with the padding.
    column = lax.broadcasted_iota(jnp.int32, filled.shape, 1)
    rows = jnp.where(column == width - 2, points.high[:, None], filled)
    rows = jnp.where(column == width - 1, points.low[:, None], rows)
    return Ranking(rows[:, None], spread, farthest)


def reach_of(
    lengths: jax.Array, distance: jax.Array, farthest: jax.Array, *, metric: Metric
) -> jax.Array:
    """Squared distances ``[r]`` of scaled points to what lies at reported distances ``[r]``.

    Args:
        lengths: ``[r]`` float32.
        distance: in scaled units, raised, as the search reports them; may be infinite.
        farthest: what stands in for infinity.
        metric: which distance.
    """
    if metric == "cosine":
        # Candidates are longer or shorter: by what the query is off the mean, and by what they are.
        apart = lengths - jnp.mean(lengths)
        apart = 2 * apart * apart + 4 * jnp.mean(apart * apart)
        squared = 2 * lengths * lengths * distance + apart
    else:
        squared = distance / np.float32(RAISED)
        squared = squared if metric == "sqeuclidean" else squared * squared
    squared = jnp.where(jnp.isinf(distance), farthest, squared)
    return jnp.maximum(squared.astype(jnp.float32), _SMALLEST)


def distances_in_pairs(
    queries: Scaled, others: Scaled, reach: jax.Array, spread: jax.Array, *, metric: Metric
) -> tuple[jax.Array, jax.Array]:
    """Reported distances of pairs of points ``[r]``, and how small each could be; pure.

    The second is infinite where rounding has settled the distance.

    Args:
        queries: r points.
        others: r points.
        reach: ``[r]`` as in :func:`rank_in_pairs`.
        spread: ``[128]`` as in :class:`Ranking`.
        metric: which distance.
    """
    plan = _plan_for(queries.values.shape[1])
    profile = _profile(spread, plan)
    exponents = _exponents(profile, reach[:, None])
    near, rows = others.rows(), queries.rows()
    parts = *_squared_in_xla(rows, near, exponents, plan), others.high[:, None], others.low[:, None]
    step = _power_of_two(exponents)
    steps = jnp.sum(step * step, axis=1, keepdims=True)
    lengths = Pair(queries.high[:, None], queries.low[:, None])
    distances, could_be = _reported(parts, lengths, steps, plan, metric=metric)
    could_be = jnp.where(_is_beyond(rows, step, plan), np.float32(0), could_be[:, 0])
    return distances[:, 0], could_be


@partial(jax.jit, static_argnames=("features", "k", "metric", "kernel"))
def rank_in_pairs(
    queries: Ranking,
    base: Ranking,
    candidates: jax.Array,
    reach: jax.Array,
    *,
    features: int,
    k: int,
    metric: Metric,
    kernel: str,
) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Order candidates by their exact distance and keep k.

    Args:
        queries: r points of :func:`table_for_ranking`, made like the base.
        base: m points.
        candidates: ``[r, c]`` int32 rows of the base; outside ``0 .. m - 1`` for nobody.
        reach: ``[r]`` about the largest squared distance among them (:func:`reach_of`); where it
            is too low the row is open, and the higher it is the more rows are.
        features: of the points.
        k: how many to keep, at most c.
        metric: which distance.
        kernel: ``"pallas"`` on a TPU, ``"interpret"`` for the same on a CPU, ``"xla"``.

    Returns:
        Distances ``[r, k]`` float32 in scaled units and indices ``[r, k]`` int32, as ``rerank``
        does in float64; and ``[r]`` bool, rows whose distances or order this leaves open.
    """
    with single_precision():
        m = base.rows.shape[0]
        real = (candidates >= 0) & (candidates < m)
        chosen = jnp.where(real, candidates, 0)
        plan = _plan_for(features)
        profile = _profile(base.spread, plan)
        arguments = queries.rows, base.rows, chosen, profile, reach
        if kernel == "xla" or candidates.shape[1] > _MOST:
            parts = _parts_in_xla(*arguments, plan=plan)
        else:
            parts = _parts_in_pallas(*arguments, plan=plan, kernel=kernel)
        step = _power_of_two(_exponents(profile, reach[:, None]))
        steps = jnp.sum(step * step, axis=1, keepdims=True)
        lengths = Pair(queries.rows[:, 0, -2:-1], queries.rows[:, 0, -1:])
        distances, could_be = _reported(parts, lengths, steps, plan, metric=metric)
        distances = jnp.where(real, distances, jnp.inf)
        ordered, who = order_by_distance(distances, jnp.where(real, candidates, NOBODY), count=k)
        left_open = is_open(ordered, jnp.where(real, could_be, jnp.inf))
        return ordered, who, left_open | _is_beyond(queries.rows[:, 0], step, plan)


class _Plan(NamedTuple):
    """What is known of all points when the program is made.

    Attributes:
        features: their number.
        tiles: of 128 features, the last perhaps filled in part.
        finer: two to this is how many steps of the fine grid make one of the coarse.
    """

    features: int
    tiles: int
    finer: int


def _plan_for(features: int) -> _Plan:
    tiles = -(-features // _LANES)
    return _Plan(features, tiles, 13 - math.ceil(math.log2(tiles) / 2))


def _profile(spread: jax.Array, plan: _Plan) -> jax.Array:
    """Squares of the coarse steps for a squared distance of 1, lane by lane."""
    headroom = _HEADROOM / plan.tiles + _HEADROOM / math.sqrt(plan.tiles)
    return spread * np.float32(headroom * 2.0**-24)


def compile_for(array: Any, *, width: int) -> None:
    """Compile the kernel for a device; raises what its compiler raises.

    Args:
        array: makes a description of an array on the device, of a shape and ``dtype``.
        width: number of features.
    """
    columns = width_for_ranking(width)

    def table(rows: int) -> Ranking:
        return Ranking(array(rows, 1, columns), array(_LANES), array())

    candidates, reach = array(_ROWS, _MOST, dtype=jnp.int32), array(_ROWS)
    rank_in_pairs.lower(
        table(_ROWS),
        table(2 * _MOST),
        candidates,
        reach,
        features=width,
        k=1,
        metric="cosine",
        kernel="pallas",
    ).compile()


def _is_beyond(rows: jax.Array, step: jax.Array, plan: _Plan) -> jax.Array:
    """Whether any value ``[r, w]`` is too large for the grids with steps ``[r, 128]``; ``[r]``.

    Twice as large ones are still rounded to the grid; if those of a candidate are larger than
    that, its differences exceed the limit.
    """
    beyond = jnp.zeros(rows.shape[0], bool)
    for t in range(plan.tiles):
        tile = rows[:, t * _LANES : min((t + 1) * _LANES, plan.features)]
        beyond |= jnp.any(jnp.abs(tile) > step[:, : tile.shape[1]] * np.float32(2.0**21), axis=1)
    return beyond


def _error(squared: jax.Array, below: jax.Array, steps: jax.Array, plan: _Plan) -> jax.Array:
    """How far a squared distance can be off.

    With n tiles, D steps of the coarse grid and E of the fine one, |a - b|^2 = sum of
    (h + m + r)^2: h on the coarse grid, m on the fine one, r at most E. Sums of h^2 and of h m are
    exact where ``_merged`` says so. Left are (m + r)^2 and 2 h r, the latter in all at most
    2 |h| E sqrt(128 n). They are rounded as r or as m + r, as products, in sums of a few in pairs,
    as sums over the pieces of the kernel, and three times as they are merged. Sums of all lanes
    lose 2^-40 of the whole, see ``_summed``.

    Args:
        squared: the squared distance.
        below: the sum of all (m + r)^2.
        steps: the sum of all lanes' D^2.
        plan: what is known of all points.
    """
    pieces = -(-plan.tiles // _TILES)
    rounded = np.float32((2 + 1 + 2 + (pieces - 1) + 3) * 2.0**-24)
    root = jnp.sqrt(np.float32(plan.tiles) * steps)
    high = jnp.sqrt(squared) * np.float32(1.01) + root
    lost = np.float32(1.01) * (below + np.float32(2.0 ** (1 - plan.finer)) * high * root)
    error = rounded * lost + np.float32(2.0**-40) * squared
    # Equal points differ in nothing that is rounded.
    return jnp.where(squared > 0, error, np.float32(0))


def _reported(
    parts: tuple[jax.Array, ...],
    lengths: Pair,
    steps: jax.Array,
    plan: _Plan,
    *,
    metric: Metric,
) -> tuple[jax.Array, jax.Array]:
    """Distances ``[r, c]`` rounded to float32; and how small they could be where that is open.

    The second is infinite where the error does not decide how a distance is rounded.
    """
    first, second, third, below, high, low = parts
    exact = third == third
    third = jnp.where(exact, third, np.float32(0))
    squared = pairs.add(pairs.two_sum(first, second), pairs.from_float32(third))
    error = _error(squared.high, below, steps, plan)
    # Float32 with everything that rounds.
    error = jnp.where(exact, error, error + np.float32(2.0**-16) * squared.high)
    if metric == "cosine":
        length = Pair(high, low)
        longer = pairs.subtract(length, lengths)
        above = pairs.subtract(squared, pairs.multiply(longer, longer))
        below = pairs.scale(pairs.multiply(length, lengths), np.float32(2))
        found = pairs.divide(above, below)
        # Lengths are known to less than this of themselves, see ``scaled``.
        share = np.float32((plan.tiles + 16) * 2.0**-46)
        off = share * (length.high + lengths.high)
        error = error + _PAIR * squared.high + off * (2 * jnp.abs(longer.high) + off)
        error = error / below.high + (2 * share + _PAIR) * jnp.abs(found.high)
        surely_none = found.high + error < np.float32(COSINE_FLOOR)
        found = pairs.where(surely_none, pairs.ZERO, found)
        error = jnp.where(surely_none, np.float32(0), error)
    elif metric == "sqeuclidean":
        found = pairs.scale(squared, np.float32(RAISED))
        error = (error + _PAIR * squared.high) * np.float32(RAISED)
    else:
        found = pairs.square_root(squared)
        # A root is off by the error over twice itself, or less than by the error over itself.
        root = jnp.where(found.high > 0, found.high, np.float32(1))
        error = (error / root + _PAIR * found.high) * np.float32(RAISED)
        found = pairs.scale(found, np.float32(RAISED))
    value, rest = pairs.quick_two_sum(found.high, found.low)
    error = error * np.float32(1.01)
    unsure = (value + (rest + error) != value) | (value + (rest - error) != value)
    unsure |= (squared.high > 0) & (squared.high < _SMALLEST)
    return jnp.maximum(value, 0), jnp.where(unsure, value - error, INFINITY)


def is_open(ordered: jax.Array, could_be: jax.Array) -> jax.Array:
    """Rows ``[r]`` whose k nearest depend on distances that rounding has not settled.

    Args:
        ordered: ``[r, k]`` the nearest, ascending.
        could_be: ``[r, c]`` how small each candidate could be; infinity where that is settled.
    """
    # A distance that may be one step lower or higher matters up to a step beyond the last.
    last = ordered[:, -1:] * np.float32(1 + 2.0**-22)
    return jnp.any((could_be <= last) & jnp.isfinite(could_be), axis=1)


class _Steps(NamedTuple):
    """What rounds values to the two grids of a query, lane by lane.

    Attributes:
        coarse: adding and taking it off again rounds to the coarse grid.
        fine: likewise to the fine grid.
        square: one over the square of a coarse step.
    """

    coarse: jax.Array
    fine: jax.Array
    square: jax.Array


def _exponents(profile: jax.Array, reach: jax.Array) -> jax.Array:
    """Exponents of the steps of the coarse grid: the least whose square is a product's, or more."""
    bits = lax.bitcast_convert_type(profile * reach, jnp.int32)
    # The product lies below two to the exponent that its bits say, less 126.
    return ((bits >> 23) - np.int32(126) + np.int32(1)) >> 1


def _power_of_two(exponent: jax.Array) -> jax.Array:
    return lax.bitcast_convert_type((exponent + np.int32(127)) << 23, jnp.float32)


def _steps_of(exponent: jax.Array, finer: int) -> _Steps:
    coarse = _power_of_two(exponent) * np.float32(1.5 * 2.0**23)
    return _Steps(coarse, coarse * np.float32(2.0**-finer), _power_of_two(-2 * exponent))


def _split(values: jax.Array, steps: _Steps) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Values as sums of what is on the coarse grid, on the fine grid, and a rest; exact."""
    high = (values + steps.coarse) - steps.coarse
    rest = values - high
    middle = (rest + steps.fine) - steps.fine
    return high, middle, rest - middle


def _total(terms: list[jax.Array]) -> jax.Array:
    """Sum of a few terms, in pairs."""
    while len(terms) > 1:
        terms = [sum(terms[i + 1 : i + 2], start=terms[i]) for i in range(0, len(terms), 2)]
    return terms[0]


class _Sums(NamedTuple):
    """Sums over the tiles of a lane; h on the coarse grid, m on the fine one, r the rest.

    Attributes:
        squares: of h^2.
        products: of h m.
        below: of (m + r)^2.
        crossed: of h r.
    """

    squares: jax.Array
    products: jax.Array
    below: jax.Array
    crossed: jax.Array


def _sums_of(
    tiles: Sequence[jax.Array], of_query: Sequence[tuple[jax.Array, ...]], steps: _Steps
) -> _Sums:
    terms: list[tuple[jax.Array, ...]] = []
    for tile, (high, middle, rest) in zip(tiles, of_query, strict=True):
        own_high, own_middle, own_rest = _split(tile, steps)
        high, middle, rest = own_high - high, own_middle - middle, own_rest - rest
        below = middle + rest
        terms.append((high * high, high * middle, below * below, high * rest))
    return _Sums(*(_total(list(column)) for column in zip(*terms, strict=True)))


def _merged(sums: _Sums, square: jax.Array, plan: _Plan) -> tuple[jax.Array, jax.Array]:
    """Sums of a lane as a float32 and what it lacks, NaN where the sums may not be exact.

    With steps D and E, sums of h^2 are whole numbers of D^2, which only grow: those below 2^24
    never were above. Sums of h m are whole numbers of D E, by Cauchy and Schwarz at most
    sqrt(sum of h^2 times sum of m^2), which has to be below 2^24 of them; and sum of m^2 is at most
    (1 + 2^-6) sum of (m + r)^2 + (1 + 2^6) n E^2.
    """
    shrunk = 4.0**-plan.finer
    squares = sums.squares * (square * np.float32(2.0**-24))
    middle = sums.below * (square * np.float32(1.02)) + np.float32(66 * plan.tiles * shrunk)
    exact = (squares < 1) & (squares * middle < np.float32(0.98 * 2.0**24 * shrunk))
    whole, lost = pairs.two_sum(sums.squares, sums.products + sums.products)
    rests = sums.below + (sums.crossed + sums.crossed)
    whole, lost = pairs.two_sum(whole, lost + rests)
    return whole, jnp.where(exact, lost, np.float32(np.nan))


def _summed(sums: jax.Array, aside: jax.Array) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Three numbers that add up to the sum of all lanes ``[..., 128]``, the first two exact.

    The third is of numbers below 2^-34 of the largest lane and 2^-24 of each, and adding 128 of
    them loses no more than 2^-17 of that, in whatever order.
    """
    largest = jnp.max(jnp.abs(sums), axis=-1, keepdims=True)
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


def _parts_in_xla(
    queries: jax.Array,
    base: jax.Array,
    chosen: jax.Array,
    profile: jax.Array,
    reach: jax.Array,
    *,
    plan: _Plan,
) -> tuple[jax.Array, ...]:
    rows, count = chosen.shape
    width = base.shape[2]

    def one(row: tuple[jax.Array, ...]) -> tuple[jax.Array, ...]:
        query, whose, own_reach = row
        near = base[whose, 0]
        squared = _squared_in_xla(query, near, _exponents(profile, own_reach), plan)
        return tuple(part[:, 0] for part in (*squared, near[:, -2:-1], near[:, -1:]))

    together = max(1, min(rows, _GATHERED_VALUES // (count * width)))
    return lax.map(one, (queries, chosen, reach), batch_size=together)


def _squared_in_xla(
    queries: jax.Array, near: jax.Array, exponents: jax.Array, plan: _Plan
) -> tuple[jax.Array, ...]:
    """Squared distances of c rows to one query, or to as many: three parts, and what is rounded.

    Each is ``[c, 1]``.
    """
    steps = _steps_of(exponents, plan.finer)

    def tile(values: jax.Array, t: int) -> jax.Array:
        part = values[:, t * _LANES : min((t + 1) * _LANES, plan.features)]
        return jnp.pad(part, ((0, 0), (0, _LANES - part.shape[1])))

    nothing = jnp.zeros((near.shape[0], _LANES), jnp.float32)
    sums = _Sums(nothing, nothing, nothing, nothing)
    for piece in _pieces(plan):
        of_query = [_split(tile(queries, t), steps) for t in piece]
        fresh = _sums_of([tile(near, t) for t in piece], of_query, steps)
        sums = _Sums(*(a + b for a, b in zip(sums, fresh, strict=True)))
    summed = _summed(*_merged(sums, steps.square, plan))
    return *summed, jnp.sum(sums.below, axis=1, keepdims=True)


def _pieces(plan: _Plan) -> list[range]:
    """Tiles of features, a few at a time."""
    starts = range(0, plan.tiles, _TILES)
    return [range(start, min(start + _TILES, plan.tiles)) for start in starts]


def _parts_in_pallas(
    queries: jax.Array,
    base: jax.Array,
    chosen: jax.Array,
    profile: jax.Array,
    reach: jax.Array,
    *,
    plan: _Plan,
    kernel: str,
) -> tuple[jax.Array, ...]:
    from jax.experimental import pallas as pl
    from jax.experimental.pallas import tpu as pltpu

    (rows, count), width = chosen.shape, base.shape[2]
    more, filling = -rows % _ROWS, -count % _SUBLANES
    wide = count + filling
    # The reach of a query stands behind its candidates, as bits.
    chosen = jnp.pad(chosen, ((0, more), (0, filling)))
    bits = jnp.pad(lax.bitcast_convert_type(reach, jnp.int32), (0, more))
    chosen = jnp.concatenate([chosen, bits[:, None]], axis=1)
    queries = jnp.pad(queries, ((0, more), (0, 0), (0, 0)))
    # What is waited for is described by as many rows.
    base = jnp.pad(base, ((0, max(0, wide - base.shape[0])), (0, 0), (0, 0)))
    out = pl.pallas_call(
        partial(_rank_kernel, count=wide, plan=plan),
        grid=((rows + more) // _ROWS,),
        in_specs=[
            pl.BlockSpec((_ROWS, wide + 1), lambda i: (i, jnp.int32(0)), memory_space=pltpu.SMEM),
            pl.BlockSpec((_SUBLANES, _LANES), lambda i: (jnp.int32(0), jnp.int32(0))),
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
            pltpu.VMEM((len(_Sums._fields), wide, _LANES), jnp.float32),
            pltpu.SemaphoreType.DMA((2,)),
            pltpu.SemaphoreType.DMA((2,)),
        ],
        interpret=pltpu.InterpretParams() if kernel == "interpret" else False,
        # All indices are those of rows.
        compiler_params=pltpu.CompilerParams(disable_bounds_checks=True),
        name="rank_in_pairs",
    )(chosen, jnp.broadcast_to(profile, (_SUBLANES, _LANES)), queries, base)
    out = out[:rows].reshape(rows, _SUBLANES, _LANES // _GROUPS, _GROUPS)
    out = out[:, :, :_PARTS, : wide // _SUBLANES].transpose(2, 0, 3, 1)
    return tuple(out.reshape(_PARTS, rows, wide)[:, :, :count])


def _rank_kernel(
    chosen: Any,
    profile: Any,
    queries: Any,
    base: Any,
    out: Any,
    *scratch: Any,
    count: int,
    plan: _Plan,
) -> None:
    """Results of candidate ``8 g + s`` of a query in sublane s, lanes g, 16 + g and so on."""
    from jax.experimental import pallas as pl
    from jax.experimental.pallas import tpu as pltpu

    fetched, query, (kept, arrived, query_arrived) = scratch[:2], scratch[2:4], scratch[4:]
    width, groups = base.shape[2], count // _SUBLANES
    first_row = pl.program_id(0) * np.int32(_ROWS)

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

    def wait(slot: int) -> None:
        # One wait for as many bytes as all candidates have.
        as_many = fetched[1 - slot], fetched[slot], arrived.at[slot]
        pltpu.make_async_copy(*as_many).wait()
        fetch_query(np.int32(0), slot).wait()

    def rank(row: Any, slot: int) -> None:
        wait(slot)
        following = jnp.minimum(row + np.int32(1), np.int32(_ROWS - 1))
        fetch_query(following, 1 - slot).start()
        lanes = lax.broadcasted_iota(jnp.int32, (_SUBLANES, _LANES), 1)
        bits = jnp.full((_SUBLANES, _LANES), chosen[row, count], jnp.int32)
        reach = lax.bitcast_convert_type(bits, jnp.float32)
        steps = _steps_of(_exponents(profile[...], reach), plan.finer)

        def tile(values: Any, t: int) -> jax.Array:
            part = jnp.broadcast_to(values[:, t * _LANES : (t + 1) * _LANES], lanes.shape)
            filled = plan.features - t * _LANES
            return part if filled >= _LANES else jnp.where(lanes < np.int32(filled), part, 0)

        def add(group: int, piece: range, of_query: list[tuple[jax.Array, ...]]) -> None:
            here = slice(group * _SUBLANES, (group + 1) * _SUBLANES)
            near = fetched[slot].at[here]
            fresh = _sums_of([tile(near, t) for t in piece], of_query, steps)
            for number, part in enumerate(fresh):
                kept[number, here] = kept[number, here] + part if piece.start else part

        pieces = _pieces(plan)
        for number, piece in enumerate(pieces):
            # A branch that is always taken: beyond it nothing is moved forward, which would take
            # more registers than there are.
            @pl.when(chosen[row, 0] >= 0)
            def _(number: int = number, piece: range = piece) -> None:
                # Written out: the places are constants then, and copies cost fewer instructions.
                for group in range(number, groups, len(pieces)):
                    fetch(following, 1 - slot, group)
                of_query = [_split(tile(query[slot], t), steps) for t in piece]
                for group in range(groups):
                    add(group, piece, of_query)

        # What takes steps across lanes is done for all candidates at once, which hides how long
        # these take.
        tail = fetched[slot][:, width - _LANES : width]
        whole = lax.broadcasted_iota(jnp.int32, tail.shape, 1)

        def entry(lane: int) -> jax.Array:
            only = jnp.where(whole == np.int32(lane), tail, np.float32(0))
            return jnp.sum(only, axis=1, keepdims=True)

        sums = _Sums(*(kept[number] for number in range(len(_Sums._fields))))
        square = jnp.broadcast_to(steps.square[:1], tail.shape)
        below = jnp.sum(sums.below, axis=1, keepdims=True)
        squared = *_summed(*_merged(sums, square, plan)), below
        results = jnp.zeros((_SUBLANES, _LANES), jnp.float32)
        for number, part in enumerate((*squared, entry(_LANES - 2), entry(_LANES - 1))):
            for group in range(groups):
                here = part[group * _SUBLANES : (group + 1) * _SUBLANES]
                lane = np.int32(number * _GROUPS + group)
                results = jnp.where(lanes == lane, here, results)
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
