"""Exact k nearest neighbours over many devices: the base travels round a ring.

Every device keeps its queries and hands its share of the base to the next device, twice round: once
to scan for candidates, once to rank them exactly where their coordinates happen to be. No device
ever holds more than its own share and a visitor's.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec
from jax.typing import DTypeLike

from mgm_jax.devices import pad_rows, shard_rows
from mgm_jax.geometry.distance import (
    Metric,
    Points,
    ScanTable,
    exact_distances,
    place,
    scan,
    scan_table,
    unseen_distance,
)
from mgm_jax.geometry.knn_redo import QUERIES, Best, rank_all
from mgm_jax.geometry.knn_tile import Nearest, in_units, is_certified, margin, tile_sizes
from mgm_jax.geometry.precision import ScanPrecision, double_precision, scan_dtype
from mgm_jax.geometry.selection import NOBODY, merge_smallest, order_by_distance


def nearest_on_mesh(
    x: jax.Array | np.ndarray,
    base: jax.Array | np.ndarray | None,
    *,
    k: int,
    metric: Metric,
    mesh: Mesh,
    precision: ScanPrecision,
    tile_rows: int | None = None,
    tile_columns: int | None = None,
) -> Nearest:
    """The k nearest points of the base to every query, spread over a mesh of one axis.

    Args:
        x: queries ``[n, d]``, on the host, on one device or already spread.
        base: points ``[m, d]``; None for the queries themselves.
        k: number of neighbours.
        metric: which distance.
        mesh: the devices.
        precision: type of the scan.
        tile_rows: queries scanned at once on a device.
        tile_columns: base points scored at once on a device.

    Returns:
        The neighbours that ``nearest_in_cloud`` finds.
    """
    n, m = x.shape[0], (x if base is None else base).shape[0]
    share_of_n, share_of_m = -(-n // mesh.size), -(-m // mesh.size)
    tiles = tile_sizes(share_of_n, share_of_m, k, rows=tile_rows, columns=tile_columns)
    with double_precision():
        # The points are spread before anything is computed: no device can be asked to hold all.
        x_spread, present = _spread(x, mesh, tiles.rows)
        base_spread, base_present = _spread(x if base is None else base, mesh, tiles.columns)
        queries, targets, mean = place(x_spread, present, base_spread, base_present, metric=metric)
        rows = np.arange(present.size, dtype=np.int32)
        own = np.where((rows < n) & (base is None), rows, np.int32(-1))
        ring = _ring_function(
            k, metric, scan_dtype(precision, features=x.shape[1]), mesh, tiles.rows, tiles.columns
        )
        whole = NamedSharding(mesh, PartitionSpec())
        result = ring(
            queries, targets, shard_rows(own, mesh), base_present, jax.device_put(mean, whole)
        )
        # Results are handed over before anything else is computed from them.
        distances, indices, unseen = (np.array(part)[:n] for part in result)
        certified = is_certified(distances, unseen)
        left = np.flatnonzero(~certified)
        if left.size:
            distances[left], indices[left] = _redo_on_mesh(
                queries, own, left, targets, base_present, mesh, k=k, metric=metric
            )
        return Nearest(in_units(distances, queries, metric=metric), indices, certified)


def _spread(x: jax.Array | np.ndarray, mesh: Mesh, multiple: int) -> tuple[jax.Array, jax.Array]:
    """Points spread over the mesh, every share filled up to a multiple; and which are points."""
    padded, n = pad_rows(x, multiple=multiple * mesh.size)
    return shard_rows(padded, mesh), shard_rows(np.arange(padded.shape[0]) < n, mesh)


@lru_cache(maxsize=32)
def _ring_function(
    k: int, metric: Metric, dtype: DTypeLike, mesh: Mesh, rows: int, columns: int
) -> Callable[..., tuple[jax.Array, jax.Array, jax.Array]]:
    """The compiled ring for one kind of graph."""
    axis = mesh.axis_names[0]
    onward = [(device, (device + 1) % mesh.size) for device in range(mesh.size)]
    count = min(k + margin(dtype), columns)

    def hand_on(parts):
        return jax.tree.map(lambda part: jax.lax.ppermute(part, axis, onward), parts)

    def owner(step: jax.Array | int) -> jax.Array:
        return (jax.lax.axis_index(axis) - step) % mesh.size

    def ring(
        queries: Points, targets: Points, own: jax.Array, present: jax.Array, mean: jax.Array
    ) -> tuple[jax.Array, jax.Array, jax.Array]:
        share = present.shape[0]
        centred = scan_table(queries, mean, jnp.ones(own.shape, bool), dtype=dtype)

        def scan_visitor(table: ScanTable, step: jax.Array | int):
            first = (owner(step) * share).astype(jnp.int32)
            found = jax.lax.map(
                lambda tile: scan(tile[0], tile[1] - first, table, count=count, tile=columns),
                _in_tiles((centred, own), rows),
            )
            bounds, local = (part.reshape(-1, count) for part in found)
            return bounds, jnp.where(local < 0, -1, local + first)

        def rank_visitor(visitor: Points, step: jax.Array | int, candidates: jax.Array):
            first = (owner(step) * share).astype(jnp.int32)

            def one(row):
                query, chosen = row
                local = chosen - first
                visiting = (chosen >= 0) & (local >= 0) & (local < share)
                places = jnp.where(visiting, local, 0)
                found = exact_distances(query, visitor.take(places), metric=metric)
                return jnp.where(visiting, found, jnp.inf)

            return jax.lax.map(one, (queries, candidates))

        def scan_step(step, state):
            table, best = state
            table = hand_on(table)
            return table, merge_smallest(best, scan_visitor(table, step))

        table = scan_table(targets, mean, present, dtype=dtype)
        best = scan_visitor(table, 0)
        _, (bounds, candidates) = jax.lax.fori_loop(1, mesh.size, scan_step, (table, best))

        def rank_step(step, state):
            visitor, distances = state
            visitor = hand_on(visitor)
            return visitor, jnp.minimum(distances, rank_visitor(visitor, step, candidates))

        distances = rank_visitor(targets, 0, candidates)
        _, distances = jax.lax.fori_loop(1, mesh.size, rank_step, (targets, distances))
        names = jnp.where(jnp.isinf(distances), NOBODY, candidates)
        distances, indices = order_by_distance(distances, names, count=k)
        return distances, indices, unseen_distance(centred, bounds[:, -1], metric=metric)

    spread = PartitionSpec(axis)
    return jax.jit(
        jax.shard_map(
            ring,
            mesh=mesh,
            in_specs=(spread, spread, spread, spread, PartitionSpec()),
            out_specs=spread,
            check_vma=False,
        )
    )


def _in_tiles(parts, rows: int):
    """Every array ``[n, ...]`` as ``[n / rows, rows, ...]``."""
    return jax.tree.map(lambda part: part.reshape(-1, rows, *part.shape[1:]), parts)


def _redo_on_mesh(
    queries: Points,
    own: np.ndarray,
    left: np.ndarray,
    targets: Points,
    present: jax.Array,
    mesh: Mesh,
    *,
    k: int,
    metric: Metric,
) -> tuple[np.ndarray, np.ndarray]:
    """Rank some queries in full: every device its share, the host the best of all."""
    rank = _rank_function(k, metric, mesh)
    share = present.shape[0] // mesh.size
    best = Best(left.size, k)
    for start in range(0, left.size, QUERIES):
        places = np.arange(start, min(start + QUERIES, left.size))
        rows = left[np.pad(places, (0, QUERIES - places.size), mode="edge")]
        some = jax.device_put(queries.take(rows), NamedSharding(mesh, PartitionSpec()))
        found = rank(some, own[rows], targets, present)
        for device, parts in enumerate(zip(*(np.asarray(part) for part in found), strict=True)):
            best.add(places, device * share, *parts)
    return best.distances, best.indices


@lru_cache(maxsize=32)
def _rank_function(k: int, metric: Metric, mesh: Mesh) -> Callable[..., tuple[jax.Array, ...]]:
    """The compiled full ranking of 64 queries against every device's share."""
    axis = mesh.axis_names[0]

    def rank(queries: Points, own: jax.Array, targets: Points, present: jax.Array):
        first = jax.lax.axis_index(axis) * present.shape[0]
        local = (own - first).astype(jnp.int32)
        found = rank_all(queries, local, targets, present, k=k, metric=metric)
        return tuple(part[None] for part in found)

    whole, spread = PartitionSpec(), PartitionSpec(axis)
    return jax.jit(
        jax.shard_map(
            rank,
            mesh=mesh,
            in_specs=(whole, whole, spread, spread),
            out_specs=spread,
            check_vma=False,
        )
    )
