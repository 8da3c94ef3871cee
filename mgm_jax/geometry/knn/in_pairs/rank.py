"""Candidates in the order of their exact distances, without float64: in pieces of float32.

Squared distances come in pieces that are exact but for the last (``pieces``), and ``_error`` says
how far they can be off. Their grids are those of a query and a lane of 128: fine enough for the
distances that the scan says its candidates have. Where that is too low a sum exceeds its limit,
where it is far too high little is proved; in both cases the row is *open*. Reported distances are
rounded to float32, and where the error decides to which side, the row is open too. Open rows are
ranked on the host.

On TPUs a Pallas kernel does it (``kernel``); elsewhere the same arithmetic is XLA's, some rows at
a time.

Points are scaled by powers of two (``scaled``), which rounds nothing: under the cosine to similar
lengths, so that ``2 |a| |b| (1 - cos) = |a - b|^2 - (|a| - |b|)^2`` cancels little.
"""

from __future__ import annotations

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
from mgm_jax.geometry.knn.in_pairs.kernel import (
    MOST,
    ROWS,
    TOGETHER,
    pair_parts_in_pallas,
    parts_in_pallas,
)
from mgm_jax.geometry.knn.in_pairs.pieces import (
    LANES,
    Plan,
    exponents_of,
    pieces_of,
    plan_for,
    power_of_two,
    profile_of,
    squared_in_xla,
)
from mgm_jax.geometry.knn.scaled import Scaled
from mgm_jax.geometry.knn.selection import INFINITY, NOBODY, order_by_distance

# Values of the candidates that XLA gathers at once.
_GATHERED_VALUES = 2**24
# Squares below this lose their low parts.
_SMALLEST = np.float32(2.0**-75)
PAIRS = ROWS * TOGETHER
"""Pairs of points that are ranked at once."""
_PAIR = np.float32(2.0**-44)
# Points whose spread over the lanes is looked at.
_SAMPLE = 8192


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
    return -(-(features + 2) // LANES) * LANES


def spread_of(points: Scaled, *, axis: str | None = None) -> tuple[jax.Array, jax.Array]:
    """What of a squared distance lies in each lane, and about the largest; see :class:`Ranking`.

    Args:
        points: of this device.
        axis: of the mesh, where points are spread.
    """

    def average(values: jax.Array) -> jax.Array:
        return values if axis is None else lax.pmean(values, axis)

    sample = points.take(slice(None, None, -(-points.high.shape[0] // _SAMPLE))).rows()
    sample = jnp.pad(sample, ((0, 0), (0, -sample.shape[1] % LANES)))
    centred = sample - average(jnp.mean(sample, axis=0))
    squares = average(jnp.mean(centred * centred, axis=0))
    lanes = jnp.sum(squares.reshape(-1, LANES), axis=0)
    total = jnp.maximum(jnp.sum(lanes), _SMALLEST)
    return lanes / total + np.float32(1 / LANES), 4 * total


@jax.jit
def table_for_ranking(points: Scaled, like: Ranking | None = None) -> Ranking:
    """Points as they are ranked.

    Args:
        points: n points.
        like: the points that these are ranked against; None to look at these.
    """
    spread, farthest = spread_of(points) if like is None else like[1:]
    return Ranking(rows_for_ranking(points), spread, farthest)


def rows_for_ranking(points: Scaled) -> jax.Array:
    """Rows of :class:`Ranking`; pure."""
    features = points.values.shape[1]
    width = width_for_ranking(features)
    filled = jnp.pad(points.rows(), ((0, 0), (0, width - features)))
    # Entry by entry, which TPUs take in one piece with the padding.
    column = lax.broadcasted_iota(jnp.int32, filled.shape, 1)
    rows = jnp.where(column == width - 2, points.high[:, None], filled)
    rows = jnp.where(column == width - 1, points.low[:, None], rows)
    return rows[:, None]


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


def pair_parts(
    queries: jax.Array,
    base: jax.Array,
    whose: jax.Array,
    chosen: jax.Array,
    reach: jax.Array,
    spread: jax.Array,
    *,
    features: int,
    kernel: str,
) -> tuple[jax.Array, ...]:
    """Of pairs of points what :func:`report` makes distances of, six arrays ``[p]``; pure.

    Args:
        queries: ``[r, 1, w]`` rows of :class:`Ranking`.
        base: ``[m, 1, w]`` likewise.
        whose: ``[p]`` int32, which of the queries; p a multiple of :data:`PAIRS`.
        chosen: ``[p]`` int32, which of the base.
        reach: ``[p]`` as in :func:`rank_in_pairs`.
        spread: ``[128]`` as in :class:`Ranking`.
        features: of the points.
        kernel: as in :func:`rank_in_pairs`.
    """
    plan = plan_for(features)
    profile = profile_of(spread, plan)
    if kernel != "xla":
        points = queries, base, whose, chosen
        return pair_parts_in_pallas(*points, profile, reach, plan=plan, kernel=kernel)
    near = base[chosen, 0]
    exponents = exponents_of(profile, reach[:, None])
    squared = squared_in_xla(queries[whose, 0], near, exponents, plan)
    return *(part[:, 0] for part in squared), near[:, -2], near[:, -1]


def report(
    parts: tuple[jax.Array, ...],
    queries: jax.Array,
    reach: jax.Array,
    spread: jax.Array,
    *,
    features: int,
    metric: Metric,
) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Reported distances of candidates ``[r, c]``, and how small each could be; pure.

    The latter is infinite where rounding has settled the distance.

    Args:
        parts: ``[r, c]`` each.
        queries: ``[r, 1, w]`` rows of :class:`Ranking`.
        reach: ``[r]`` as in :func:`rank_in_pairs`.
        spread: ``[128]`` as in :class:`Ranking`.
        features: of the points.
        metric: which distance.

    Returns:
        Both, and ``[r]`` bool, rows that are open whatever these are.
    """
    plan = plan_for(features)
    step = power_of_two(exponents_of(profile_of(spread, plan), reach[:, None]))
    steps = jnp.sum(step * step, axis=1, keepdims=True)
    lengths = Pair(queries[:, 0, -2:-1], queries[:, 0, -1:])
    distances, could_be = _reported(parts, lengths, steps, plan, metric=metric)
    return distances, could_be, _is_beyond(queries[:, 0], step, plan)


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
        plan = plan_for(features)
        profile = profile_of(base.spread, plan)
        arguments = queries.rows, base.rows, chosen, profile, reach
        if kernel == "xla" or candidates.shape[1] > MOST:
            parts = _parts_in_xla(*arguments, plan=plan)
        else:
            parts = parts_in_pallas(*arguments, plan=plan, kernel=kernel)
        distances, could_be, beyond = report(
            parts, queries.rows, reach, base.spread, features=features, metric=metric
        )
        distances = jnp.where(real, distances, jnp.inf)
        ordered, who = order_by_distance(distances, jnp.where(real, candidates, NOBODY), count=k)
        left_open = is_open(ordered, jnp.where(real, could_be, jnp.inf))
        return ordered, who, left_open | beyond


def compile_for(array: Any, *, width: int) -> None:
    """Compile the kernel for a device; raises what its compiler raises.

    Args:
        array: makes a description of an array on the device, of a shape and ``dtype``.
        width: number of features.
    """
    columns = width_for_ranking(width)

    def table(rows: int) -> Ranking:
        return Ranking(array(rows, 1, columns), array(LANES), array())

    candidates, reach = array(ROWS, MOST, dtype=jnp.int32), array(ROWS)
    rank_in_pairs.lower(
        table(ROWS),
        table(2 * MOST),
        candidates,
        reach,
        features=width,
        k=1,
        metric="cosine",
        kernel="pallas",
    ).compile()


def compile_pairs_for(array: Any, *, width: int) -> None:
    """The same for the kernel of pairs."""
    rows = array(ROWS, 1, width_for_ranking(width))
    names = array(PAIRS, dtype=jnp.int32)
    with single_precision():
        jax.jit(partial(pair_parts, features=width, kernel="pallas")).lower(
            rows, rows, names, names, array(PAIRS), array(LANES)
        ).compile()


def _is_beyond(rows: jax.Array, step: jax.Array, plan: Plan) -> jax.Array:
    """Whether any value ``[r, w]`` is too large for the grids with steps ``[r, 128]``; ``[r]``.

    Twice as large ones are still rounded to the grid; if those of a candidate are larger than
    that, its differences exceed the limit.
    """
    beyond = jnp.zeros(rows.shape[0], bool)
    for t in range(plan.tiles):
        tile = rows[:, t * LANES : min((t + 1) * LANES, plan.features)]
        beyond |= jnp.any(jnp.abs(tile) > step[:, : tile.shape[1]] * np.float32(2.0**21), axis=1)
    return beyond


def _error(squared: jax.Array, below: jax.Array, steps: jax.Array, plan: Plan) -> jax.Array:
    """How far a squared distance can be off.

    With n tiles, D steps of the coarse grid and E of the fine one, |a - b|^2 = sum of
    (h + m + r)^2: h on the coarse grid, m on the fine one, r at most E. Sums of h^2 and of h m are
    exact where ``merged`` says so. Left are (m + r)^2 and 2 h r, the latter in all at most
    2 |h| E sqrt(128 n). They are rounded as r or as m + r, as products, in sums of a few in pairs,
    as sums over the pieces of the kernel, and three times as they are merged. Sums of all lanes
    lose 2^-40 of the whole, see ``summed``.

    Args:
        squared: the squared distance.
        below: the sum of all (m + r)^2.
        steps: the sum of all lanes' D^2.
        plan: what is known of all points.
    """
    pieces = len(pieces_of(plan))
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
    plan: Plan,
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
        distance = pairs.divide(above, below)
        # Lengths are known to less than this of themselves, see ``scaled``.
        share = np.float32((plan.tiles + 16) * 2.0**-46)
        off = share * (length.high + lengths.high)
        error = error + _PAIR * squared.high + off * (2 * jnp.abs(longer.high) + off)
        error = error / below.high + (2 * share + _PAIR) * jnp.abs(distance.high)
        surely_none = distance.high + error < np.float32(COSINE_FLOOR)
        distance = pairs.where(surely_none, pairs.ZERO, distance)
        error = jnp.where(surely_none, np.float32(0), error)
    elif metric == "sqeuclidean":
        distance = pairs.scale(squared, np.float32(RAISED))
        error = (error + _PAIR * squared.high) * np.float32(RAISED)
    else:
        distance = pairs.square_root(squared)
        # A root is off by the error over twice itself, or less than by the error over itself.
        root = jnp.where(distance.high > 0, distance.high, np.float32(1))
        error = (error / root + _PAIR * distance.high) * np.float32(RAISED)
        distance = pairs.scale(distance, np.float32(RAISED))
    value, rest = pairs.quick_two_sum(distance.high, distance.low)
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


def _parts_in_xla(
    queries: jax.Array,
    base: jax.Array,
    chosen: jax.Array,
    profile: jax.Array,
    reach: jax.Array,
    *,
    plan: Plan,
) -> tuple[jax.Array, ...]:
    rows, count = chosen.shape
    width = base.shape[2]

    def one(row: tuple[jax.Array, ...]) -> tuple[jax.Array, ...]:
        query, whose, own_reach = row
        near = base[whose, 0]
        squared = squared_in_xla(query, near, exponents_of(profile, own_reach), plan)
        return tuple(part[:, 0] for part in (*squared, near[:, -2:-1], near[:, -1:]))

    together = max(1, min(rows, _GATHERED_VALUES // (count * width)))
    return lax.map(one, (queries, chosen, reach), batch_size=together)
