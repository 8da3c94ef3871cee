"""The rows that the scan over a ring could not settle, where float64 is slow: hosts rank them.

Every device scans its own share in float32 for a few queries at a time, the lists meet, and each
host ranks what is on them in float64. Where that settles nothing, such as on a lattice, every
process computes all distances to the shares of its own devices, and the lists of the processes
meet.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh

from mgm_jax.geometry.backend.precision import single_precision
from mgm_jax.geometry.backend.wide import on_host
from mgm_jax.geometry.knn.distance import (
    Metric,
    Points,
    scan,
    scan_table,
    unseen_distance_in_single,
)
from mgm_jax.geometry.knn.fallback import (
    Best,
    Search,
    Turn,
    batches,
    distances_on_host,
    rank_in_full,
    to_host,
)
from mgm_jax.geometry.knn.mesh.ring_points import SpreadSearch
from mgm_jax.geometry.knn.scaled import Scaled
from mgm_jax.geometry.knn.selection import NOBODY, merge_smallest
from mgm_jax.geometry.knn.tile import margin
from mgm_jax.parallel.devices import fetch_rows, pick
from mgm_jax.parallel.processes import from_all_processes
from mgm_jax.parallel.ring import cut, over_blocks
from mgm_jax.parallel.spread_jit import SPREAD, WHOLE, spread_jit

# Base points that are scanned at once on a device.
_BLOCK = 4096
# Queries that are ranked in full at once.
_AT_ONCE = 1024


def turns_to_hosts(search: SpreadSearch, mesh: Mesh, *, k: int, metric: Metric) -> list[Turn]:
    """Searches for some queries without the fast scan, and without float64 on the devices.

    Args:
        search: queries and base, :class:`Scaled`, with at least k rows a device.
        mesh: the devices; all processes must call the turns.
        k: number of neighbours.
        metric: which distance.
    """
    return [
        partial(_in_single, search, mesh, k=k, metric=metric),
        partial(_in_full_on_hosts, search, mesh, k=k, metric=metric),
    ]


def _in_single(
    search: SpreadSearch, mesh: Mesh, rows: np.ndarray, *, k: int, metric: Metric
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """A scan in float32 on the devices, the ranking on the hosts."""
    share = search.present.shape[0] // mesh.size
    on_mesh = scan_program(mesh, share=share, k=k, metric=metric, own=search.own)
    best = Best(rows.size, k)
    for index, chosen in batches(rows):
        with single_precision():
            results = on_mesh(*search[:4], chosen.astype(np.int32))
        names, unseen = (np.asarray(part.addressable_data(0)) for part in results)
        members, local = np.unique(np.maximum(names, 0), return_inverse=True)
        near = _fetch_points(search.base, members, metric).take(local.reshape(names.shape))
        queries = _fetch_points(search.queries, chosen, metric)
        distances = distances_on_host(queries, near, metric)
        distances[names < 0] = np.inf
        best.add(index, 0, distances, np.where(names < 0, NOBODY, names), unseen)
    return best.results()


def _in_full_on_hosts(
    search: SpreadSearch, mesh: Mesh, rows: np.ndarray, *, k: int, metric: Metric
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Every distance: each process to the shares of its own devices."""
    base = search.base
    assert isinstance(base, Scaled)
    pieces = base.values.addressable_shards, base.exponents.addressable_shards
    shares = []
    for values, exponents, present in zip(*pieces, search.present.addressable_shards, strict=True):
        points = base._replace(values=values.data, exponents=exponents.data)
        shares.append((values.index[0].start or 0, to_host(points, metric), present.data))
    best = Best(rows.size, k)
    for start in range(0, rows.size, _AT_ONCE):
        index = slice(start, start + _AT_ONCE)
        subset = rows[index]
        mine, every = Best(subset.size, k), np.arange(subset.size)
        queries = _fetch_points(search.queries, subset, metric)
        with on_host():
            for first, points, present in shares:
                own = subset - first if search.own else np.full(subset.size, -1)
                asked = Search(
                    queries=queries,
                    own=own.astype(np.int32),
                    targets=points,
                    present=np.asarray(present),
                    mean=np.zeros(0),
                    k=k,
                    metric=metric,
                )
                mine.add(slice(None), first, *rank_in_full(asked, every))
        lists = (from_all_processes(part, mesh) for part in mine.results())
        for results in zip(*lists, strict=True):
            best.add(index, 0, *results)
    return best.results()


def scan_program(
    mesh: Mesh, *, share: int, k: int, metric: Metric, own: bool
) -> Callable[..., Any]:
    """Scan for a few queries: spread queries, base and presence, the mean and rows ``[q]`` int32.

    It returns names ``[q, c]`` int32, -1 for nobody, and ``[q]`` a distance that no other point of
    the base can fall below.
    """
    return spread_jit(
        _scan_shares,
        mesh,
        inputs=(SPREAD, SPREAD, SPREAD, WHOLE, WHOLE),
        outputs=WHOLE,
        axis=mesh.axis_names[0],
        count=min(k + margin(jnp.float32), share),
        metric=metric,
        own=own,
    )


def _scan_shares(
    queries: Scaled,
    base: Scaled,
    present: jax.Array,
    mean: jax.Array,
    rows: jax.Array,
    *,
    axis: str,
    count: int,
    metric: Metric,
    own: bool,
) -> tuple[jax.Array, jax.Array]:
    share = present.shape[0]
    home = (jax.lax.axis_index(axis) * share).astype(jnp.int32)
    picked = pick(queries, rows, axis)
    table = partial(scan_table, mean=mean, dtype=jnp.float32)
    centred = table(picked, present=jnp.ones(rows.shape, bool))
    blocks = cut(share, most=max(_BLOCK, count), least=count)

    def scan_block(
        part: Scaled, mask: jax.Array, start: jax.Array, best: tuple
    ) -> tuple[jax.Array, jax.Array]:
        first = home + start.astype(jnp.int32)
        itself = rows - first if own else jnp.full_like(rows, -1)
        bounds, positions = scan(
            centred, itself, table(part, present=mask), count=count, tile=blocks.size
        )
        return merge_smallest(best, (bounds, jnp.where(positions < 0, -1, positions + first)))

    shape = rows.size, count
    best = jnp.full(shape, jnp.inf, jnp.float32), jnp.full(shape, -1, jnp.int32)
    best = over_blocks(scan_block, base, present, best, blocks=blocks)
    # All lists side by side, [q, devices * c].
    gather = partial(jax.lax.all_gather, axis_name=axis, axis=1, tiled=True)
    bounds, names = map(gather, best)
    negative, positions = jax.lax.top_k(-bounds, count)
    names = jnp.take_along_axis(names, positions, axis=1)
    return names, unseen_distance_in_single(centred, -negative[:, -1], metric=metric)


def _fetch_points(points: Points | Scaled, rows: np.ndarray, metric: Metric) -> Points:
    """Some of the points, on the host of every process."""
    return to_host(jax.tree.map(lambda part: fetch_rows(part, rows), points), metric)
