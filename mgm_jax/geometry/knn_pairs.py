"""Exact k nearest neighbours on processors: every pair of tiles is scored once.

1. The points are placed and centred tile by tile; recent tiles are kept, all of them never.
2. The bounds of a pair of tiles serve the rows of both, so a self graph costs half a product.
   The device works on the next pair while the host enters the last one into the shortlists.
3. Of each shortlist, what its bounds do not rule out is ranked by exact distances.
4. A row is certified where its k-th exact distance is below what any other point can have. The
   other rows are redone (``knn_redo``).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator

import jax
import numpy as np
from jax.typing import DTypeLike

from mgm_jax.geometry.distance import (
    Metric,
    Points,
    ScanTable,
    bound_slack,
    distance_above,
    half_distance_bounds,
    scan_table,
)
from mgm_jax.geometry.knn_redo import redo
from mgm_jax.geometry.knn_tile import (
    PROGRESS_FROM,
    Nearest,
    in_units,
    is_certified,
    margin,
    pad_points,
)
from mgm_jax.geometry.pair_distances import rank_candidates
from mgm_jax.geometry.placement import Placed, place_on_host
from mgm_jax.geometry.precision import ScanPrecision, double_precision, scan_dtype
from mgm_jax.geometry.shortlist import Shortlists
from mgm_jax.progress import Bar, progress

# Rows of a tile: large enough for the product to run at full speed, small enough for a pair's
# bounds to stay in the cache; few sizes, so that few are compiled.
_TILES = ((12_288, 2048), (4096, 1024), (1536, 512), (0, 256))
_KEPT_BYTES = 2**27
_NOT_THERE = 2**30


def nearest_by_pairs(
    x: np.ndarray,
    base: np.ndarray | None,
    *,
    k: int,
    metric: Metric,
    precision: ScanPrecision,
    rows: int | None = None,
    columns: int | None = None,
) -> Nearest:
    """The k nearest points of the base to every query, with the host's help.

    Args:
        x: queries ``[n, d]`` on the host.
        base: points ``[m, d]``; None for the queries themselves, each left out of its own list.
        k: number of neighbours.
        metric: which distance.
        precision: type of the scan; changes ``certified``, never the neighbours.
        rows: queries scored at once; None for a good size.
        columns: base points they are scored against at once. Without a base the smaller of the
            two counts for both.

    Returns:
        Neighbours, with distances in the units of the points.
    """
    with double_precision():
        placed = place_on_host(x, base, metric=metric)
        dtype = scan_dtype(precision, features=x.shape[1])
        n, own = len(x), base is None
        tiles = _tile_sizes(n, len(placed.targets.values), rows, columns, own=own)
        scan = _Scan(placed, own=own, dtype=dtype, count=k + margin(dtype), tiles=tiles)
        scan.run()
        candidates, unseen = scan.candidates(k)
        # The tiles that the scan kept are needed no longer.
        del scan
        distances, indices = rank_candidates(
            placed.queries, placed.targets, candidates, k=k, metric=metric, own=own
        )
        certified = is_certified(distances, np.asarray(distance_above(unseen, metric=metric)))
        left = np.flatnonzero(~certified)
        if left.size:
            itself = np.arange(n, dtype=np.int32) if own else np.full(n, -1, np.int32)
            present = np.ones(len(placed.targets.values), bool)
            distances[left], indices[left] = redo(
                placed.queries,
                left,
                itself,
                placed.targets,
                present,
                placed.mean,
                k=k,
                metric=metric,
            )
        return Nearest(in_units(distances, placed.queries, metric=metric), indices, certified)


def tile_rows(n: int) -> int:
    """Rows of a tile for a cloud of n points.

    >>> tile_rows(1000), tile_rows(20_000)
    (256, 2048)
    """
    return next(rows for least, rows in _TILES if n >= least)


def _tile_sizes(
    n: int, m: int, rows: int | None, columns: int | None, *, own: bool
) -> tuple[int, int]:
    if not own:
        return rows or tile_rows(n), columns or tile_rows(m)
    both = min(rows or columns or tile_rows(n), columns or rows or tile_rows(n))
    return both, both


class _Tiles:
    """Centred tiles of some points, made when asked for; the latest ones are kept."""

    def __init__(self, points: Points, mean: np.ndarray, *, rows: int, dtype: DTypeLike) -> None:
        self.points, self.mean, self.rows, self.dtype = points, mean, rows, dtype
        self.number = -(-len(points.values) // rows)
        size = rows * points.values.shape[1] * np.dtype(dtype).itemsize
        self.room = max(2, _KEPT_BYTES // size)
        self._kept: dict[int, ScanTable] = {}
        self._sizes: dict[int, tuple[jax.Array, jax.Array]] = {}

    def __getitem__(self, place: int) -> ScanTable:
        table = self._kept.pop(place, None)
        if table is None:
            if len(self._kept) >= self.room:
                del self._kept[next(iter(self._kept))]
            part = self.points.take(slice(place * self.rows, (place + 1) * self.rows))
            part, present = pad_points(part, multiple=self.rows)
            table = scan_table(part, self.mean, present, dtype=self.dtype)
        self._kept[place] = table
        self._sizes[place] = table.lengths, table.moved
        return table

    def sizes(self) -> tuple[np.ndarray, np.ndarray]:
        """Lengths of the centred points and how far rounding moved them, each ``[n]``."""
        parts = zip(*(self._sizes[place] for place in range(self.number)), strict=True)
        lengths, moved = (np.concatenate([np.asarray(a) for a in part]) for part in parts)
        n = len(self.points.values)
        return lengths[:n].astype(np.float64), moved[:n].astype(np.float64)


class _Scan:
    """One scan of queries against targets into shortlists."""

    def __init__(
        self,
        placed: Placed,
        *,
        own: bool,
        dtype: DTypeLike,
        count: int,
        tiles: tuple[int, int],
    ) -> None:
        self.own = own
        self.queries = _Tiles(placed.queries, placed.mean, rows=tiles[0], dtype=dtype)
        self.targets = self.queries
        if not own:
            self.targets = _Tiles(placed.targets, placed.mean, rows=tiles[1], dtype=dtype)
        self.lists = Shortlists(len(placed.queries.values), count=count)

    def run(self) -> None:
        """Score all pairs of tiles and enter them into the shortlists."""
        n = self.lists.n
        total = n if n > PROGRESS_FROM else 0
        pairs = list(self._pairs())
        waiting: deque[tuple[int, int, jax.Array]] = deque()
        with progress("neighbours", total=total, unit="point") as bar:
            for done, (i, j) in enumerate(pairs):
                shift = (i - j) * self.queries.rows if self.own else _NOT_THERE
                bounds = half_distance_bounds(self.queries[i], self.targets[j], shift)
                waiting.append((i, j, bounds))
                # Two pairs in flight keep the device busy; more would only hold memory.
                if len(waiting) > 2:
                    self._enter(*waiting.popleft())
                _advance(bar, n * done // len(pairs))
            while waiting:
                self._enter(*waiting.popleft())
            _advance(bar, n)

    def _pairs(self) -> Iterator[tuple[int, int]]:
        """Pairs of tiles, each once, in an order that finds most tiles among the latest."""
        rows, columns = self.queries.number, self.targets.number
        if self.own:
            # First, each tile with itself: then every row has a limit before the bulk comes.
            yield from ((i, i) for i in range(rows))
        # A visiting tile, and in a self graph the one before it, need room beside the group.
        step = max(1, self.queries.room - (2 if self.own else 0))
        for first in range(0, rows, step):
            group = range(first, min(first + step, rows))
            for j in range(first + 1 if self.own else 0, columns):
                yield from ((i, j) for i in group if i < j or not self.own)

    def _enter(self, i: int, j: int, bounds: jax.Array) -> None:
        scores = np.asarray(bounds)
        rows, columns = i * self.queries.rows, j * self.targets.rows
        inside = self.lists.n - rows
        self.lists.offer(rows, columns, scores[:inside])
        if self.own and i != j:
            inside = self.lists.n - columns
            self.lists.offer_columns(columns, rows, scores[:, :inside])

    def candidates(self, k: int) -> tuple[np.ndarray, np.ndarray]:
        """What may be among the k nearest, k at most the length of the shortlists.

        Returns:
            Candidates ``[n, c]`` int32 with -1 for nobody, and lower bounds ``[n]`` of half the
            squared distance to all others.
        """
        bounds, names = self.lists.results()
        # Beyond what a true k-th distance can be, a bound alone rules a point out.
        reach = bounds[:, k - 1] + self._slack()
        kept = bounds <= reach[:, None]
        unseen = np.where(names[:, -1] < 0, np.inf, bounds[:, -1].astype(np.float64))
        dropped = ~kept & (names >= 0)
        first = np.argmax(dropped, axis=1)
        some = dropped.any(axis=1)
        unseen[some] = bounds[some, first[some]]
        return np.where(kept, names, -1), unseen

    def _slack(self) -> np.ndarray:
        """How far half a squared distance can lie above its bound, ``[n]``."""
        lengths, moved = self.queries.sizes()
        others, shares = self.targets.sizes()
        return bound_slack(
            lengths,
            moved,
            longest=others.max(),
            most_moved=shares.max(),
            dtype=self.queries.dtype,
            features=self.queries.points.values.shape[1],
        )


def _advance(bar: Bar, done: int) -> None:
    if done > bar.done:
        bar.advance(done - bar.done)
