"""Every pair of tiles scored on the host: a task a pair, and each task one thread's.

A bound of half a squared distance is one entry of one product. With ``h`` half a squared length and
``a = (1 - e) h``, a query ``(-c_i, a_i, 1)`` meets a point ``(c_j, 1, a_j)``, which gives
``a_i + a_j - c_i'c_j``. The product rounds by at most ``g (|c_i| |c_j| + a_i + a_j)``, that is by
``2 g (h_i + h_j)``, with ``g`` of a sum of d + 2 products in any order. So no score is passed over
again, and a tile's scores are entered into the shortlists while a cache of the core holds them.

Tasks run side by side; what a pair enters waits for the pairs before it that have a tile in common
with it. So the lists fill in one order on any number of threads.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from functools import partial
from itertools import combinations
from typing import NamedTuple

import numpy as np
from numpy.typing import DTypeLike

from mgm_jax.geometry.backend.workers import (
    in_order,
    in_stages,
    one_thread_a_product,
    workers_for,
)
from mgm_jax.geometry.knn.cpu.kept_tiles import both_sides
from mgm_jax.geometry.knn.cpu.scaled_on_host import ScaledClouds
from mgm_jax.geometry.knn.cpu.shortlist import Shortlists
from mgm_jax.geometry.knn.distance import Points
from mgm_jax.geometry.knn.tile import PROGRESS_FROM
from mgm_jax.progress import progress

# Rows of a tile: enough for the product to run at full speed, and for few calls of NumPy, between
# which threads wait for each other; in a small cloud so many tiles, so that all threads have work.
_MIN_ROWS, _MAX_ROWS, _TILES = 512, 1024, 4
# From so many features on half a product, and another pass, costs less than a whole one.
_HALVED_FROM = 200
# Values in float64 that stay in the second cache of a core.
_BLOCK_VALUES = 2**16


class HostTable(NamedTuple):
    """Points as the right side of a product of bounds.

    Attributes:
        rows: ``(c_j, 1, a_j)`` each, ``[m, d + 2]`` in the type of the scan.
        half_squares: half the squared lengths ``[m]`` float64.
    """

    rows: np.ndarray
    half_squares: np.ndarray


def host_table(
    points: Points, chosen: np.ndarray, mean: np.ndarray, *, dtype: DTypeLike
) -> HostTable:
    """Centre points and round them once to the type of the scan.

    Args:
        points: ``[n, d]`` points with scales, on the host.
        chosen: rows of m of them.
        mean: ``[d]`` float64, in scaled units.
        dtype: float32 or float64.
    """
    m, features = len(chosen), points.values.shape[1]
    rows, half = np.empty((m, features + 2), dtype), np.empty(m)
    step = max(1, _BLOCK_VALUES // features)
    for start in range(0, m, step):
        block = slice(start, start + step)
        centred = points.values[chosen[block]].astype(np.float64)
        centred *= points.scales[chosen[block], None]
        centred -= mean
        rows[block, :features] = centred
        np.einsum("md,md->m", centred, centred, out=half[block])
    half /= 2
    rows[:, features] = 1
    rows[:, features + 1] = half * (1 - host_rounding(dtype, features=features))
    return HostTable(rows, half)


def host_rounding(dtype: DTypeLike, *, features: int) -> float:
    """The ``e`` above: what a score may be off by, relative to the sum of two half squares."""
    unit = 2.0**-24 if dtype == np.float32 else 2.0**-53
    summed = (features + 2) * unit
    # The 16 covers the rounding of the two points and of what is added to their product.
    return 2 * summed / (1 - summed) + 16 * unit


def host_bounds(
    queries: HostTable, table: HostTable, *, out: np.ndarray, left: np.ndarray
) -> np.ndarray:
    """Lower bounds of half the squared distances ``[r, c]``; below 0 where that is all they say.

    Args:
        queries: r points.
        table: c points, centred on the same mean.
        out: what they are written to, ``[r, c]``.
        left: room for the left side of the product, ``[r, d + 2]``.
    """
    np.negative(queries.rows[:, :-2], out=left[:, :-2])
    left[:, -2] = queries.rows[:, -1]
    left[:, -1] = 1
    return np.matmul(left, table.rows.T, out=out)


def host_bounds_within(table: HostTable, *, out: np.ndarray) -> np.ndarray:
    """:func:`host_bounds` of the points of one table, of which half need be computed.

    Args:
        table: m points.
        out: what they are written to, ``[m, m]``.
    """
    points, offsets = table.rows[:, :-2], table.rows[:, -1]
    # NumPy sees that a matrix meets its own transpose, and computes one triangle only.
    np.matmul(points, points.T, out=out)
    np.subtract(offsets[:, None], out, out=out)
    out += offsets
    return out


def even_rows(n: int) -> int:
    """Rows of a tile for a cloud of n points, all tiles about alike.

    >>> even_rows(100), even_rows(3000), even_rows(10_000)
    (100, 750, 1000)
    """
    largest = min(max(-(-n // _TILES), _MIN_ROWS), _MAX_ROWS)
    return -(-n // -(-n // largest))


def _tournament(tiles: range) -> list[tuple[int, int]]:
    """All pairs of some tiles, in rounds that each tile has at most one pair of.

    >>> _tournament(range(4))
    [(0, 3), (1, 2), (0, 1), (2, 3), (0, 2), (1, 3)]
    """
    places = len(tiles) - 1 + len(tiles) % 2

    def turn(pair: tuple[int, int]) -> int:
        i, j = (tile - tiles.start for tile in pair)
        # Of an even number of tiles the last one meets who would be left out.
        return (2 * i if j == places else i + j) % places

    return sorted(combinations(tiles, 2), key=turn)


class HostScan:
    """One scan of queries against targets into shortlists, in float32 or float64.

    Args:
        scaled: queries and targets.
        own: whether they are the same, each point left out of its own list.
        dtype: float32 or float64.
        count: length of the shortlists.
        tiles: rows and columns scored at once.
    """

    def __init__(
        self,
        scaled: ScaledClouds,
        *,
        own: bool,
        dtype: DTypeLike,
        count: int,
        tiles: tuple[int, int],
    ) -> None:
        self.own, self.dtype = own, np.dtype(dtype)
        n, m = len(scaled.queries.values), len(scaled.targets.values)
        self.features = scaled.targets.values.shape[1]

        def make(points: Points, chosen: np.ndarray, _: int) -> HostTable:
            return host_table(points, chosen, scaled.mean, dtype=dtype)

        self.queries, self.targets = both_sides(
            make,
            lambda table: (table.half_squares,),
            scaled,
            own=own,
            tiles=(min(tiles[0], n), min(tiles[1], m)),
            row_bytes=(self.features + 2) * self.dtype.itemsize,
        )
        self.lists = Shortlists(n, count=count, shuffled=m)
        self._buffers = threading.local()

    def run(self) -> None:
        """Score all pairs of tiles and enter them into the shortlists."""
        n = self.lists.n
        pairs = list(self._pairs())
        latest: dict[int, threading.Event] = {}
        calls: list[partial[None]] = []
        for i, j in pairs:
            lists = {i, j} if self.own else {i}
            before = [latest[tile] for tile in lists if tile in latest]
            entered = threading.Event()
            latest |= dict.fromkeys(lists, entered)
            calls.append(partial(self._enter, i, j, before, entered))
        if n <= PROGRESS_FROM:
            with one_thread_a_product():
                in_stages([calls], workers=workers_for(None))
            return
        with progress("neighbours", total=n, unit="point") as bar, one_thread_a_product():
            # Nothing comes back that could pile up, and no thread need wait for a slower one.
            entered = in_order(calls, workers=workers_for(None), ahead=len(calls))
            for done, _ in enumerate(entered, start=1):
                bar.advance_to(n * done // len(pairs))

    def _pairs(self) -> Iterator[tuple[int, int]]:
        """Pairs of tiles, each once, neighbours mostly without a tile in common."""
        rows, columns = self.queries.number, self.targets.number
        if not self.own:
            # A visiting tile of the targets needs no room beside the queries, which have their own.
            for first in range(0, rows, self.queries.room):
                group = range(first, min(first + self.queries.room, rows))
                yield from ((i, j) for j in range(columns) for i in group)
            return
        # First, each tile with itself: then every row has a limit before the bulk comes.
        yield from ((i, i) for i in range(rows))
        # Then group by group, two of which are kept.
        step = rows if rows <= self.queries.room else max(1, self.queries.room // 2)
        for low in range(0, rows, step):
            yield from _tournament(range(low, min(low + step, rows)))
            for high in range(low + step, rows, step):
                for turn in range(step):
                    block = ((i, high + (turn - i) % step) for i in range(low, low + step))
                    yield from ((i, j) for i, j in block if j < rows)

    def _enter(
        self, i: int, j: int, before: list[threading.Event], entered: threading.Event
    ) -> None:
        """Score a pair, and enter it when those before it are done."""
        try:
            scores = self._scores(i, j)
            for others in before:
                others.wait()
            rows, columns = i * self.queries.rows, j * self.targets.rows
            self.lists.offer(rows, columns, scores)
            if self.own and i != j:
                self.lists.offer_columns(columns, rows, scores)
        finally:
            # Whoever fails says so himself; nobody waits for him forever.
            entered.set()

    def _scores(self, i: int, j: int) -> np.ndarray:
        queries, table = self.queries[i], self.targets[j]
        r, c = len(queries.rows), len(table.rows)
        width = self.features + 2
        # Memory that a thread has already is filled faster than new one.
        size = self.queries.rows * self.targets.rows
        if not hasattr(self._buffers, "scores"):
            self._buffers.scores = np.empty(size, self.dtype)
            self._buffers.left = np.empty((self.queries.rows, width), self.dtype)
        out = self._buffers.scores[: r * c].reshape(r, c)
        if self.own and i == j and width >= _HALVED_FROM:
            scores = host_bounds_within(table, out=out)
        else:
            scores = host_bounds(queries, table, out=out, left=self._buffers.left[:r])
        if self.own and i == j:
            np.fill_diagonal(scores, np.inf)
        if self.dtype == np.float32:
            return scores
        # Rounded so that none is above what it was; what is below 0 counts as 0 anyway.
        return (scores * (1 - 2.0**-24)).astype(np.float32)

    def slack(self) -> np.ndarray:
        """How far half a squared distance can lie above its bound, ``[n]``."""
        (squares,), (others,) = self.queries.sizes(), self.targets.sizes()
        rounding = host_rounding(self.dtype, features=self.features)
        return 2 * rounding * (squares + others.max())
