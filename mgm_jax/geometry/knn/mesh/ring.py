"""What the devices of a ring compute: the programs of an exact k-NN graph over a mesh.

Each is compiled once a shape. The scan and the ranking advance by one turn of the ring a call, so
that the host can show progress, and only their block travels. Where float64 is slow, candidates are
ranked in pairs of float32 (``in_pairs``), and rows that this leaves open fall back.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.sharding import Mesh
from jax.typing import DTypeLike

from mgm_jax.geometry.knn.distance import (
    Metric,
    Points,
    ScanTable,
    exact_distances,
    scan,
    unseen_distance,
    unseen_distance_in_single,
)
from mgm_jax.geometry.knn.in_pairs.rank import (
    distances_in_pairs,
    is_open,
    reach_of,
    spread_of,
)
from mgm_jax.geometry.knn.mesh.ring_points import tabulate
from mgm_jax.geometry.knn.scaled import Scaled
from mgm_jax.geometry.knn.selection import INFINITY, NOBODY, merge_smallest, order_by_distance
from mgm_jax.geometry.knn.tile import margin, ranks_in_pairs
from mgm_jax.parallel.ring import Blocks, Visitor, cut, turn
from mgm_jax.parallel.spread_jit import SPREAD, WHOLE, spread_jit

# Queries scanned at once, and rows of a block.
_ROWS_ON_CPU, _COLUMNS_ON_CPU = 512, 8192
_ROWS_ON_ACCELERATOR, _COLUMNS_ON_ACCELERATOR = 4096, 32768
# Pairs ranked at once: within the caches of a CPU, many on accelerators.
_PAIRS_ON_CPU, _PAIRS_ON_ACCELERATOR = 64, 2048
_BATCHES = 16


class RingPlan(NamedTuple):
    """What fixes the shapes of the programs; the key they are kept under.

    Attributes:
        mesh: the devices, one axis.
        metric: which distance.
        k: number of neighbours.
        count: candidates kept in a scan in tiles.
        dtype: type of the scan, by name.
        rows: queries scanned at once.
        columns: rows of a block: base points scored at once and sent at once.
        own: whether the queries are the base.
        in_pairs: whether candidates are ranked without float64.
    """

    mesh: Mesh
    metric: Metric
    k: int
    count: int
    dtype: str
    rows: int
    columns: int
    own: bool
    in_pairs: bool

    @property
    def axis(self) -> str:
        """Name of the axis of the mesh."""
        return self.mesh.axis_names[0]


def candidates_for(k: int, dtype: DTypeLike, *, share: int) -> int:
    """Candidates of a row in a scan of this type; no more than a block of a share can hold.

    >>> candidates_for(10, "float32", share=100), candidates_for(10, "float32", share=16)
    (24, 16)
    """
    return min(k + margin(dtype), share)


def plan_ring(
    mesh: Mesh,
    *,
    share: int,
    k: int,
    metric: Metric,
    dtype: str,
    own: bool = True,
    tile_rows: int | None = None,
    tile_columns: int | None = None,
) -> tuple[RingPlan, Blocks]:
    """Fix the shapes for shares of some size, and say how often the ring turns.

    Args:
        mesh: the devices, one axis.
        share: rows of the base on each device, at least k.
        k: number of neighbours.
        metric: which distance.
        dtype: type of the scan, by name.
        own: whether the queries are the base.
        tile_rows: queries scanned at once; None for a good size.
        tile_columns: largest block; None likewise.
    """
    on_cpu = jax.default_backend() == "cpu"
    rows = tile_rows or (_ROWS_ON_CPU if on_cpu else _ROWS_ON_ACCELERATOR)
    columns = tile_columns or (_COLUMNS_ON_CPU if on_cpu else _COLUMNS_ON_ACCELERATOR)
    count = candidates_for(k, dtype, share=share)
    blocks = cut(share, most=-(-max(columns, count) // 16) * 16, least=count)
    in_pairs = ranks_in_pairs()
    return RingPlan(mesh, metric, k, count, dtype, rows, blocks.size, own, in_pairs), blocks


class Ranked(NamedTuple):
    """Distances of the candidates so far.

    Attributes:
        distances: ``[n, count]`` float32, infinity where a candidate has not come by.
        could_be: ``[n, count]`` float32, how small those could be that rounding has not settled,
            infinity elsewhere; None in float64.
    """

    distances: jax.Array
    could_be: jax.Array | None


class RingPrograms(NamedTuple):
    """The compiled programs; "spread" arrays are cut by rows over the mesh.

    Attributes:
        tabulate: ``(points, mean, present)`` to the spread table of the scan.
        begin: ``(table,)`` of the queries to the spread empty lists, bounds and names.
        scan_turn: ``(table of queries, table of base, lists, block number)`` to the lists.
        spread: ``(base,)`` to what ranking in pairs must know of all of it.
        arrange: ``(table of queries, lists)`` to names by rising row, :class:`Ranked` without
            distances, and the distance that no point outside the lists can fall below.
        begin_ranking: ``(names,)`` of another scan to the first two of these.
        rank_turn: ``(queries, base, spread or None, names, ranked, unseen distance, block number)``
            to the distances.
        finish: ``(ranked, names, unseen distance)`` to distances and names ``[n, k]`` in order, and
            the unseen distance, -1 where the ranking has left the row open.
    """

    tabulate: Callable[..., ScanTable]
    begin: Callable[..., tuple[jax.Array, jax.Array]]
    scan_turn: Callable[..., tuple[jax.Array, jax.Array]]
    spread: Callable[..., tuple[jax.Array, jax.Array]]
    arrange: Callable[..., tuple[jax.Array, Ranked, jax.Array]]
    begin_ranking: Callable[..., tuple[jax.Array, Ranked]]
    rank_turn: Callable[..., Ranked]
    finish: Callable[..., tuple[jax.Array, jax.Array, jax.Array]]


def ring_programs(plan: RingPlan) -> RingPrograms:
    """The programs of one kind of graph."""

    def compiled(
        function: Callable, *inputs: str, donate: tuple[int, ...] = (), outputs: str = SPREAD
    ) -> Callable:
        return spread_jit(
            function, plan.mesh, inputs=inputs, outputs=outputs, donate=donate, plan=plan
        )

    return RingPrograms(
        tabulate=compiled(_tabulate, SPREAD, WHOLE, SPREAD),
        begin=compiled(_begin, SPREAD),
        scan_turn=compiled(_scan_turn, SPREAD, SPREAD, SPREAD, WHOLE, donate=(2,)),
        spread=compiled(_spread, SPREAD, outputs=WHOLE),
        arrange=compiled(_arrange, SPREAD, SPREAD),
        begin_ranking=compiled(_begin_ranking, SPREAD),
        rank_turn=compiled(
            _rank_turn, SPREAD, SPREAD, WHOLE, SPREAD, SPREAD, SPREAD, WHOLE, donate=(4,)
        ),
        finish=compiled(_finish, SPREAD, SPREAD, SPREAD),
    )


def _slice(parts: Any, start: jax.Array, size: int) -> Any:
    return jax.tree.map(lambda part: jax.lax.dynamic_slice_in_dim(part, start, size), parts)


def _write(whole: Any, parts: Any, start: jax.Array) -> Any:
    return jax.tree.map(
        lambda old, new: jax.lax.dynamic_update_slice_in_dim(old, new, start, 0), whole, parts
    )


def _tabulate(
    points: Points | Scaled, mean: jax.Array, present: jax.Array, *, plan: RingPlan
) -> ScanTable:
    return tabulate(points, mean, present, dtype=plan.dtype)


def _spread(points: Scaled, *, plan: RingPlan) -> tuple[jax.Array, jax.Array]:
    return spread_of(points, axis=plan.axis)


def _begin(table: ScanTable, *, plan: RingPlan) -> tuple[jax.Array, jax.Array]:
    shape = (table.lengths.shape[0], plan.count)
    return jnp.full(shape, jnp.inf, table.half_squares.dtype), jnp.full(shape, -1, jnp.int32)


def _scan_turn(
    queries: ScanTable,
    base: ScanTable,
    lists: tuple[jax.Array, jax.Array],
    number: jax.Array,
    *,
    plan: RingPlan,
) -> tuple[jax.Array, jax.Array]:
    share = queries.lengths.shape[0]
    tiles = cut(share, most=plan.rows)
    home = jax.lax.axis_index(plan.axis) * share

    def visit(lists: tuple, visitor: Visitor) -> tuple[jax.Array, jax.Array]:
        table: ScanTable = visitor.parts
        fresh = jnp.arange(plan.columns) >= visitor.begin
        table = table._replace(half_squares=jnp.where(fresh, table.half_squares, INFINITY))

        def scan_tile(t: jax.Array, lists: tuple) -> tuple[jax.Array, jax.Array]:
            start = jnp.minimum(t * tiles.size, share - tiles.size)
            rows = start + jnp.arange(tiles.size, dtype=jnp.int32)
            own = home + rows - visitor.first if plan.own else jnp.full_like(rows, -1)
            tile, old = _slice((queries, lists), start, tiles.size)
            bounds, positions = scan(
                tile, own.astype(jnp.int32), table, count=plan.count, tile=plan.columns
            )
            names = jnp.where(positions < 0, -1, positions + visitor.first)
            new = merge_smallest(old, (bounds, names))
            # The last tile reaches back over queries that have met this visitor already.
            met = (rows < t * tiles.size)[:, None]
            kept = jax.tree.map(lambda a, b: jnp.where(met, a, b), old, new)
            return _write(lists, kept, start)

        return jax.lax.fori_loop(0, tiles.count, scan_tile, lists)

    return turn(
        base,
        number,
        lists,
        visit,
        axis=plan.axis,
        devices=plan.mesh.size,
        size=plan.columns,
    )


def _arrange(
    queries: ScanTable, lists: tuple[jax.Array, jax.Array], *, plan: RingPlan
) -> tuple[jax.Array, Ranked, jax.Array]:
    bounds, names = lists
    certificate = unseen_distance_in_single if plan.in_pairs else unseen_distance
    unseen = certificate(queries, bounds[:, -1], metric=plan.metric)
    return *_begin_ranking(names, plan=plan), unseen


def _begin_ranking(names: jax.Array, *, plan: RingPlan) -> tuple[jax.Array, Ranked]:
    names = jnp.sort(jnp.where(names < 0, NOBODY, names), axis=1)
    empty = jnp.full(names.shape, jnp.inf, jnp.float32)
    return names, Ranked(empty, jnp.copy(empty) if plan.in_pairs else None)


def _rank_turn(
    queries: Points | Scaled,
    base: Points | Scaled,
    spread: tuple[jax.Array, jax.Array] | None,
    names: jax.Array,
    ranked: Ranked,
    unseen: jax.Array,
    number: jax.Array,
    *,
    plan: RingPlan,
) -> Ranked:
    measure = _measure(queries, spread, unseen, plan)
    batch = _PAIRS_ON_CPU if jax.default_backend() == "cpu" else _PAIRS_ON_ACCELERATOR
    share = names.shape[0]
    # TPUs count in 32 bits; not all of their compilers take sums of 64.
    counter = jnp.int32 if names.size + _BATCHES * batch < 2**31 else jnp.int64

    def visit(ranked: Ranked, visitor: Visitor) -> Ranked:
        # The names of a query rise, so those of this visitor stand side by side. The pairs of all
        # queries are numbered through and ranked in batches: only they cost anything.
        begin = jnp.sum(names < visitor.first + visitor.begin, axis=1, dtype=jnp.int32)
        end = jnp.sum(names < visitor.first + plan.columns, axis=1, dtype=jnp.int32)
        ends = jnp.cumsum(end - begin, dtype=counter)
        total = ends[-1]

        def more(state: tuple) -> jax.Array:
            return state[0] < total

        def rank_some(state: tuple) -> tuple[jax.Array, Ranked]:
            start, ranked = state
            pairs = start + jnp.arange(_BATCHES * batch, dtype=counter)
            query = jnp.minimum(jnp.searchsorted(ends, pairs, side="right"), share - 1)
            position = (end[query] - (ends[query] - pairs)).astype(jnp.int32)
            # What is beyond the last pair is written nowhere.
            query_or_none = jnp.where(pairs < total, query, share)

            def rank_batch(b: jax.Array, ranked: Ranked) -> Ranked:
                whose, to, where = _slice((query, query_or_none, position), b * batch, batch)
                local = jnp.clip(names[whose, where] - visitor.first, 0, plan.columns - 1)
                results = measure(whose, queries.take(whose), visitor.parts.take(local))
                return jax.tree.map(
                    lambda part, result: part.at[to, where].set(result, mode="drop"),
                    ranked,
                    results,
                )

            batches = jnp.minimum(-(-(total - start) // batch), _BATCHES)
            return start + _BATCHES * batch, jax.lax.fori_loop(0, batches, rank_batch, ranked)

        return jax.lax.while_loop(more, rank_some, (jnp.zeros_like(total), ranked))[1]

    return turn(
        base,
        number,
        ranked,
        visit,
        axis=plan.axis,
        devices=plan.mesh.size,
        size=plan.columns,
    )


def _measure(
    queries: Points | Scaled,
    spread: tuple[jax.Array, jax.Array] | None,
    unseen: jax.Array,
    plan: RingPlan,
) -> Callable[[jax.Array, Any, Any], Ranked]:
    """What ranks queries ``whose`` against as many other points."""
    if not isinstance(queries, Scaled) or spread is None:

        def in_float64(_: jax.Array, subset: Points, others: Points) -> Ranked:
            return Ranked(exact_distances(subset, others, metric=plan.metric), None)

        return in_float64
    lanes, farthest = spread
    reach = reach_of(queries.high, unseen, farthest, metric=plan.metric)

    def in_pairs(whose: jax.Array, subset: Scaled, others: Scaled) -> Ranked:
        return Ranked(*distances_in_pairs(subset, others, reach[whose], lanes, metric=plan.metric))

    return in_pairs


def _finish(
    ranked: Ranked, names: jax.Array, unseen: jax.Array, *, plan: RingPlan
) -> tuple[jax.Array, jax.Array, jax.Array]:
    names = jnp.where(jnp.isinf(ranked.distances), NOBODY, names)
    ordered, who = order_by_distance(ranked.distances, names, count=plan.k)
    if ranked.could_be is not None:
        unseen = jnp.where(is_open(ordered, ranked.could_be), jnp.float32(-1), unseen)
    return ordered, who, unseen
