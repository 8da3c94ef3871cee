"""Exact k nearest neighbours on CPUs: every pair of tiles is scored once.

1. The points are scaled and centred tile by tile; recent tiles are kept, all of them never.
2. The bounds of a pair of tiles serve the rows of both, so a self graph costs half a product.
   In float32 and float64 each thread of the host scores a pair and enters its bounds
   (``scan_on_host``); in bfloat16, which XLA multiplies, the host enters the bounds of one pair
   while the device scores the next.
3. Of each shortlist, what its bounds do not rule out is ranked by exact distances.
4. A row is certified where its k-th exact distance is below what any other point can have. The
   other rows are scanned again in a finer type, and what even float64 leaves open (more points at
   one distance than the margin holds) is ranked in full (``fallback``).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import DTypeLike

from mgm_jax.geometry.backend.precision import double_precision, scan_dtype
from mgm_jax.geometry.backend.workers import even_parts, in_order, threads, workers_for
from mgm_jax.geometry.knn.cpu.aligned_points import take_on_device
from mgm_jax.geometry.knn.cpu.kept_tiles import both_sides, positions_in
from mgm_jax.geometry.knn.cpu.pair_distances import rank_candidates
from mgm_jax.geometry.knn.cpu.scaled_on_host import ScaledClouds, scale_on_host
from mgm_jax.geometry.knn.cpu.scan_on_host import HostScan, even_rows
from mgm_jax.geometry.knn.cpu.shortlist import Shortlists
from mgm_jax.geometry.knn.distance import (
    Metric,
    Points,
    ScanTable,
    bound_slack,
    distance_above,
    half_distance_bounds,
    scan_table,
)
from mgm_jax.geometry.knn.fallback import Search, rank_in_full
from mgm_jax.geometry.knn.tile import (
    PROGRESS_FROM,
    Nearest,
    SearchOptions,
    in_units,
    is_certified,
    margin,
)
from mgm_jax.parallel.cpus import available_cpus
from mgm_jax.progress import progress

# Rows of a tile: large enough for the product to run at full speed, small enough for a pair's
# bounds to stay in the cache; few sizes, so that few are compiled.
_TILES = ((1536, 1024), (0, 512))
# From so many points on, tiles that need no filling are worth compiling.
_EVEN_FROM = 12_288
# Of the rows that are scanned again, so many bytes are copied at a time.
_COPIED_BYTES = 2**26
# Candidates beyond k, as a share of it, where that is more than the margin: the more neighbours,
# the closer they are to the next ones, and the coarser a scan, the less it tells them apart.
_MARGIN_SHARE, _COARSE_SHARE = 0.1, 0.25
# Distances in so few features float32 tells apart so well that a shorter margin will do, which is
# most of what two neighbours cost to list.
_NARROW, _NARROW_MARGIN = 128, 6
_NOT_THERE = 2**30
# Fewer values than this are scanned in float32, without compiling, before a product of XLA's has
# gained what it takes to begin.
_COARSE_FROM = 2**21
# What the rounding of a bound to float32 may have taken off.
_WIDENED = 1 + 2.0**-22
# Fewer lists than this are not worth a thread of their own; so many are read at once.
_MIN_ROWS, _SELECTED = 128, 1024


def nearest_by_pairs(
    x: jax.Array | np.ndarray,
    base: jax.Array | np.ndarray | None,
    options: SearchOptions,
) -> Nearest:
    """The k nearest points of the base to every query, with the host's help.

    Args:
        x: queries ``[n, d]``; arrays of JAX are brought to the host.
        base: points ``[m, d]``; None for the queries themselves, each left out of its own list.
        options: neighbours, distance, type of the scan, sizes of its tiles.

    Returns:
        Neighbours, with distances in the units of the points.
    """
    x, base = np.asarray(x), None if base is None else np.asarray(base)
    n, own, k, metric = len(x), base is None, options.k, options.metric
    with double_precision():
        scaled = scale_on_host(x, base, metric=metric)
        results = Nearest(
            np.empty((n, k), np.float32), np.empty((n, k), np.int32), np.zeros(n, bool)
        )
        left = np.arange(n)
        first = scan_dtype(options.precision, features=x.shape[1])
        if options.precision == "auto" and x.size < _COARSE_FROM:
            first = jnp.float32
        for turn, dtype in enumerate(_turns(first)):
            scanned, settled = _chunks(left, x, own=own), []
            for rows in scanned:
                asked = options.tile_rows, options.tile_columns
                part = _scan_rows(
                    scaled, rows, own=own, dtype=dtype, k=k, metric=metric, asked=asked
                )
                results.distances[rows], results.indices[rows] = part.distances, part.indices
                settled.append(part.certified)
            left = np.concatenate(scanned)[~np.concatenate(settled)]
            if turn == 0:
                results.certified[:] = True
                results.certified[left] = False
            if not left.size:
                break
        else:
            itself = np.arange(n, dtype=np.int32) if own else np.full(n, -1, np.int32)
            present = np.ones(len(scaled.targets.values), bool)
            search = Search(
                queries=scaled.queries,
                own=itself,
                targets=scaled.targets,
                present=present,
                mean=scaled.mean,
                k=k,
                metric=metric,
            )
            results.distances[left], results.indices[left], _ = rank_in_full(search, left)
        return results._replace(
            distances=in_units(results.distances, scaled.queries, metric=metric)
        )


def _turns(first: DTypeLike) -> list[DTypeLike]:
    """Types of the scans: what one cannot settle is left to the next."""
    finer = [jnp.float32, jnp.float64] if first == jnp.bfloat16 else [jnp.float64]
    return [first, *finer]


def _chunks(rows: np.ndarray, x: np.ndarray, *, own: bool) -> list[np.ndarray]:
    """Rows that are scanned together: all of them, or as many as may be copied."""
    n, features = x.shape
    # Each pair of a self graph serves two rows, so that all rows cost as much as half of them.
    if rows.size == n or (own and rows.size > n // 2):
        return [np.arange(n) if own else rows]
    step = max(_TILES[-1][1], _COPIED_BYTES // (x.itemsize * features))
    return [rows[start : start + step] for start in range(0, rows.size, step)]


def _scan_rows(
    scaled: ScaledClouds,
    rows: np.ndarray,
    *,
    own: bool,
    dtype: DTypeLike,
    k: int,
    metric: Metric,
    asked: tuple[int | None, int | None],
) -> Nearest:
    """Neighbours of some rows by one scan, in scaled units, and which of them it settled."""
    whole = rows.size == len(scaled.queries.values)
    # Where some rows of a self graph are scanned, each finds itself first.
    itself = int(own and not whole)
    if not whole:
        scaled = scaled._replace(queries=scaled.queries.take(rows))
    count = k + itself + _beyond(k, dtype=dtype, features=scaled.targets.values.shape[1])
    # Processors that have instructions for bfloat16 have them for XLA; NumPy knows none of them.
    kind, good = (_DeviceScan, good_rows) if dtype == jnp.bfloat16 else (HostScan, even_rows)
    tiles = asked[0] or good(rows.size), asked[1] or good(len(scaled.targets.values))
    if own and whole:
        # The same tiles are rows and columns.
        both = min([size for size in asked if size], default=tiles[0])
        tiles = both, both
    scan = kind(scaled, own=own and whole, dtype=dtype, count=count, tiles=tiles)
    scan.run()
    candidates, unseen = _candidates(scan, k + itself)
    if itself:
        candidates = np.where(candidates == rows[:, None], -1, candidates)
    # The tiles that the scan kept are needed no longer.
    del scan
    distances, indices = rank_candidates(
        scaled.queries, scaled.targets, candidates, k=k, metric=metric
    )
    return Nearest(
        distances, indices, is_certified(distances, distance_above(unseen, metric=metric))
    )


def _beyond(k: int, *, dtype: DTypeLike, features: int) -> int:
    """Candidates beyond the k that are sought."""
    if dtype == jnp.float32 and features < _NARROW:
        return max(_NARROW_MARGIN, int(_MARGIN_SHARE * k))
    share = _COARSE_SHARE if dtype == jnp.bfloat16 else _MARGIN_SHARE
    return max(margin(dtype), int(share * k))


def good_rows(n: int) -> int:
    """Rows of a tile for a cloud of n points.

    >>> good_rows(1000), good_rows(20_000)
    (512, 1000)
    """
    rows = next(rows for points, rows in _TILES if n >= points)
    if n < _EVEN_FROM:
        return rows
    return -(-n // (-(-n // rows) * 8)) * 8


class _DeviceScan:
    """One scan of queries against targets into shortlists, scored by XLA."""

    def __init__(
        self,
        scaled: ScaledClouds,
        *,
        own: bool,
        dtype: DTypeLike,
        count: int,
        tiles: tuple[int, int],
    ) -> None:
        self.own, self.dtype = own, dtype
        self.features = scaled.targets.values.shape[1]

        def make(points: Points, chosen: np.ndarray, rows: int) -> ScanTable:
            part, present = take_on_device(points, chosen, rows=rows), np.arange(rows) < len(chosen)
            return scan_table(part, scaled.mean, present, dtype=dtype)

        self.queries, self.targets = both_sides(
            make,
            lambda table: (table.lengths, table.moved),
            scaled,
            own=own,
            tiles=tiles,
            row_bytes=self.features * np.dtype(dtype).itemsize,
        )
        n, m = len(scaled.queries.values), len(scaled.targets.values)
        self.lists = Shortlists(n, count=count, shuffled=m)

    def run(self) -> None:
        """Score all pairs of tiles and enter them into the shortlists."""
        n = self.lists.n
        total = n if n > PROGRESS_FROM else 0
        pairs = list(self._pairs())
        with (
            progress("neighbours", total=total, unit="point", compiles=True) as bar,
            threads(available_cpus()) as pool,
        ):
            # While the host is at one pair, the device scores the next.
            scored = (self._bounds(i, j) for i, j in pairs)
            following = next(scored)
            for done, (i, j) in enumerate(pairs, start=1):
                bounds, following = following, next(scored, following)
                # Whoever fails says so here.
                list(pool.map(lambda offer: offer(), self._offers(i, j, np.asarray(bounds))))
                bar.advance_to(n * done // len(pairs))

    def _bounds(self, i: int, j: int) -> jax.Array:
        shift = (i - j) * self.queries.rows if self.own else _NOT_THERE
        return half_distance_bounds(self.queries[i], self.targets[j], shift)

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

    def _offers(self, i: int, j: int, scores: np.ndarray) -> Iterator[Callable[[], None]]:
        """What enters the scores of a pair into the shortlists, in parts for lists of their own."""
        rows, columns = i * self.queries.rows, j * self.targets.rows
        parts = available_cpus()
        for start, stop in _spans(min(len(scores), self.lists.n - rows), parts):
            yield partial(self.lists.offer, rows + start, columns, scores[start:stop])
        if self.own and i != j:
            for start, stop in _spans(min(scores.shape[1], self.lists.n - columns), parts):
                part = scores[:, start:stop]
                yield partial(self.lists.offer_columns, columns + start, rows, part)

    def slack(self) -> np.ndarray:
        """How far half a squared distance can lie above its bound, ``[n]``."""
        lengths, moved = self.queries.sizes()
        others, shares = self.targets.sizes()
        return bound_slack(
            lengths,
            moved,
            longest=others.max(),
            most_moved=shares.max(),
            dtype=self.dtype,
            features=self.features,
        )


def _candidates(scan: HostScan | _DeviceScan, k: int) -> tuple[np.ndarray, np.ndarray]:
    """What may be among the k nearest, k at most the length of the shortlists.

    Returns:
        Candidates ``[n, c]`` int32 with -1 for nobody, and lower bounds ``[n]`` of half the
        squared distance to all others.
    """
    for tiles in (scan.queries, scan.targets):
        tiles.forget()
    positions, order, lists = positions_in(scan.queries.order), scan.targets.order, scan.lists
    slack = scan.slack()
    candidates = np.empty((lists.n, lists.count), np.int32)
    unseen = np.empty(lists.n)

    def select(rows: slice) -> int:
        bounds, names, unseen[rows] = lists.results(positions[rows])
        # Beyond what a true k-th distance can be, a bound alone rules a point out.
        kept = bounds <= (bounds[:, k - 1] * _WIDENED + slack[rows])[:, None]
        candidates[rows] = np.where(kept & (names >= 0), order[names], -1)
        lengths = kept.sum(axis=1)
        cut = np.flatnonzero(lengths < lists.count)
        unseen[rows][cut] = np.minimum(unseen[rows][cut], bounds[cut, lengths[cut]])
        return int(lengths.max())

    parts = even_parts(lists.n, most=_SELECTED, workers=workers_for(None))
    widths = in_order([partial(select, part) for part in parts], workers=workers_for(None))
    return candidates[:, : max(widths)], unseen


def _spans(size: int, parts: int) -> Iterator[tuple[int, int]]:
    step = max(_MIN_ROWS, -(-size // parts))
    yield from ((start, min(start + step, size)) for start in range(0, size, step))
