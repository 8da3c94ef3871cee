"""Shortlists: the points with the smallest bounds, for many rows at once, on the host.

Most scores of a tile are above what their row has already, and need no sorting. Each row keeps a
limit, the ``count``-th smallest bound so far; only scores below it enter a buffer, which is cut
back to ``count`` when it fills up. After the first tile few scores enter, so the cost of a
selection is that of one comparison a score.

An entry is one sort key (``sort_keys``) of its bound and its index.
"""

from __future__ import annotations

import numpy as np

from mgm_jax.geometry.knn.sort_keys import EMPTY, pack_keys, unpack_keys

# Entries beyond ``count`` that start a cut: often enough for a tight limit, seldom enough to be
# cheap.
_SURPLUS = 32
# Scores of one pile where a first limit is sought.
_DEALT = 4


class Shortlists:
    """For each of n rows, the ``count`` smallest bounds offered so far and who has them.

    Args:
        n: rows.
        count: entries to keep of each.
    """

    def __init__(self, n: int, *, count: int) -> None:
        self.n, self.count = n, count
        self._keys = np.full((n, count + count // 2 + 2 * _SURPLUS), EMPTY)
        self._filled = np.zeros(n, np.int64)
        self._limits = np.full(n, np.inf, np.float32)

    def offer(self, first_row: int, first_name: int, bounds: np.ndarray) -> None:
        """Offer a tile: its rows are rows of the lists, its columns the points.

        Args:
            first_row: row of the lists that the tile starts at.
            first_name: index of the point of its first column.
            bounds: ``[r, c]`` float32, at least 0; infinity where there is no point.
        """
        rows = slice(first_row, first_row + len(bounds))
        limits = self._limits[rows].copy()
        fresh = np.flatnonzero(np.isinf(limits))
        first = fresh.size == len(bounds) and bounds.shape[1] >= _DEALT * self.count
        if first:
            # The usual case: a first tile, of which few scores can be among the best.
            limits = np.nextafter(rough_limits(bounds, self.count), np.float32(np.inf))
        elif fresh.size:
            self._add_best(fresh + first_row, first_name, bounds[fresh])
            limits[fresh] = -1
        places = np.flatnonzero(bounds < limits[:, None])
        row, column = np.divmod(places, bounds.shape[1])
        self._add(row + first_row, column + first_name, bounds[row, column])
        if first:
            self._cut(fresh + first_row)

    def offer_columns(self, first_row: int, first_name: int, bounds: np.ndarray) -> None:
        """Offer a tile the other way round: its columns are rows of the lists.

        Args:
            first_row: row of the lists that the first column of the tile is.
            first_name: index of the point of its first row.
            bounds: ``[c, r]`` float32, at least 0; infinity where there is no point.
        """
        limits = self._limits[first_row : first_row + bounds.shape[1]].copy()
        fresh = np.flatnonzero(np.isinf(limits))
        if fresh.size:
            self._add_best(fresh + first_row, first_name, bounds[:, fresh].T)
            limits[fresh] = -1
        places = np.flatnonzero(bounds < limits)
        name, row = np.divmod(places, bounds.shape[1])
        # Sorting short integers is a matter of counting.
        short = np.uint16 if bounds.shape[1] <= 2**16 else np.int64
        order = np.argsort(row.astype(short), kind="stable")
        self._add(row[order] + first_row, name[order] + first_name, bounds[name, row][order])

    def results(self) -> tuple[np.ndarray, np.ndarray]:
        """The lists.

        Returns:
            Bounds ``[n, count]`` float32, ascending, and indices ``[n, count]`` int32; infinity
            and -1 where fewer points were offered.
        """
        bounds = np.empty((self.n, self.count), np.float32)
        names = np.empty((self.n, self.count), np.int32)
        for start in range(0, self.n, 4096):
            rows = np.arange(start, min(start + 4096, self.n))
            self._cut(rows)
            keys = np.sort(self._keys[rows, : self.count], axis=1)
            bounds[rows], names[rows] = unpack_keys(keys, nobody=-1)
        return bounds, names

    def _add(self, rows: np.ndarray, names: np.ndarray, bounds: np.ndarray) -> None:
        """Enter points one by one; ``rows`` ascend."""
        if not rows.size:
            return
        first, last = int(rows[0]), int(rows[-1]) + 1
        counts = np.bincount(rows - first, minlength=last - first)
        over = np.flatnonzero(self._filled[first:last] + counts > self._keys.shape[1])
        if over.size:
            self._add_many(over + first, rows, names, bounds)
            crowded = np.zeros(last - first, bool)
            crowded[over] = True
            kept = ~crowded[rows - first]
            self._add(rows[kept], names[kept], bounds[kept])
            return
        start = np.cumsum(counts) - counts
        place = np.arange(rows.size) - (start - self._filled[first:last])[rows - first]
        self._keys[rows, place] = _keys_of(bounds, names)
        self._filled[first:last] += counts
        self._cut(np.flatnonzero(self._filled[first:last] > self.count + _SURPLUS) + first)

    def _add_many(
        self, chosen: np.ndarray, rows: np.ndarray, names: np.ndarray, bounds: np.ndarray
    ) -> None:
        """Enter what was offered to a few rows that cannot hold it all, row by row."""
        starts, stops = np.searchsorted(rows, chosen), np.searchsorted(rows, chosen, "right")
        for row, start, stop in zip(chosen, starts, stops, strict=True):
            keys = _keys_of(bounds[start:stop], names[start:stop])
            self._put(np.array([row]), keys[None])

    def _add_best(self, rows: np.ndarray, first_name: int, bounds: np.ndarray) -> None:
        """Enter the best of whole rows of scores ``[rows, c]`` that have no limit yet."""
        names = np.arange(first_name, first_name + bounds.shape[1])
        block = max(1, 2**20 // bounds.shape[1])
        for start in range(0, rows.size, block):
            part = bounds[start : start + block]
            self._put(rows[start : start + block], _keys_of(part, names))

    def _put(self, rows: np.ndarray, keys: np.ndarray) -> None:
        """Replace lists by the ``count`` best of themselves and the keys ``[rows, c]``."""
        self._keep(rows, np.concatenate([self._keys[rows], keys], axis=1))

    def _cut(self, rows: np.ndarray) -> None:
        """Cut lists back to their best, which tightens their limits."""
        if rows.size:
            self._keep(rows, self._keys[rows])

    def _keep(self, rows: np.ndarray, keys: np.ndarray) -> None:
        """Make lists of the ``count`` best of the keys ``[rows, c]``, c at least ``count``."""
        best = np.partition(keys, self.count - 1, axis=1)[:, : self.count]
        self._keys[rows, self.count :] = EMPTY
        self._keys[rows, : self.count] = best
        self._filled[rows] = (best != EMPTY).sum(axis=1)
        self._limits[rows] = unpack_keys(best.max(axis=1), nobody=-1)[0]


def _keys_of(bounds: np.ndarray, names: np.ndarray) -> np.ndarray:
    """Keys of points; of those with an infinite bound, the empty one."""
    return np.where(np.isinf(bounds), EMPTY, pack_keys(bounds, names))


def rough_limits(bounds: np.ndarray, count: int) -> np.ndarray:
    """For every row ``[r, c]`` a number that at least ``count`` scores do not exceed, ``[r]``.

    Columns are dealt into four times fewer piles; the ``count``-th smallest of their minima is a
    little above the ``count``-th smallest score, and quicker to find.

    Args:
        bounds: scores, of at least ``count`` columns.
        count: how many.
    """
    piles = bounds.shape[1] // _DEALT
    if piles < count:
        return np.partition(bounds, count - 1, axis=1)[:, count - 1]
    minima = bounds[:, : piles * _DEALT].reshape(len(bounds), _DEALT, piles).min(axis=1)
    return np.partition(minima, count - 1, axis=1)[:, count - 1]
