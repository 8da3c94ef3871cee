"""Tables of tiles of points, made when asked for: recent ones are kept, all of them never."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any, Generic, TypeVar

import numpy as np

from mgm_jax.geometry.knn.cpu.scaled_on_host import ScaledClouds
from mgm_jax.geometry.knn.distance import Points

Table = TypeVar("Table")

_KEPT_BYTES = 2**27


class KeptTiles(Generic[Table]):
    """Tables of tiles of some points; several threads may ask for them.

    Args:
        make: of the rows of some points, their table.
        sizes: of a table, arrays with a number for each of its points, perhaps with more behind.
        order: the points in the order of the tiles, ``[n]``.
        rows: points of a tile; the last one may have fewer.
        row_bytes: of a table for each point.
    """

    def __init__(
        self,
        make: Callable[[np.ndarray], Table],
        sizes: Callable[[Table], tuple[Any, ...]],
        order: np.ndarray,
        *,
        rows: int,
        row_bytes: int,
    ) -> None:
        self.order, self.rows = order, rows
        self.number = -(-len(order) // rows)
        self.room = max(2, _KEPT_BYTES // (rows * row_bytes))
        self._make, self._sizes_of = make, sizes
        self._kept: dict[int, Table] = {}
        self._sizes: dict[int, tuple[Any, ...]] = {}
        self._lock = threading.Lock()

    def __getitem__(self, number: int) -> Table:
        with self._lock:
            table = self._kept.pop(number, None)
            if table is not None:
                self._kept[number] = table
                return table
        # Two threads may make the same: that costs less than to wait for each other.
        table = self._make(self.order[number * self.rows : (number + 1) * self.rows])
        with self._lock:
            self._sizes[number] = self._sizes_of(table)
            while len(self._kept) >= self.room:
                del self._kept[next(iter(self._kept))]
            self._kept[number] = table
        return table

    def forget(self) -> None:
        """Let go of the tables; the sizes stay."""
        self._kept.clear()

    def sizes(self) -> list[np.ndarray]:
        """What ``sizes`` said of all points, each ``[n]`` float64; every tile was asked for."""
        tiles = [self._sizes[number] for number in range(self.number)]
        parts = [
            np.concatenate([np.asarray(part) for part in kind]) for kind in zip(*tiles, strict=True)
        ]
        positions = positions_in(self.order)
        return [part[positions].astype(np.float64) for part in parts]


def positions_in(order: np.ndarray) -> np.ndarray:
    """Where each point stands in an order of all of them.

    >>> positions_in(np.array([2, 0, 1])).tolist()
    [1, 2, 0]
    """
    positions = np.empty_like(order)
    positions[order] = np.arange(order.size)
    return positions


def both_sides(
    make: Callable[[Points, np.ndarray, int], Table],
    sizes: Callable[[Table], tuple[Any, ...]],
    scaled: ScaledClouds,
    *,
    own: bool,
    tiles: tuple[int, int],
    row_bytes: int,
) -> tuple[KeptTiles[Table], KeptTiles[Table]]:
    """Tiles of queries and of targets, which in a self graph are the same.

    Args:
        make: of points, of their rows in a tile, and of the rows of all tiles, a table.
        sizes: as :class:`KeptTiles` takes it.
        scaled: queries and targets.
        own: whether they are the same.
        tiles: rows of a tile of the queries, and of the targets.
        row_bytes: of a table for each point.
    """

    def of(points: Points, order: np.ndarray, rows: int) -> KeptTiles[Table]:
        return KeptTiles(
            lambda chosen: make(points, chosen, rows), sizes, order, rows=rows, row_bytes=row_bytes
        )

    # In a random order the first tiles tell what limits to expect of all.
    order = np.random.default_rng(0).permutation(len(scaled.targets.values))
    targets = of(scaled.targets, order, tiles[1])
    if own:
        return targets, targets
    return of(scaled.queries, np.arange(len(scaled.queries.values)), tiles[0]), targets
