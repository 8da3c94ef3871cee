"""Shortlists: the points with the smallest bounds, for many rows at once, on the host.

Most scores of a tile are above what their row has already, and need no sorting. Each row keeps a
limit, the ``count``-th smallest bound so far; only scores below it enter a buffer, which is cut
back when it fills up. After the first tile few scores enter, so the cost of a selection is that
of one comparison a score.

Points that come in a random order make tighter limits: of a tenth of them a little more than a
tenth of the ``count`` best are to be expected, so a limit at that rank lets through no more than
will be needed. Where it was too tight a list stays shorter, and its limit says what it may lack.

An entry is one sort key (``sort_keys``) of its bound and its index.
"""

from __future__ import annotations

from functools import partial

import numpy as np

from mgm_jax.geometry.knn.cpu.sort_keys import EMPTY, pack_keys, unpack_keys

# Entries beyond ``count`` that start a cut: often enough for a tight limit, seldom enough to be
# cheap; so many, and this share of ``count``.
_SURPLUS, _SURPLUS_SHARE = 32, 4
_DEVIATIONS = 4
# Keys that are put into crowded lists at once.
_KEYS_AT_ONCE = 2**20
# Piles for each score that a first limit is to let through.
_DEALT = 4
_SORTED = 512


class Shortlists:
    """For each of n rows, the ``count`` smallest bounds offered so far and who has them.

    Args:
        n: rows.
        count: entries to keep of each.
        shuffled: how many points each row will be offered, in a random order; None where the order
            is any: then every list is full in the end.
    """

    def __init__(self, n: int, *, count: int, shuffled: int | None = None) -> None:
        self.n, self.count, self._total = n, count, shuffled
        self._seen = np.zeros(n, np.int64)
        self._surplus = max(_SURPLUS, count // _SURPLUS_SHARE)
        self._keys = np.full((n, count + count // 2 + _SURPLUS), EMPTY)
        self._filled = np.zeros(n, np.int64)
        self._limits = np.full(n, np.inf, np.float32)

    def offer(self, first_row: int, first_name: int, bounds: np.ndarray) -> None:
        """Offer a tile: its rows are rows of the lists, its columns the points.

        Args:
            first_row: row of the lists that the tile starts at.
            first_name: index of the point of its first column.
            bounds: ``[r, c]`` float32; below 0 counts as 0; infinity where there is no point.
        """
        rows = slice(first_row, first_row + len(bounds))
        self._seen[rows] += bounds.shape[1]
        limits = self._limits[rows].copy()
        fresh = np.flatnonzero(np.isinf(limits))
        rank = self._rank(first_row)
        first = fresh.size == len(bounds) and bounds.shape[1] >= rank
        if first:
            # The usual case: a first tile, of which few scores can be among the best.
            limits = np.maximum(rough_limits(bounds, rank), np.float32(0))
            limits = np.nextafter(limits, np.float32(np.inf))
        elif fresh.size:
            self._add_best(fresh + first_row, first_name, bounds[fresh])
            limits[fresh] = -1
        columns = bounds.shape[1]
        names = np.flatnonzero(bounds < _strict(limits)[:, None])
        starts = np.arange(len(bounds) + 1) * columns
        counts = np.diff(np.searchsorted(names, starts))
        entered = bounds.reshape(-1)[names]
        # What would be a division for each is a subtraction of what a row starts at.
        names -= np.repeat(starts[:-1] - first_name, counts)
        self._add(first_row, counts, names, entered)
        if first:
            self._cut(fresh + first_row)

    def offer_columns(self, first_row: int, first_name: int, bounds: np.ndarray) -> None:
        """Offer a tile the other way round: its columns are rows of the lists.

        Args:
            first_row: row of the lists that the first column of the tile is.
            first_name: index of the point of its first row.
            bounds: ``[c, r]`` float32; below 0 counts as 0; infinity where there is no point.
        """
        self._seen[first_row : first_row + bounds.shape[1]] += len(bounds)
        limits = self._limits[first_row : first_row + bounds.shape[1]].copy()
        fresh = np.flatnonzero(np.isinf(limits))
        if fresh.size:
            self._add_best(fresh + first_row, first_name, bounds[:, fresh].T)
            limits[fresh] = -1
        columns = bounds.shape[1]
        row = np.flatnonzero(bounds < _strict(limits))
        starts = np.arange(len(bounds) + 1) * columns
        names = np.repeat(np.arange(len(bounds)), np.diff(np.searchsorted(row, starts)))
        row -= names * columns
        # Sorting short integers is a matter of counting.
        short = np.uint16 if columns <= 2**16 else np.int64
        order = np.argsort(row.astype(short), kind="stable")
        counts = np.bincount(row, minlength=columns)
        row, names = row[order], names[order]
        self._add(first_row, counts, names + first_name, bounds[names, row])

    def results(
        self, rows: slice | np.ndarray = slice(None)
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """The lists, or r of them.

        Returns:
            Bounds ``[r, count]`` float32, ascending, and indices ``[r, count]`` int32; infinity
            and -1 where fewer are known. Numbers ``[r]`` float32 that no bound outside a list is
            below; infinity where all that was offered is listed.
        """
        keys = np.sort(self._keys[rows], axis=1)[:, : self.count]
        bounds, names = unpack_keys(keys, nobody=-1)
        return bounds, names, np.minimum(self._limits[rows], bounds[:, -1])

    def _rank(self, row: int) -> int:
        """Which of the smallest bounds that a row has seen is its limit."""
        if self._total is None or self._seen[row] >= self._total:
            return self.count
        share = self._seen[row] / self._total
        expected = self.count * share
        # Standard deviations of how many of the best a random share holds.
        above = _DEVIATIONS * (np.sqrt(expected * (1 - share)) + (1 - share))
        return min(self.count, int(np.ceil(expected + above)))

    def _add(self, first: int, counts: np.ndarray, names: np.ndarray, bounds: np.ndarray) -> None:
        """Enter points one by one: ``counts`` of them to each row from ``first`` on, in order."""
        if not names.size:
            return
        filled = self._filled[first : first + counts.size]
        width = self._keys.shape[1]
        over = np.flatnonzero(filled + counts > width)
        if over.size:
            self._cut(over + first)
            over = over[(filled + counts)[over] > width]
        if over.size:
            self._add_many(first, over, counts, names, bounds)
            fit = counts.copy()
            fit[over] = 0
            kept = np.repeat(fit > 0, counts)
            self._add(first, fit, names[kept], bounds[kept])
            return
        start = np.cumsum(counts) - counts
        slots = np.repeat(np.arange(first, first + counts.size) * width + filled - start, counts)
        slots += np.arange(names.size)
        # Below a limit, hence not infinite.
        self._keys.reshape(-1)[slots] = pack_keys(_at_least_0(bounds), names)
        filled += counts
        self._cut(np.flatnonzero(filled > self._rank(first) + self._surplus) + first)

    def _add_many(
        self,
        first: int,
        chosen: np.ndarray,
        counts: np.ndarray,
        names: np.ndarray,
        bounds: np.ndarray,
    ) -> None:
        """Enter what was offered to some of the rows, whose lists cannot hold it all."""
        stops = np.cumsum(counts)[chosen]
        starts = stops - counts[chosen]
        most = int(counts[chosen].max())
        step = max(1, _KEYS_AT_ONCE // most)
        for start in range(0, chosen.size, step):
            part = slice(start, start + step)
            index = starts[part, None] + np.arange(most)
            there = index < stops[part, None]
            index = index[there]
            keys = np.full(there.shape, EMPTY)
            keys[there] = _keys_of(bounds[index], names[index])
            self._put(chosen[part] + first, keys)

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
            # What is beyond the fullest of them is empty.
            width = max(int(self._filled[rows].max()), self._rank(rows[0]))
            self._keep(rows, self._keys[rows, :width])

    def _keep(self, rows: np.ndarray, keys: np.ndarray) -> None:
        """Make lists of the best of the keys ``[rows, c]``, c at least what is kept of them."""
        rank = self._rank(rows[0])
        best = np.partition(keys, rank - 1, axis=1)[:, :rank]
        self._keys[rows, rank:] = EMPTY
        self._keys[rows, :rank] = best
        self._filled[rows] = (best != EMPTY).sum(axis=1)
        limits = unpack_keys(best[:, -1], nobody=-1)[0]
        self._limits[rows] = np.minimum(self._limits[rows], limits)


def _keys_of(bounds: np.ndarray, names: np.ndarray) -> np.ndarray:
    """Keys of points; of those with an infinite bound, the empty one."""
    return np.where(np.isinf(bounds), EMPTY, pack_keys(_at_least_0(bounds), names))


def _at_least_0(bounds: np.ndarray) -> np.ndarray:
    # The sum turns a negative zero, whose bits are those of a large number, into zero.
    return np.maximum(bounds, 0) + np.float32(0)


def _strict(limits: np.ndarray) -> np.ndarray:
    """Limits that nothing below 0 passes where nothing of at least 0 does."""
    return np.where(limits > 0, limits, -np.float32(np.inf))


def rough_limits(bounds: np.ndarray, count: int) -> np.ndarray:
    """For every row ``[r, c]`` a number that at least ``count`` scores do not exceed, ``[r]``.

    Columns are dealt into piles, no fewer than ``_DEALT * count``; the ``count``-th smallest of
    their minima is a little above the ``count``-th smallest score, and quicker to find.

    Args:
        bounds: scores, of at least ``count`` columns.
        count: how many.
    """
    minima = bounds
    while (piles := minima.shape[1] // 2) >= _DEALT * count:
        # Of an odd number, the last is left out: nobody may be the least of two piles.
        minima = np.minimum(minima[:, :piles], minima[:, piles : 2 * piles])
    # NumPy sorts few numbers faster than it divides them.
    pick = np.sort if minima.shape[1] <= _SORTED else partial(np.partition, kth=count - 1)
    return pick(minima, axis=1)[:, count - 1]
