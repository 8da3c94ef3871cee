"""The scan of a ring of accelerators: every visitor's columns fall into buckets that stay at home.

The steps are those of one device (``buckets``). A small block fills few places of the buckets, so
that several visitors, a party, fall into the same before the best of each row are taken out: what
a visitor costs is its product.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh

from mgm_jax.geometry.backend.precision import single_precision
from mgm_jax.geometry.knn.buckets import (
    BUCKETS,
    CHUNK,
    COLUMNS,
    MOST,
    WIDEST,
    Lists,
    best_of,
    keep,
    kernel_for,
    merged,
    nothing_kept,
    without_own,
)
from mgm_jax.geometry.knn.distance import (
    Metric,
    Points,
    ScanTable,
    column_terms,
    moved_as_a_rule,
    row_terms,
    scan_table,
    unseen_distance,
    unseen_distance_in_single,
)
from mgm_jax.geometry.knn.great_features import FEATURES, SAMPLE, greatest, is_worth
from mgm_jax.geometry.knn.mesh.ring_points import tabulate
from mgm_jax.geometry.knn.scaled import Scaled
from mgm_jax.geometry.knn.selection import INFINITY
from mgm_jax.parallel.devices import axis_of
from mgm_jax.parallel.ring import Blocks, Visitor, owner_at, turn
from mgm_jax.parallel.spread_jit import SPREAD, WHOLE, spread_jit

# Candidates beyond k: no fewer are of use, and more are cheap beside what an unproved row costs,
# which every device scans its whole share for once more.
_LEAST_MARGIN, _MARGIN = 14, 60
_ROWS, _COLUMNS = 4096, 32768


class BucketPlan(NamedTuple):
    """What fixes the shapes of the scan.

    Attributes:
        mesh: the devices, one axis.
        metric: which distance.
        share: rows of the base on each device.
        query_share: likewise of the queries.
        count: candidates of a row.
        blocks: how a share, filled up to whole buckets, is cut.
        every: visitors of a party.
        rows: queries whose best are taken at once, at most.
        own: whether the queries are the base.
        kernel: of ``buckets.scan_in_buckets``.
        in_pairs: whether points do without float64.
    """

    mesh: Mesh
    metric: Metric
    share: int
    query_share: int
    count: int
    blocks: Blocks
    every: int
    rows: int
    own: bool
    kernel: str
    in_pairs: bool


def plan_buckets(
    mesh: Mesh,
    *,
    share: int,
    k: int,
    metric: Metric,
    dtype: str,
    width: int,
    in_pairs: bool,
    query_share: int | None = None,
    tile_rows: int | None = None,
    tile_columns: int | None = None,
    kernel: str | None = None,
) -> BucketPlan | None:
    """Fix the shapes of a scan in buckets; None where the scan in tiles takes its place.

    Args:
        mesh: the devices, one axis.
        share: rows of the base on each device.
        k: number of neighbours.
        metric: which distance.
        dtype: type of the scan, by name.
        width: columns of the table of the scan.
        in_pairs: whether points do without float64.
        query_share: rows of the queries on each device; None where they are the base.
        tile_rows: queries whose best are taken at once; None for a good number.
        tile_columns: largest block; None likewise.
        kernel: of ``buckets.scan_in_buckets``; None for that of the devices.
    """
    enough = share >= BUCKETS and share * mesh.size >= 4 * COLUMNS
    fits = dtype == "bfloat16" and width <= WIDEST and k + _LEAST_MARGIN <= MOST
    if jax.default_backend() == "cpu" or not (enough and fits):
        return None
    most = max(tile_columns or _COLUMNS, BUCKETS)
    filled = filled_up(share)
    count = -(-filled // most)
    step = BUCKETS if filled <= most else COLUMNS
    size = -(-filled // count // step) * step
    blocks = Blocks(-(-filled // size), size)
    every = max(1, min(CHUNK // size, mesh.size)) if blocks.count == 1 else 1
    return BucketPlan(
        mesh=mesh,
        metric=metric,
        share=share,
        query_share=query_share or share,
        count=min(k + _MARGIN, MOST),
        blocks=blocks,
        every=every,
        rows=max(tile_rows or _ROWS, BUCKETS),
        own=query_share is None,
        kernel=kernel or kernel_for(mesh.local_devices[0], width, carries=True),
        in_pairs=in_pairs,
    )


def filled_up(share: int) -> int:
    """Rows of a share in whole buckets."""
    return -(-share // BUCKETS) * BUCKETS


class BucketPrograms(NamedTuple):
    """The compiled programs; "spread" arrays are cut by rows over the mesh.

    Attributes:
        tabulate: ``(points, mean, present, great features or None)`` of the base to the spread
            table of the scan.
        tabulate_queries: the same of the queries.
        terms: ``(table of base,)`` to its spread columns for the products, and a number for rows.
        begin: ``(table of queries,)`` to the spread empty lists.
        scan_turn: ``(points of queries, columns of base, lists, block number)`` to the lists.
        arrange: ``(table of queries, lists, number for rows)`` to names by row and the distance
            that no other point can fall below.
    """

    tabulate: Callable[..., ScanTable]
    tabulate_queries: Callable[..., ScanTable]
    terms: Callable[..., tuple[Columns, jax.Array]]
    begin: Callable[..., Lists]
    scan_turn: Callable[..., Lists]
    arrange: Callable[..., tuple[jax.Array, jax.Array]]


class Columns(NamedTuple):
    """Points as they travel.

    Attributes:
        points: ``[c, w]`` in bfloat16.
        offset: ``[c]`` what is taken off their products.
    """

    points: jax.Array
    offset: jax.Array


def bucket_programs(plan: BucketPlan) -> BucketPrograms:
    """The programs of one kind of scan."""
    compiled = partial(spread_jit, mesh=plan.mesh, plan=plan)
    table = partial(spread_jit, _tabulate, plan.mesh, inputs=(SPREAD, WHOLE, SPREAD, WHOLE))
    return BucketPrograms(
        tabulate=table(of_queries=False),
        tabulate_queries=table(of_queries=True),
        terms=compiled(_terms, outputs=(SPREAD, WHOLE)),
        begin=compiled(_begin),
        scan_turn=compiled(_scan_turn, inputs=(SPREAD, SPREAD, SPREAD, WHOLE), donate=(2,)),
        arrange=compiled(_arrange, inputs=(SPREAD, SPREAD, WHOLE)),
    )


def great_on_mesh(
    points: Points | Scaled, mean: jax.Array, present: jax.Array, mesh: Mesh
) -> jax.Array | None:
    """``great_features`` of spread points, the same on every device."""
    if points.values.shape[1] <= 2 * FEATURES:
        return None
    program = spread_jit(
        _greatest,
        mesh,
        inputs=(SPREAD, WHOLE, SPREAD),
        outputs=WHOLE,
        axis=mesh.axis_names[0],
        sample=-(-SAMPLE // mesh.size),
    )
    great, share = program(points, mean, present)
    return great if is_worth(share.addressable_data(0)) else None


def _greatest(
    points: Points | Scaled, mean: jax.Array, present: jax.Array, *, axis: str, sample: int
) -> tuple[jax.Array, jax.Array]:
    some = slice(None, None, -(-present.shape[0] // sample))
    table = scan_table(points.take(some), mean, present[some], dtype="bfloat16")
    return greatest(table.points, axis=axis)


def _tabulate(
    points: Points | Scaled,
    mean: jax.Array,
    present: jax.Array,
    great: jax.Array | None,
    *,
    of_queries: bool,
) -> ScanTable:
    table = tabulate(points, mean, present, dtype="bfloat16", great=great, of_queries=of_queries)
    share = present.shape[0]
    more = filled_up(share) - share
    return ScanTable(
        points=jnp.pad(table.points, ((0, more), (0, 0))),
        half_squares=jnp.pad(table.half_squares, (0, more), constant_values=INFINITY),
        lengths=jnp.pad(table.lengths, (0, more)),
        moved=jnp.pad(table.moved, (0, more)),
    )


def _terms(table: ScanTable, *, plan: BucketPlan) -> tuple[Columns, jax.Array]:
    with single_precision():
        share = moved_as_a_rule(table, axis=axis_of(plan.mesh))
        return Columns(table.points, column_terms(table, share)), share


def _begin(table: ScanTable, *, plan: BucketPlan) -> Lists:
    # One place more than wanted, because the query's own column may take one.
    return Lists.empty(table.lengths.shape[0], count=plan.count + 1)


def _scan_turn(
    queries: jax.Array, base: Columns, lists: Lists, number: jax.Array, *, plan: BucketPlan
) -> Lists:
    size, every = plan.blocks.size, plan.every
    fills, filled = size // BUCKETS, base.offset.shape[0]
    share, devices, kernel = plan.share, plan.mesh.size, plan.kernel
    rows = _tile(queries.shape[0], most=plan.rows)

    def columns_of(visitor: Visitor) -> Columns:
        points, offset = visitor.parts
        fresh = jnp.arange(size, dtype=jnp.int32) >= visitor.begin
        return Columns(points, jnp.where(fresh, offset, np.float32(1e30)))

    def names(place: jax.Array, bucket: jax.Array, *, party: jax.Array | int) -> jax.Array:
        step = party * np.int32(every) + place // np.int32(fills)
        owner = owner_at(step, axis=axis_of(plan.mesh), devices=devices)
        local = place % np.int32(fills) * np.int32(BUCKETS) + bucket
        first = jnp.minimum(number * np.int32(size), np.int32(filled - size))
        return owner * np.int32(share) + first + local

    def merge_tiles(
        lists: Lists, kept_of: Callable[[jax.Array], jax.Array], party: jax.Array | int
    ) -> Lists:
        def merge(tile: jax.Array, lists: Lists) -> Lists:
            start = tile * np.int32(rows)
            kept = kept_of(start)
            name = partial(names, party=party)
            fresh = best_of(kept, name, count=plan.count + 1, kernel=kernel)
            old = Lists(*(jax.lax.dynamic_slice_in_dim(part, start, rows) for part in lists))
            return Lists(
                *(
                    jax.lax.dynamic_update_slice_in_dim(part, new, start, 0)
                    for part, new in zip(lists, merged(old, fresh), strict=True)
                )
            )

        return jax.lax.fori_loop(0, queries.shape[0] // rows, merge, lists)

    def keep_in_turn(state: tuple, visitor: Visitor) -> tuple[jax.Array, Lists]:
        kept, lists = state
        before = visitor.step % np.int32(every) * np.int32(fills)
        return keep(queries, *columns_of(visitor), (kept, before), kernel=kernel), lists

    def merge_party(state: tuple, party: jax.Array | int) -> tuple[jax.Array, Lists]:
        kept, lists = state
        cut_out = partial(jax.lax.dynamic_slice_in_dim, kept, slice_size=rows)
        return nothing_kept(queries.shape[0]), merge_tiles(lists, cut_out, party)

    def keep_and_merge(lists: Lists, visitor: Visitor) -> Lists:
        columns = columns_of(visitor)

        def kept_of(start: jax.Array) -> jax.Array:
            tile = jax.lax.dynamic_slice_in_dim(queries, start, rows)
            return keep(tile, *columns, kernel=kernel)

        return merge_tiles(lists, kept_of, visitor.step)

    with single_precision():
        go_round = partial(turn, base, number, axis=axis_of(plan.mesh), devices=devices, size=size)
        if every == 1:
            return go_round(lists, keep_and_merge)
        state = nothing_kept(queries.shape[0]), lists
        return go_round(state, keep_in_turn, every=every, after=merge_party)[1]


def _tile(rows: int, *, most: int) -> int:
    """Rows of a tile: whole buckets, that divide the rows."""
    pieces = rows // BUCKETS
    return BUCKETS * max(n for n in range(1, most // BUCKETS + 1) if pieces % n == 0)


def _arrange(
    queries: ScanTable, lists: Lists, share: jax.Array, *, plan: BucketPlan
) -> tuple[jax.Array, jax.Array]:
    with single_precision():
        rows = jnp.arange(queries.lengths.shape[0], dtype=jnp.int32)
        home = jax.lax.axis_index(axis_of(plan.mesh)).astype(jnp.int32) * np.int32(plan.share)
        own = home + rows if plan.own else jnp.full_like(rows, -1)
        names, last = without_own(lists, own, row_terms(queries, share))
    certificate = unseen_distance_in_single if plan.in_pairs else unseen_distance
    unseen = certificate(queries, last, metric=plan.metric)
    return names[: plan.query_share], unseen[: plan.query_share]


def scan_on_mesh(
    plan: BucketPlan,
    queries: Points | Scaled,
    base: Points | Scaled,
    present: tuple[jax.Array, jax.Array],
    mean: jax.Array,
    *,
    great: jax.Array | None,
    after_turn: Callable[[Any], None],
) -> tuple[jax.Array, jax.Array]:
    """Candidates ``[n, count]`` int32 of every query, -1 for nobody, and a bound ``[n]``.

    Args:
        plan: as :func:`plan_buckets` makes it.
        queries: n points, spread.
        base: m points, spread.
        present: which queries and which of the base are points, spread.
        mean: of the scaled base.
        great: features whose rests are kept; None for none.
        after_turn: called with the lists after every turn.

    Returns:
        Names of rows of the base, and a distance that no other point of it can fall below;
        spread.
    """
    programs = bucket_programs(plan)
    table = programs.tabulate(base, mean, present[1], great)
    columns, share = programs.terms(table)
    if not plan.own or great is not None:
        table = programs.tabulate_queries(queries, mean, present[0], great)
    lists = programs.begin(table)
    for number in range(plan.blocks.count):
        lists = programs.scan_turn(table.points, columns, lists, np.int32(number))
        after_turn(lists)
    return programs.arrange(table, lists, share)
