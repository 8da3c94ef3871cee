"""Overlaps of the polytopes of points of one large cloud, on a CPU.

The cross Gram matrix of two polytopes is ``C[a, b] = <x_a - x_i, x_b - x_j>``, four entries of the
Gram matrix of the cloud. Where that matrix fits, one product makes all its entries, far fewer than
the pairs of polytopes would multiply anew; where it does not, each point multiplies with those that
it is asked about. Where points are so close to their neighbours that either would lose digits, the
differences themselves are multiplied, pair by pair.
"""

from __future__ import annotations

import numpy as np

from mgm_jax.geometry.backend.gram_in_tiles import gram_in_tiles
from mgm_jax.geometry.local.polytopes_in_cloud import CloudPolytopes

# Bytes of the Gram matrix of a cloud: of 8192 points.
_GRAM_BYTES = 2**29
# Above this share of the cloud's own spread, squared distances keep 12 digits in its Gram matrix.
_NEAR_SHARE = 1e-4
# Points whose neighbours are gathered together.
_GATHERED = 16
# Points that are looked up in the Gram matrix together, and entries, which stay in the cache.
_TOGETHER, _ENTRIES = 16, 2**16


class CloudOverlaps:
    """The polytopes of n points, ready to be compared pair by pair.

    Args:
        polytopes: of the points.
        gram: of the points about their mean ``[n, n]`` float64, where it is at hand.
        workers: threads to work on.
    """

    def __init__(
        self, polytopes: CloudPolytopes, *, gram: np.ndarray | None = None, workers: int = 1
    ) -> None:
        """Make what all pairs share."""
        points, present = polytopes.points, polytopes.present
        self._points, self._inverse = points, polytopes.inverse
        self._neighbours = np.where(present, polytopes.neighbours, 0)
        self._counts = present.sum(axis=1)
        self._scale = _inverse_lengths(points) if polytopes.normalize else np.ones(len(points))
        self._gram = gram
        if gram is None and 8 * len(points) ** 2 <= _GRAM_BYTES:
            self._gram = self._whole_gram(workers)
        squared, widest = self._squared_distances()
        self._near = np.any(present & (squared < _NEAR_SHARE * widest), axis=1)

    def of(self, rows: np.ndarray, others: np.ndarray, counted: np.ndarray) -> np.ndarray:
        """Overlap ``||U_i' U_j||_F^2`` of some points with others.

        Args:
            rows: the points ``[b]`` int.
            others: rows to compare each with ``[b, c]`` int.
            counted: which of these count ``[b, c]`` bool.

        Returns:
            ``[b, c]`` float64, 0 to min(d_i, d_j); 0 where not counted.
        """
        overlaps = np.zeros(others.shape)
        close = self._near[rows] | (counted & self._near[others]).any(axis=1)
        alone = np.ones(len(rows), bool) if self._gram is None else close
        for index in np.flatnonzero(alone):
            row, real = rows[index], counted[index]
            if self._counts[row] and real.any():
                overlaps[index, real] = self._of_point(row, others[index, real])
        # Points with about as many neighbours go together, so that hardly any is padding.
        left = np.flatnonzero(~alone)
        left = left[np.argsort(self._counts[rows[left]], kind="stable")]
        room = int(counted.sum(axis=1).max(initial=1)) * int(self._counts.max(initial=1)) ** 2
        step = min(max(1, _ENTRIES // max(room, 1)), _TOGETHER)
        for start in range(0, left.size, step):
            lot = left[start : start + step]
            if self._gram is not None:
                overlaps[lot] = self._of_lot(self._gram, rows[lot], others[lot], counted[lot])
        return overlaps

    def _of_lot(
        self, gram: np.ndarray, rows: np.ndarray, others: np.ndarray, counted: np.ndarray
    ) -> np.ndarray:
        """Overlaps of a few points that the Gram matrix serves, all at once."""
        a = int(self._counts[rows].max())
        width = int(counted.sum(axis=1).max())
        overlaps = np.zeros(others.shape)
        if not a or not width:
            return overlaps
        # What counts moves to the front.
        chosen = np.argsort(~counted, axis=1, kind="stable")[:, :width]
        real = np.take_along_axis(counted, chosen, axis=1)
        others = np.where(real, np.take_along_axis(others, chosen, axis=1), rows[:, None])
        p = max(1, int(self._counts[others].max()))
        n, b = len(gram), len(rows)
        near = self._neighbours[others, :p].astype(np.intp).reshape(b, -1)
        own = self._neighbours[rows, :a].astype(np.intp)
        entries = gram.reshape(-1)
        to_others = entries.take(own[:, :, None] * n + others[:, None])
        to_others -= entries.take(rows[:, None] * n + others)[:, None]
        cross = entries.take(own[:, :, None] * n + near[:, None])
        cross -= entries.take(rows[:, None] * n + near)[:, None]
        cross = cross.reshape(b, a, width, p)
        cross -= to_others[:, :, :, None]
        left = self._inverse[rows, :a, :a] @ cross.reshape(b, a, -1)
        right = cross.transpose(0, 2, 1, 3) @ self._inverse[others, :p, :p]
        products = right.transpose(0, 2, 1, 3) * left.reshape(cross.shape)
        values = products.sum(axis=3).sum(axis=1)
        np.put_along_axis(overlaps, chosen, np.where(real, values, 0), axis=1)
        return overlaps

    def _of_point(self, row: int, others: np.ndarray) -> np.ndarray:
        own = self._neighbours[row, : self._counts[row]]
        p = max(1, int(self._counts[others].max()))
        near = self._neighbours[others, :p]
        if self._near[row] or self._near[others].any():
            cross = self._from_differences(row, own, others, near)
        else:
            cross = self._from_products(row, own, others, near)
        a, c = own.size, others.size
        left = self._inverse[row, :a, :a] @ cross.reshape(a, c * p)
        right = cross.transpose(1, 0, 2) @ self._inverse[others, :p, :p]
        return np.einsum("acp,cap->c", left.reshape(a, c, p), right)

    def _from_differences(
        self, row: int, own: np.ndarray, others: np.ndarray, near: np.ndarray
    ) -> np.ndarray:
        """Cross Gram matrices ``[a, c, p]`` of a point with c others."""
        gaps = self._wide(near) - self._wide(others)[:, None]
        frame = self._wide(own) - self._wide(row)
        return (frame @ gaps.reshape(near.size, -1).T).reshape(-1, *near.shape)

    def _from_products(
        self, row: int, own: np.ndarray, others: np.ndarray, near: np.ndarray
    ) -> np.ndarray:
        """The same from ``<x_a - x_i, x_b>`` of all points b that occur."""
        asked = np.concatenate([near.ravel(), others])
        rows, positions = np.unique(asked, return_inverse=True)
        centre = self._wide(row)
        products = ((self._wide(own) - centre) @ (self._wide(rows) - centre).T)[:, positions]
        return products[:, : near.size].reshape(-1, *near.shape) - products[:, near.size :, None]

    def _squared_distances(self) -> tuple[np.ndarray, float]:
        """To the neighbours ``[n, p]``, and of the farthest point to the middle of the cloud."""
        if self._gram is not None:
            own = np.diagonal(self._gram)
            to_point = np.take_along_axis(self._gram, self._neighbours, axis=1)
            return own[:, None] + own[self._neighbours] - 2 * to_point, float(own.max())
        n = len(self._points)
        squared, widest = np.empty(self._neighbours.shape), 0.0
        middle = np.einsum("n,nd->d", self._scale, self._points) / n
        for start in range(0, n, _GATHERED):
            rows = np.arange(start, min(start + _GATHERED, n))
            own = self._wide(rows)
            widest = max(widest, float(np.square(own - middle).sum(axis=1).max()))
            gaps = self._wide(self._neighbours[rows]) - own[:, None]
            squared[rows] = np.einsum("bpd,bpd->bp", gaps, gaps)
        return squared, widest

    def _wide(self, rows: np.ndarray | int) -> np.ndarray:
        """Points ``[..., d]`` in float64, on the unit sphere if the cloud is meant there."""
        return self._points[rows].astype(np.float64) * self._scale[rows][..., None]

    def _whole_gram(self, workers: int) -> np.ndarray:
        wide = self._wide(np.arange(len(self._points)))
        wide -= wide.mean(axis=0)
        return gram_in_tiles(wide, workers=workers)


def _inverse_lengths(points: np.ndarray) -> np.ndarray:
    squared = np.einsum("nd,nd->n", points, points, dtype=np.float64)
    return 1 / np.sqrt(np.where(squared > 0, squared, 1))
