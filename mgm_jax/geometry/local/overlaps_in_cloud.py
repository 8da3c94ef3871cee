"""Overlaps of the polytopes of points of one large cloud, on a CPU.

The cross Gram matrix of two polytopes is ``C[a, b] = <x_a - x_i, x_b - x_j>``, four entries of the
Gram matrix of the cloud. Where that matrix fits, one product makes all its entries, far fewer than
the pairs of polytopes would multiply anew; where it does not, each point multiplies with those that
it is asked about. Where points are so close to their neighbours that either would lose digits, the
differences themselves are multiplied, pair by pair.
"""

from __future__ import annotations

from functools import partial

import numpy as np

from mgm_jax.geometry.backend.workers import in_order

# Bytes of the Gram matrix of a cloud: of 8192 points.
_GRAM_BYTES = 2**29
# Above this share of the cloud's own spread, squared distances keep 12 digits in its Gram matrix.
_NEAR_SHARE = 1e-4
# Rows of the Gram matrix that are one task, and points whose neighbours are gathered together.
_ROWS, _GATHERED = 512, 16


class CloudOverlaps:
    """The polytopes of n points, ready to be compared pair by pair.

    Args:
        points: the cloud ``[n, d]``.
        neighbours: rows of the neighbours of every point ``[n, p]`` int.
        present: which of them count ``[n, p]`` bool, from the front.
        inverse: generalised inverses of the Gram matrices of the differences to them
            ``[n, p, p]`` float64, 0 where no neighbour is.
        normalize: whether the cloud is meant on the unit sphere.
        workers: threads to work on.
    """

    def __init__(
        self,
        points: np.ndarray,
        neighbours: np.ndarray,
        present: np.ndarray,
        inverse: np.ndarray,
        *,
        normalize: bool,
        workers: int = 1,
    ) -> None:
        """Make what all pairs share."""
        self._points, self._inverse = points, inverse
        self._neighbours = np.where(present, neighbours, 0)
        self._counts = present.sum(axis=1)
        self._scale = _inverse_lengths(points) if normalize else np.ones(len(points))
        self._gram = None
        if 8 * len(points) ** 2 <= _GRAM_BYTES:
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
        for index, (row, compared, real) in enumerate(zip(rows, others, counted, strict=True)):
            if self._counts[row] and real.any():
                overlaps[index, real] = self._of_point(row, compared[real])
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
        if self._gram is None:
            rows, places = np.unique(asked, return_inverse=True)
            centre = self._wide(row)
            products = ((self._wide(own) - centre) @ (self._wide(rows) - centre).T)[:, places]
        else:
            products = self._gram.take(own[:, None] * len(self._gram) + asked)
            products -= self._gram[row, asked]
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
        n = len(self._points)
        wide = self._wide(np.arange(n))
        wide -= wide.mean(axis=0)
        gram = np.empty((n, n))

        def fill(start: int) -> None:
            rows = slice(start, start + _ROWS)
            np.matmul(wide[rows], wide[start:].T, out=gram[rows, start:])
            gram[start:, rows] = gram[rows, start:].T

        # The longest first, so that the workers end together.
        for _ in in_order([partial(fill, start) for start in range(0, n, _ROWS)], workers=workers):
            pass
        return gram


def _inverse_lengths(points: np.ndarray) -> np.ndarray:
    squared = np.einsum("nd,nd->n", points, points, dtype=np.float64)
    return 1 / np.sqrt(np.where(squared > 0, squared, 1))
