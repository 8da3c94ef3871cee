"""Exact k nearest neighbours over many devices, of one or many hosts.

Rows are spread over a mesh. Blocks of the base travel round it twice (see ``ring``): once to be
scanned for candidates, once so that candidates are ranked where their coordinates happen to be.
No device holds more than its share, the candidates of its share, and two blocks of the others'.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh

from mgm_jax.geometry.backend.precision import double_precision, scan_dtype
from mgm_jax.geometry.knn.buckets import kernel_for
from mgm_jax.geometry.knn.mesh.ring import RingPlan, plan_ring, ring_programs
from mgm_jax.geometry.knn.mesh.ring_buckets import (
    BucketPlan,
    great_on_mesh,
    plan_buckets,
    scan_on_mesh,
)
from mgm_jax.geometry.knn.mesh.ring_fallback import fall_back_on_mesh
from mgm_jax.geometry.knn.mesh.ring_pairs import PairPlan, rank_on_mesh
from mgm_jax.geometry.knn.mesh.ring_points import SpreadRows, SpreadSearch, scale_on_mesh
from mgm_jax.geometry.knn.scaled import Scaled
from mgm_jax.geometry.knn.tile import (
    PROGRESS_FROM,
    Nearest,
    SearchOptions,
    in_units,
    is_certified,
    ranks_in_pairs,
)
from mgm_jax.parallel.devices import at_hand, fetch, pad_rows, shard_rows
from mgm_jax.parallel.ring import Blocks, take_rows
from mgm_jax.progress import progress


def nearest_on_mesh(
    x: jax.Array | np.ndarray,
    base: jax.Array | np.ndarray | None,
    options: SearchOptions,
    *,
    mesh: Mesh,
    rows: np.ndarray | None = None,
    base_rows: np.ndarray | None = None,
) -> Nearest:
    """The k nearest points of the base to every query, spread over a mesh of one axis.

    Args:
        x: queries ``[n, d]``: on the host or on one device, the same on every process; or spread
            by rows over the mesh.
        base: points ``[m, d]``, likewise; None for the queries themselves.
        options: neighbours, distance, type of the scan, sizes of its tiles.
        mesh: the devices, of one or many processes; all of them must call this.
        rows: ``[n']`` ascending, rows of x to use as queries; None for all.
        base_rows: ``[m']`` ascending, rows of the base to seek among; None for all.

    Returns:
        The neighbours that ``nearest_in_cloud`` finds, on the host of every process.
    """
    k, metric = options.k, options.metric
    with double_precision():
        dtype = jnp.dtype(scan_dtype(options.precision, features=x.shape[1])).name
        # The points are spread before anything is computed: no device can be asked to hold all.
        mine = _spread(x, mesh, rows, least=k)
        others = mine if base is None else _spread(base, mesh, base_rows, least=k)
        queries, targets, mean = scale_on_mesh(
            mine, None if base is None else others, mesh, metric=metric, single=ranks_in_pairs()
        )
        search = SpreadSearch(queries, targets, others.present, mean, base is None)
        share = others.present.shape[0] // mesh.size
        plan, blocks = plan_ring(
            mesh,
            share=share,
            k=k,
            metric=metric,
            dtype=dtype,
            own=base is None,
            tile_rows=options.tile_rows,
            tile_columns=options.tile_columns,
        )
        chip = mesh.local_devices[0]
        kernel = kernel_for(chip, x.shape[1], carries=True) if plan.in_pairs else "xla"
        in_buckets = partial(
            plan_buckets,
            mesh,
            share=share,
            k=k,
            metric=metric,
            dtype=dtype,
            in_pairs=plan.in_pairs,
            query_share=None if base is None else mine.present.shape[0] // mesh.size,
            tile_rows=options.tile_rows,
            tile_columns=options.tile_columns,
        )
        scan, great = in_buckets(width=x.shape[1]), None
        if scan is not None:
            great = great_on_mesh(targets, mean, others.present, mesh)
            if great is not None:
                scan = in_buckets(width=x.shape[1] + 2 * great.size)
        distances, indices, unseen = _search_ring(
            search, plan, blocks, present=mine.present, scan=scan, great=great, kernel=kernel
        )
        # Results are handed over before anything else is computed from them.
        distances, indices, unseen = (
            np.array(fetch(part)[: mine.rows]) for part in (distances, indices, unseen)
        )
        certified = is_certified(distances, unseen)
        left = np.flatnonzero(~certified)
        if left.size:
            distances[left], indices[left] = fall_back_on_mesh(
                search, left, mesh, k=k, metric=metric
            )
        # The scale is one number on every device.
        scale = jax.tree.map(lambda part: part.addressable_data(0), queries)
        return Nearest(in_units(distances, scale, metric=metric), indices, certified)


def _search_ring(
    search: SpreadSearch,
    plan: RingPlan,
    blocks: Blocks,
    *,
    present: jax.Array,
    scan: BucketPlan | None,
    great: jax.Array | None,
    kernel: str,
) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Scan and rank; distances, names and the least unseen distance, spread over the mesh."""
    programs = ring_programs(plan)
    n, features = search.queries.values.shape
    shown = n > PROGRESS_FROM and jax.process_index() == 0
    turns = blocks.count if scan is None else scan.blocks.count
    with progress(
        "neighbours", total=turns + blocks.count if shown else 0, unit="block", compiles=True
    ) as bar:

        def after_turn(results: Any) -> None:
            jax.block_until_ready(results)
            bar.advance(1)

        if scan is None:
            names, unseen = _scan_in_tiles(search, plan, turns, after_turn)
        else:
            names, unseen = scan_on_mesh(
                scan,
                search.queries,
                search.base,
                (present, search.present),
                search.mean,
                great=great,
                after_turn=after_turn,
            )
        if isinstance(search.base, Scaled):
            assert isinstance(search.queries, Scaled)
            return rank_on_mesh(
                PairPlan(plan.mesh, plan.metric, plan.k, features, blocks, kernel),
                search.queries,
                search.base,
                names,
                unseen,
                own=search.own,
                after_turn=after_turn,
            )
        names, ranked = programs.begin_ranking(names)
        for number in range(blocks.count):
            ranked = programs.rank_turn(
                search.queries, search.base, names, ranked, np.int32(number)
            )
            after_turn(ranked)
        return *programs.finish(ranked, names), unseen


def _scan_in_tiles(
    search: SpreadSearch, plan: RingPlan, turns: int, after_turn: Callable[[Any], None]
) -> tuple[jax.Array, jax.Array]:
    """What ``RingPrograms.arrange`` returns; the tables have done their work and are gone."""
    programs = ring_programs(plan)
    table = programs.tabulate(search.base, search.mean, search.present)
    centred = table
    if not search.own:
        everybody = shard_rows(np.ones(search.queries.values.shape[0], bool), plan.mesh)
        centred = programs.tabulate(search.queries, search.mean, everybody)
    lists = programs.begin(centred)
    for number in range(turns):
        lists = programs.scan_turn(centred, table, lists, np.int32(number))
        after_turn(lists)
    return programs.arrange(centred, lists)


def _spread(
    x: jax.Array | np.ndarray, mesh: Mesh, rows: np.ndarray | None, *, least: int
) -> SpreadRows:
    """Points spread over the mesh, shares of at least ``least`` rows; and which are points."""
    n = x.shape[0] if rows is None else rows.size
    scattered = isinstance(x, jax.Array) and not x.is_fully_replicated
    if rows is not None and scattered:
        x, _ = pad_rows(x, multiple=mesh.size)
        x = take_rows(shard_rows(x, mesh), rows, mesh, least=least)
    elif rows is not None:
        x = fetch(x)[rows]
    share = max(-(-n // mesh.size), least)
    if not scattered:
        # A selection is fastest over a multiple of 16.
        share = -(-share // 16) * 16
    elif not at_hand(x) and x.shape[0] < share * mesh.size:
        # So few that they fit anywhere.
        x = fetch(x)
    x = shard_rows(x, mesh, share=share)
    return SpreadRows(x, shard_rows(np.arange(x.shape[0]) < n, mesh), n)
