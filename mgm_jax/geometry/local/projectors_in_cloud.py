"""Overlaps of the polytopes of points of one large cloud of few features, on a CPU.

The projector ``P_i = X_i' A_i^+ X_i`` onto the span of a polytope, with the differences to its
neighbours X_i and their Gram matrix A_i, has as many entries as pairs of features. Where these are
few, the overlap of two polytopes is one inner product, ``||U_i' U_j||_F^2 = <P_i, P_j>``, which
costs far less than the cross Gram matrix of the two.
"""

from __future__ import annotations

from functools import partial

import numpy as np

from mgm_jax.geometry.backend.workers import in_order
from mgm_jax.geometry.local.polytopes_in_cloud import CloudPolytopes

# Bytes of all projectors.
_BYTES = 2**29
# Points whose projectors are made together.
_LOT = 32
# What an entry of a cross Gram matrix takes, to look up and to multiply by one neighbour, in
# squares of one feature.
_LOOK_UP, _MULTIPLY = 20.0, 0.7


def suit_projectors(n: int, d: int, counts: np.ndarray) -> bool:
    """Whether projectors are the fast way to the overlaps of n polytopes in d features.

    Args:
        n: points of the cloud.
        d: features.
        counts: neighbours of every point ``[n]``.

    >>> few, many = np.full(3000, 10), np.full(3000, 40)
    >>> suit_projectors(3000, 64, few), suit_projectors(3000, 64, many)
    (False, True)
    """
    p = float(np.sqrt(np.mean(np.square(counts, dtype=np.float64))))
    fits = 8 * n * (d * (d + 1) // 2) <= _BYTES
    return fits and d**2 < (_LOOK_UP + _MULTIPLY * p) * p**2


class CloudProjectors:
    """The polytopes of n points, ready to be compared pair by pair.

    Args:
        polytopes: of the points.
        workers: threads to work on.
    """

    def __init__(self, polytopes: CloudPolytopes, *, workers: int = 1) -> None:
        """Make all projectors."""
        n, d = polytopes.points.shape
        present, inverse = polytopes.present, polytopes.inverse
        wide = polytopes.points.astype(np.float64)
        if polytopes.normalize:
            length = np.sqrt(np.einsum("nd,nd->n", wide, wide))
            wide /= np.where(length > 0, length, 1)[:, None]
        rows, columns = np.triu_indices(d)
        triangle = rows * d + columns
        # Every entry off the diagonal stands for two.
        weights = np.where(rows == columns, 1, np.sqrt(2))
        counts = present.sum(axis=1)
        order = np.argsort(counts, kind="stable")
        chosen = np.where(present, polytopes.neighbours, 0)
        self._packed = np.empty((n, triangle.size))

        def fill(lot: np.ndarray) -> None:
            p = max(1, int(counts[lot].max()))
            gaps = wide[chosen[lot, :p]] - wide[lot, None]
            projectors = gaps.transpose(0, 2, 1) @ (inverse[lot, :p, :p] @ gaps)
            packed = projectors.reshape(lot.size, -1).take(triangle, axis=1)
            self._packed[lot] = packed * weights

        calls = [partial(fill, order[start : start + _LOT]) for start in range(0, n, _LOT)]
        for _ in in_order(calls, workers=workers):
            pass

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
        for index, row in enumerate(rows):
            real = counted[index]
            compared = self._packed.take(others[index, real], axis=0)
            overlaps[index, real] = compared @ self._packed[row]
        return overlaps
