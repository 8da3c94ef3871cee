"""The rows that the fast scan could not settle: float64 first, every distance where that fails.

Devices whose float64 is slow scan in float32 once more, and the host ranks what they find. Few
rows come here: near-duplicates closer than the rounding of the scan, and points with more than the
margin of neighbours at one distance, such as points on a lattice.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np

from mgm_jax.geometry.backend.wide import on_host
from mgm_jax.geometry.knn.distance import (
    Metric,
    Points,
    ScanTable,
    exact_distances,
    reported_distance,
    scan,
    scan_table,
    unit_scales,
    unseen_distance_in_single,
)
from mgm_jax.geometry.knn.scaled import Scaled
from mgm_jax.geometry.knn.selection import NOBODY, merge_smallest
from mgm_jax.geometry.knn.tile import (
    Cloud,
    is_certified,
    margin,
    pad_points,
    settle,
)
from mgm_jax.geometry.points.groups import padded_size

QUERIES = 64
"""Queries that fall back at once."""
_BLOCK = 8192
# Of these, on an accelerator: what a step there costs does not depend on how many.
_TOGETHER = 4


def fall_back(
    queries: Points | Scaled,
    rows: np.ndarray,
    own: np.ndarray,
    targets: Points | Scaled,
    present: np.ndarray,
    mean: jax.Array | np.ndarray,
    *,
    k: int,
    metric: Metric,
) -> tuple[np.ndarray, np.ndarray]:
    """Neighbours of some queries without the fast scan; float64 must be on.

    Args:
        queries: n points.
        rows: ``[q]`` which of them the scan could not settle.
        own: ``[n]`` int32, every query's own row among the targets; -1 where it is not there.
        targets: m points to choose from, scaled like the queries.
        present: ``[m]`` bool, False where a target is padding.
        mean: ``[d]`` float64, about the mean of the scaled targets.
        k: number of neighbours.
        metric: which distance.

    Returns:
        Distances ``[q, k]`` float32 in scaled units and indices ``[q, k]`` int32.
    """
    if isinstance(queries, Scaled) and isinstance(targets, Scaled):
        return _fall_back_to_host(queries, rows, own, targets, present, mean, k=k, metric=metric)
    if isinstance(queries, Scaled) or isinstance(targets, Scaled):
        raise TypeError("queries and targets are scaled by one function")
    best = Best(rows.size, k)
    for start, block, mask in _blocks(targets, present, k=k):
        table = scan_table(block, mean, mask, dtype=jnp.float64)
        for index, subset, names in _batches(queries, own, rows, np.arange(rows.size)):
            nearest = settle(
                subset, names - start, block, table, mean, k=k, metric=metric, tile=mask.size
            )
            best.add(index, start, *nearest)
    left = np.flatnonzero(~is_certified(best.distances, best.unseen))
    if left.size:
        full = rank_in_full(queries, rows[left], own, targets, present, k=k, metric=metric)
        best.distances[left], best.indices[left] = full
    return best.distances, best.indices


def _fall_back_to_host(
    queries: Scaled,
    rows: np.ndarray,
    own: np.ndarray,
    targets: Scaled,
    present: np.ndarray,
    mean: jax.Array | np.ndarray,
    *,
    k: int,
    metric: Metric,
) -> tuple[np.ndarray, np.ndarray]:
    """Where float64 is slow: a scan in float32 on the device, the ranking on the host."""
    count = k + margin(jnp.float32)
    batches = list(_batches(queries, own, rows, np.arange(rows.size)))
    tables: list[ScanTable] = []
    lists: list[tuple[jax.Array, jax.Array]] = []
    for start, block, mask in _blocks(targets, present, k=count):
        table = scan_table(block, mean, mask, dtype=jnp.float32)
        for number, (_, subset, names) in enumerate(batches):
            if not start:
                everybody = np.ones(names.size, bool)
                tables.append(scan_table(subset, mean, everybody, dtype=jnp.float32))
            bounds, nearest = scan(
                tables[number], names - start, table, count=count, tile=mask.size
            )
            fresh = bounds, jnp.where(nearest < 0, -1, nearest + np.int32(start))
            if start:
                lists[number] = merge_smallest(lists[number], fresh)
            else:
                lists.append(fresh)
    best = Best(rows.size, k)
    for (index, subset, _), table, (bounds, names) in zip(batches, tables, lists, strict=True):
        chosen = np.asarray(names)
        near = targets.take(jnp.maximum(names, 0))
        distances = _on_host(_to_host(subset, metric), _to_host(near, metric), metric)
        distances[chosen < 0] = np.inf
        unseen = unseen_distance_in_single(table, bounds[:, -1], metric=metric)
        best.add(index, 0, distances, np.where(chosen < 0, NOBODY, chosen), unseen)
    left = np.flatnonzero(~is_certified(best.distances, best.unseen))
    if left.size:
        both = [_to_host(points, metric) for points in (queries, targets)]
        with on_host():
            full = rank_in_full(both[0], rows[left], own, both[1], present, k=k, metric=metric)
        best.distances[left], best.indices[left] = full
    return best.distances, best.indices


def _to_host(points: Scaled, metric: Metric) -> Points:
    """Points ``[..., d]`` with scales and lengths in float64, on the host."""
    values, exponents = np.asarray(points.values), np.asarray(points.exponents)
    if metric != "cosine":
        return Points(values, np.ldexp(1.0, exponents), np.ones(exponents.shape))
    squares = np.square(values.astype(np.float64)).sum(axis=-1)
    return Points(values, *unit_scales(np.sqrt(squares)))


def _on_host(queries: Points, near: Points, metric: Metric) -> np.ndarray:
    """Reported distances ``[q, c]`` of queries to c points each."""
    squared = np.empty(near.scales.shape)
    for row, (value, scale) in enumerate(zip(queries.values, queries.scales, strict=True)):
        scaled = near.values[row].astype(np.float64) * near.scales[row][:, None]
        squared[row] = np.square(scaled - value.astype(np.float64) * scale).sum(axis=1)
    return reported_distance(squared, near.lengths, queries.lengths[:, None], metric=metric)


def rank_in_full(
    queries: Points,
    rows: np.ndarray,
    own: np.ndarray,
    targets: Points,
    present: np.ndarray,
    *,
    k: int,
    metric: Metric,
) -> tuple[np.ndarray, np.ndarray]:
    """Neighbours of some queries from their distances to all targets; arguments as above."""
    best = Best(rows.size, k)
    for start, block, mask in _blocks(targets, present, k=k):
        for index, subset, names in _batches(queries, own, rows, np.arange(rows.size)):
            nearest = rank_all(subset, names - start, block, mask, k=k, metric=metric)
            best.add(index, start, *nearest)
    return best.distances, best.indices


@partial(jax.jit, static_argnames=("k", "metric"))
def rank_all(
    queries: Points,
    own: jax.Array,
    targets: Points,
    present: jax.Array,
    *,
    k: int,
    metric: Metric,
) -> tuple[jax.Array, jax.Array, jax.Array]:
    """The k nearest of all targets by their exact distances, few queries at a time.

    Args:
        queries: r points.
        own: ``[r]`` int32, row to leave out; any other value for none.
        targets: m points, m at least k.
        present: ``[m]`` bool, whether a row is a point.
        k: number of neighbours.
        metric: which distance.

    Returns:
        What ``settle`` returns; nothing is left unseen, so the third part is infinity.
    """
    columns = jnp.arange(targets.values.shape[0], dtype=jnp.int32)

    def one(row: tuple[Points, jax.Array]) -> tuple[jax.Array, jax.Array]:
        query, self_row = row
        distances = exact_distances(query, targets, metric=metric)
        allowed = present & (columns != self_row)
        # Of equal values top_k takes the first, which is the smaller index.
        values, chosen = jax.lax.top_k(-jnp.where(allowed, distances, jnp.inf), k)
        return -values, jnp.where(jnp.isinf(values), NOBODY, chosen.astype(jnp.int32))

    together = None if jax.default_backend() == "cpu" else _TOGETHER
    distances, indices = jax.lax.map(one, (queries, own), batch_size=together)
    return distances, indices, jnp.full(own.shape, jnp.inf, jnp.float32)


class Best:
    """The best k of every query over the blocks seen so far, on the host."""

    def __init__(self, queries: int, k: int) -> None:
        self.distances = np.full((queries, k), np.inf, np.float32)
        self.indices = np.full((queries, k), NOBODY, np.int32)
        self.unseen = np.full(queries, np.inf, np.float32)

    def add(
        self,
        rows: np.ndarray,
        first: int,
        distances: jax.Array | np.ndarray,
        indices: jax.Array | np.ndarray,
        unseen: jax.Array | np.ndarray,
    ) -> None:
        """Merge what a block that starts at row ``first`` holds for the queries ``rows``.

        The arrays may be longer than ``rows``; what is beyond it is filling.
        """
        count, k = rows.size, self.distances.shape[1]
        local = np.asarray(indices)[:count]
        names = np.where(local == NOBODY, NOBODY, local + first)
        distances = np.concatenate([self.distances[rows], np.asarray(distances)[:count]], axis=1)
        names = np.concatenate([self.indices[rows], names], axis=1)
        order = np.lexsort((names, distances), axis=1)[:, :k]
        self.distances[rows] = np.take_along_axis(distances, order, axis=1)
        self.indices[rows] = np.take_along_axis(names, order, axis=1)
        self.unseen[rows] = np.minimum(self.unseen[rows], np.asarray(unseen)[:count])


def _blocks(
    targets: Cloud, present: np.ndarray, *, k: int
) -> Iterator[tuple[int, Cloud, np.ndarray]]:
    """Start, points and presence of blocks of the targets, all of one shape."""
    size = max(min(_BLOCK, padded_size(present.size)), padded_size(k))
    for start in range(0, present.size, size):
        part = targets.take(slice(start, start + size))
        block, filled = pad_points(part, multiple=size)
        filled[filled] = present[start : start + size]
        yield start, block, filled


def _batches(
    queries: Cloud, own: np.ndarray, rows: np.ndarray, index: np.ndarray
) -> Iterator[tuple[np.ndarray, Cloud, np.ndarray]]:
    """Places in ``rows``, points and own rows of batches; the last is filled by repeating one."""
    for start in range(0, index.size, QUERIES):
        part = index[start : start + QUERIES]
        chosen = rows[np.pad(part, (0, QUERIES - part.size), mode="edge")]
        yield part, queries.take(chosen), own[chosen]
