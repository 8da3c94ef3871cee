"""The rows that the scan over a ring could not settle: every device searches its own share.

A few queries at a time go to all devices. Each scans its share in float64, block by block, and the
lists meet; where that settles nothing, such as on a lattice, every distance is computed. Where
float64 is slow, ``fallback_to_hosts`` takes its place.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh

from mgm_jax.geometry.knn.distance import Metric, Points, scan_table
from mgm_jax.geometry.knn.fallback import batches, rank_all, settle_in_turns
from mgm_jax.geometry.knn.mesh.fallback_to_hosts import turns_to_hosts
from mgm_jax.geometry.knn.mesh.ring_points import SpreadSearch
from mgm_jax.geometry.knn.scaled import Scaled
from mgm_jax.geometry.knn.selection import NOBODY, order_by_distance
from mgm_jax.geometry.knn.tile import settle
from mgm_jax.parallel.devices import pick
from mgm_jax.parallel.ring import cut, over_blocks
from mgm_jax.parallel.spread_jit import SPREAD, WHOLE, spread_jit

# Base points whose float64 table exists at once on a device.
_BLOCK = 4096


def fall_back_on_mesh(
    search: SpreadSearch, rows: np.ndarray, mesh: Mesh, *, k: int, metric: Metric
) -> tuple[np.ndarray, np.ndarray]:
    """Neighbours of some queries without the fast scan; float64 must be on.

    Args:
        search: queries and base, with at least k rows a device.
        rows: ``[q]`` which queries the scan could not settle.
        mesh: the devices.
        k: number of neighbours.
        metric: which distance.

    Returns:
        Distances ``[q, k]`` float32 in scaled units and indices ``[q, k]`` int32.
    """
    if isinstance(search.base, Scaled):
        return settle_in_turns(rows, turns_to_hosts(search, mesh, k=k, metric=metric), k=k)
    turns = [
        partial(
            _turn,
            search,
            spread_jit(
                _search,
                mesh,
                inputs=(SPREAD, SPREAD, SPREAD, WHOLE, WHOLE),
                outputs=WHOLE,
                axis=mesh.axis_names[0],
                k=k,
                metric=metric,
                own=search.own,
                in_full=in_full,
            ),
        )
        for in_full in (False, True)
    ]
    return settle_in_turns(rows, turns, k=k)


def _turn(
    search: SpreadSearch, on_mesh: Callable[..., tuple[jax.Array, ...]], rows: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """What all devices find for some queries, a few at a time, on the host of every process."""
    parts = []
    for index, chosen in batches(rows):
        results = on_mesh(*search[:4], chosen.astype(np.int32))
        count = index.stop - index.start
        parts.append([np.asarray(part.addressable_data(0))[:count] for part in results])
    distances, indices, unseen = map(np.concatenate, zip(*parts, strict=True))
    return distances, indices, unseen


def _search(
    queries: Points,
    base: Points,
    present: jax.Array,
    mean: jax.Array,
    rows: jax.Array,
    *,
    axis: str,
    k: int,
    metric: Metric,
    own: bool,
    in_full: bool,
) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Neighbours of a few queries: in float64, or by every distance."""
    share = present.shape[0]
    home = (jax.lax.axis_index(axis) * share).astype(jnp.int32)
    subset = pick(queries, rows, axis)
    blocks = cut(share, most=_BLOCK, least=k)

    def search_block(part: Points, mask: jax.Array, start: jax.Array, best: tuple) -> tuple:
        first = home + start.astype(jnp.int32)
        names = rows - first if own else jnp.full_like(rows, -1)
        if in_full:
            results = rank_all(subset, names, part, mask, k=k, metric=metric)
        else:
            table = scan_table(part, mean, mask, dtype=jnp.float64)
            results = settle(subset, names, part, table, mean, k=k, metric=metric, tile=blocks.size)
        distances, indices, unseen = results
        indices = jnp.where(indices == NOBODY, NOBODY, indices + first)
        distances = jnp.concatenate([best[0], distances], axis=1)
        indices = jnp.concatenate([best[1], indices], axis=1)
        nearest = order_by_distance(distances, indices, count=k)
        return *nearest, jnp.minimum(best[2], unseen)

    empty = (
        jnp.full((rows.size, k), jnp.inf, jnp.float32),
        jnp.full((rows.size, k), NOBODY, jnp.int32),
        jnp.full(rows.size, jnp.inf, jnp.float32),
    )
    *lists, unseen = over_blocks(search_block, base, present, empty, blocks=blocks)
    # All lists side by side, [r, devices * k].
    gather = partial(jax.lax.all_gather, axis_name=axis, axis=1, tiled=True)
    return *order_by_distance(*map(gather, lists), count=k), jax.lax.pmin(unseen, axis)
