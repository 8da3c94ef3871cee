"""The rows that the fast scan could not settle: float64 first, every distance where that fails.

Devices whose float64 is slow scan in float32 once more and rank what they find in pairs of float32;
the host ranks what that leaves open. Few rows come here: near-duplicates closer than the rounding
of the scan, and points with more than the margin of neighbours at one distance, such as points on a
lattice.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from mgm_jax.geometry.backend.wide import on_host
from mgm_jax.geometry.knn.buckets import kernel_here
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
from mgm_jax.geometry.knn.in_pairs.rank import (
    Ranking,
    rank_in_pairs,
    reach_of,
    table_for_ranking,
)
from mgm_jax.geometry.knn.scaled import Scaled
from mgm_jax.geometry.knn.selection import NOBODY, merge_smallest
from mgm_jax.geometry.knn.tile import (
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


@dataclass(frozen=True, kw_only=True)
class Search:
    """What is asked for where a scan could not settle some rows.

    Attributes:
        queries: n points.
        own: ``[n]`` int32, every query's own row among the targets; -1 where it is not there.
        targets: m points to choose from, scaled like the queries.
        present: ``[m]`` bool, False where a target is padding.
        mean: ``[d]`` float64, about the mean of the scaled targets.
        k: number of neighbours.
        metric: which distance.
        ranked: the targets as they are ranked without float64; None to rank on the host.
    """

    queries: Points | Scaled
    own: np.ndarray
    targets: Points | Scaled
    present: np.ndarray
    mean: jax.Array | np.ndarray
    k: int
    metric: Metric
    ranked: Ranking | None = None


Turn = Callable[[np.ndarray], tuple[np.ndarray, np.ndarray, np.ndarray]]
"""Distances and indices ``[r, k]`` of some rows, and the least distance ``[r]`` not looked at."""


def settle_in_turns(
    rows: np.ndarray, turns: Iterable[Turn], *, k: int
) -> tuple[np.ndarray, np.ndarray]:
    """Neighbours of some queries: what one turn leaves open goes to the next, the last leaves none.

    Args:
        rows: ``[q]`` which queries.
        turns: searches, the fastest first.
        k: number of neighbours.

    Returns:
        Distances ``[q, k]`` float32 in scaled units and indices ``[q, k]`` int32.
    """
    distances = np.empty((rows.size, k), np.float32)
    indices = np.empty((rows.size, k), np.int32)
    left = np.arange(rows.size)
    for turn in turns:
        distances[left], indices[left], unseen = turn(rows[left])
        left = left[~is_certified(distances[left], unseen)]
        if not left.size:
            break
    return distances, indices


def batches(rows: np.ndarray) -> Iterator[tuple[slice, np.ndarray]]:
    """Where in ``rows`` a batch stands, and its ``QUERIES`` rows; the last is filled up by one."""
    for start in range(0, rows.size, QUERIES):
        part = rows[start : start + QUERIES]
        yield (
            slice(start, start + part.size),
            np.pad(part, (0, QUERIES - part.size), mode="edge"),
        )


def fall_back(search: Search, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Neighbours of the queries ``rows`` without the fast scan; float64 must be on.

    Returns:
        Distances ``[q, k]`` float32 in scaled units and indices ``[q, k]`` int32.
    """
    if isinstance(search.queries, Scaled) and isinstance(search.targets, Scaled):
        turns = _rank_on_host, _in_full_on_host
        if search.ranked is not None:
            turns = _in_pairs, *turns
    elif isinstance(search.queries, Scaled) or isinstance(search.targets, Scaled):
        raise TypeError("queries and targets are scaled by one function")
    else:
        turns = _in_float64, rank_in_full
    return settle_in_turns(rows, [partial(turn, search) for turn in turns], k=search.k)


def _in_float64(search: Search, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """A scan in float64."""
    best = Best(rows.size, search.k)
    for start, block, mask in _blocks(search, least=search.k):
        table = scan_table(block, search.mean, mask, dtype=jnp.float64)
        for index, chosen in batches(rows):
            nearest = settle(
                search.queries.take(chosen),
                search.own[chosen] - start,
                block,
                table,
                search.mean,
                k=search.k,
                metric=search.metric,
                tile=mask.size,
            )
            best.add(index, start, *nearest)
    return best.results()


class _Scanned(NamedTuple):
    """A batch of queries, scanned in float32.

    Attributes:
        index: where in the rows the batch stands.
        queries: ``QUERIES`` points.
        names: their candidates ``[QUERIES, c]`` int32, -1 for nobody.
        unseen: a distance that no other target can fall below ``[QUERIES]``.
    """

    index: slice
    queries: Scaled
    names: jax.Array
    unseen: jax.Array


def _scan_in_single(search: Search, rows: np.ndarray) -> Iterator[_Scanned]:
    count = search.k + margin(jnp.float32)
    parts = [(index, search.queries.take(chosen), chosen) for index, chosen in batches(rows)]
    tables: list[ScanTable] = []
    lists: list[tuple[jax.Array, jax.Array]] = []
    for start, block, mask in _blocks(search, least=count):
        table = scan_table(block, search.mean, mask, dtype=jnp.float32)
        for number, (_, subset, chosen) in enumerate(parts):
            if not start:
                everybody = np.ones(chosen.size, bool)
                tables.append(scan_table(subset, search.mean, everybody, dtype=jnp.float32))
            own = search.own[chosen] - start
            bounds, nearest = scan(tables[number], own, table, count=count, tile=mask.size)
            fresh = bounds, jnp.where(nearest < 0, -1, nearest + np.int32(start))
            if start:
                lists[number] = merge_smallest(lists[number], fresh)
            else:
                lists.append(fresh)
    for (index, subset, _), table, (bounds, names) in zip(parts, tables, lists, strict=True):
        unseen = unseen_distance_in_single(table, bounds[:, -1], metric=search.metric)
        assert isinstance(subset, Scaled)
        yield _Scanned(index, subset, names, unseen)


def _in_pairs(search: Search, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Where float64 is slow: a scan in float32 and the ranking, both on the device."""
    best, base = Best(rows.size, search.k), search.ranked
    assert base is not None
    features = search.queries.values.shape[1]
    for index, queries, names, unseen in _scan_in_single(search, rows):
        distances, indices, left_open = rank_in_pairs(
            table_for_ranking(queries, base),
            base,
            names,
            reach_of(queries.high, unseen, base.farthest, metric=search.metric),
            features=features,
            k=search.k,
            metric=search.metric,
            kernel=kernel_here(features),
        )
        best.add(index, 0, distances, indices, jnp.where(left_open, jnp.float32(-1), unseen))
    return best.results()


def _rank_on_host(search: Search, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The same scan, the ranking in float64 on the host."""
    best = Best(rows.size, search.k)
    for index, queries, names, unseen in _scan_in_single(search, rows):
        chosen = np.asarray(names)
        near = search.targets.take(jnp.maximum(names, 0))
        distances = distances_on_host(
            to_host(queries, search.metric), to_host(near, search.metric), search.metric
        )
        distances[chosen < 0] = np.inf
        best.add(index, 0, distances, np.where(chosen < 0, NOBODY, chosen), unseen)
    return best.results()


def _in_full_on_host(search: Search, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    queries, targets = (
        to_host(points, search.metric) for points in (search.queries, search.targets)
    )
    with on_host():
        return rank_in_full(replace(search, queries=queries, targets=targets), rows)


def rank_in_full(search: Search, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Neighbours of some queries from their distances to all targets; nothing is left unseen."""
    best = Best(rows.size, search.k)
    for start, block, mask in _blocks(search, least=search.k):
        for index, chosen in batches(rows):
            own, subset = search.own[chosen] - start, search.queries.take(chosen)
            nearest = rank_all(subset, own, block, mask, k=search.k, metric=search.metric)
            best.add(index, start, *nearest)
    return best.results()


def to_host(points: Points | Scaled, metric: Metric) -> Points:
    """Points ``[..., d]`` with scales and lengths in float64, on the host."""
    if isinstance(points, Points):
        return points
    values, exponents = np.asarray(points.values), np.asarray(points.exponents)
    if metric != "cosine":
        return Points(values, np.ldexp(1.0, exponents), np.ones(exponents.shape))
    squares = np.square(values.astype(np.float64)).sum(axis=-1)
    return Points(values, *unit_scales(np.sqrt(squares)))


def distances_on_host(queries: Points, near: Points, metric: Metric) -> np.ndarray:
    """Reported distances ``[q, c]`` of queries to c points each."""
    squared = np.empty(near.scales.shape)
    for row, (value, scale) in enumerate(zip(queries.values, queries.scales, strict=True)):
        scaled = near.values[row].astype(np.float64) * near.scales[row][:, None]
        squared[row] = np.square(scaled - value.astype(np.float64) * scale).sum(axis=1)
    return reported_distance(squared, near.lengths, queries.lengths[:, None], metric=metric)


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
        rows: slice,
        first: int,
        distances: jax.Array | np.ndarray,
        indices: jax.Array | np.ndarray,
        unseen: jax.Array | np.ndarray,
    ) -> None:
        """Merge what a block that starts at row ``first`` holds for the queries ``rows``.

        The arrays may be longer than ``rows``; what is beyond it is filling.
        """
        count, k = self.unseen[rows].size, self.distances.shape[1]
        local = np.asarray(indices)[:count]
        names = np.where(local == NOBODY, NOBODY, local + first)
        distances = np.concatenate([self.distances[rows], np.asarray(distances)[:count]], axis=1)
        names = np.concatenate([self.indices[rows], names], axis=1)
        order = np.lexsort((names, distances), axis=1)[:, :k]
        self.distances[rows] = np.take_along_axis(distances, order, axis=1)
        self.indices[rows] = np.take_along_axis(names, order, axis=1)
        self.unseen[rows] = np.minimum(self.unseen[rows], np.asarray(unseen)[:count])

    def results(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Distances, indices, and the least distance that was not looked at."""
        return self.distances, self.indices, self.unseen


def _blocks(search: Search, *, least: int) -> Iterator[tuple[int, Points | Scaled, np.ndarray]]:
    """Start, points and presence of blocks of the targets, all of one shape."""
    size = max(min(_BLOCK, padded_size(search.present.size)), padded_size(least))
    for start in range(0, search.present.size, size):
        block, mask = pad_points(search.targets.take(slice(start, start + size)), multiple=size)
        mask[mask] = search.present[start : start + size]
        yield start, block, mask
