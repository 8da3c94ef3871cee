"""What the devices of a ring compute: the programs of an exact k-NN graph over a mesh.

Each is compiled once a shape. The scan and the ranking advance by one turn of the ring a call, so
that the host can show progress, and only their block travels. Accelerators scan in another way
(``ring_buckets``), and rank in another where float64 is slow (``ring_pairs``).
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
from mgm_jax.geometry.knn.mesh.ring_points import tabulate, write_rows
from mgm_jax.geometry.knn.scaled import Scaled
from mgm_jax.geometry.knn.selection import INFINITY, NOBODY, merge_smallest, order_by_distance
from mgm_jax.geometry.knn.tile import margin, ranks_in_pairs
from mgm_jax.parallel.devices import axis_of
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
        in_pairs: whether points do without float64; ``ring_pairs`` ranks them then.
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


class RingPrograms(NamedTuple):
    """The compiled programs; "spread" arrays are cut by rows over the mesh.

    Attributes:
        tabulate: ``(points, mean, present)`` to the spread table of the scan.
        begin: ``(table,)`` of the queries to the spread empty lists, bounds and names.
        scan_turn: ``(table of queries, table of base, lists, block number)`` to the lists.
        arrange: ``(table of queries, lists)`` to names, and the distance that no point outside the
            lists can fall below.
        begin_ranking: ``(names,)`` to names by rising row, and distances of infinity.
        rank_turn: ``(queries, base, names, distances, block number)`` to the distances, of what has
            come by.
        finish: ``(distances, names)`` to distances and names ``[n, k]`` in order.
    """

    tabulate: Callable[..., ScanTable]
    begin: Callable[..., tuple[jax.Array, jax.Array]]
    scan_turn: Callable[..., tuple[jax.Array, jax.Array]]
    arrange: Callable[..., tuple[jax.Array, jax.Array]]
    begin_ranking: Callable[..., tuple[jax.Array, jax.Array]]
    rank_turn: Callable[..., jax.Array]
    finish: Callable[..., tuple[jax.Array, jax.Array]]


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
        arrange=compiled(_arrange, SPREAD, SPREAD),
        begin_ranking=compiled(_begin_ranking, SPREAD),
        rank_turn=compiled(_rank_turn, SPREAD, SPREAD, SPREAD, SPREAD, WHOLE, donate=(3,)),
        finish=compiled(_finish, SPREAD, SPREAD),
    )


def _slice(parts: Any, start: jax.Array, size: int) -> Any:
    return jax.tree.map(lambda part: jax.lax.dynamic_slice_in_dim(part, start, size), parts)


def _tabulate(
    points: Points | Scaled, mean: jax.Array, present: jax.Array, *, plan: RingPlan
) -> ScanTable:
    return tabulate(points, mean, present, dtype=plan.dtype)


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
    home = jax.lax.axis_index(axis_of(plan.mesh)) * share

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
            return write_rows(lists, kept, start)

        return jax.lax.fori_loop(0, tiles.count, scan_tile, lists)

    return turn(
        base,
        number,
        lists,
        visit,
        axis=axis_of(plan.mesh),
        devices=plan.mesh.size,
        size=plan.columns,
    )


def _arrange(
    queries: ScanTable, lists: tuple[jax.Array, jax.Array], *, plan: RingPlan
) -> tuple[jax.Array, jax.Array]:
    bounds, names = lists
    certificate = unseen_distance_in_single if plan.in_pairs else unseen_distance
    return names, certificate(queries, bounds[:, -1], metric=plan.metric)


def _begin_ranking(names: jax.Array, *, plan: RingPlan) -> tuple[jax.Array, jax.Array]:
    del plan
    names = jnp.sort(jnp.where(names < 0, NOBODY, names), axis=1)
    return names, jnp.full(names.shape, jnp.inf, jnp.float32)


def _rank_turn(
    queries: Points,
    base: Points,
    names: jax.Array,
    ranked: jax.Array,
    number: jax.Array,
    *,
    plan: RingPlan,
) -> jax.Array:
    batch = _PAIRS_ON_CPU if jax.default_backend() == "cpu" else _PAIRS_ON_ACCELERATOR
    share = names.shape[0]
    # TPUs count in 32 bits; not all of their compilers take sums of 64.
    counter = jnp.int32 if names.size + _BATCHES * batch < 2**31 else jnp.int64

    def visit(ranked: jax.Array, visitor: Visitor) -> jax.Array:
        # The names of a query rise, so those of this visitor stand side by side. The pairs of all
        # queries are numbered through and ranked in batches: only they cost anything.
        begin = jnp.sum(names < visitor.first + visitor.begin, axis=1, dtype=jnp.int32)
        end = jnp.sum(names < visitor.first + plan.columns, axis=1, dtype=jnp.int32)
        ends = jnp.cumsum(end - begin, dtype=counter)
        total = ends[-1]

        def more(state: tuple) -> jax.Array:
            return state[0] < total

        def rank_some(state: tuple) -> tuple[jax.Array, jax.Array]:
            start, ranked = state
            pairs = start + jnp.arange(_BATCHES * batch, dtype=counter)
            query = jnp.minimum(jnp.searchsorted(ends, pairs, side="right"), share - 1)
            position = (end[query] - (ends[query] - pairs)).astype(jnp.int32)
            # What is beyond the last pair is written nowhere.
            query_or_none = jnp.where(pairs < total, query, share)

            def rank_batch(b: jax.Array, ranked: jax.Array) -> jax.Array:
                whose, to, where = _slice((query, query_or_none, position), b * batch, batch)
                local = jnp.clip(names[whose, where] - visitor.first, 0, plan.columns - 1)
                distances = exact_distances(
                    queries.take(whose), visitor.parts.take(local), metric=plan.metric
                )
                return ranked.at[to, where].set(distances, mode="drop")

            batches = jnp.minimum(-(-(total - start) // batch), _BATCHES)
            return start + _BATCHES * batch, jax.lax.fori_loop(0, batches, rank_batch, ranked)

        return jax.lax.while_loop(more, rank_some, (jnp.zeros_like(total), ranked))[1]

    return turn(
        base,
        number,
        ranked,
        visit,
        axis=axis_of(plan.mesh),
        devices=plan.mesh.size,
        size=plan.columns,
    )


def _finish(ranked: jax.Array, names: jax.Array, *, plan: RingPlan) -> tuple[jax.Array, jax.Array]:
    names = jnp.where(jnp.isinf(ranked), NOBODY, names)
    return order_by_distance(ranked, names, count=plan.k)
