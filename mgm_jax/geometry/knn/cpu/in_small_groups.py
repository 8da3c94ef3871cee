"""Exact k nearest neighbours within small groups, on a CPU: one Gram matrix a group.

In a small group a float64 product of all pairs costs less than any way around it. Where its
rounding could change the float32 number of a distance, the distance is computed from the difference
of the two points instead; so it is the same as that of every other search.
"""

from __future__ import annotations

from functools import partial

import numpy as np

from mgm_jax.geometry.backend.workers import in_order, one_thread_a_product, workers_for
from mgm_jax.geometry.knn.selection import NOBODY
from mgm_jax.geometry.knn.tile import Nearest
from mgm_jax.geometry.points.groups import Groups

LARGEST = 256
"""A group of more points has cheaper ways than its Gram matrix."""

# Points in float64 that stay in the second cache of a core from the first step to the last.
_BLOCK_BYTES = 2**20
# Groups are handed to a thread in parts of about so many values.
_TASK_VALUES = 2**21
# Squares of such values, and of their differences down to rounding, have a number in float32.
_SMALLEST, _LARGEST = 1e-12, 1e15


def are_small(points: np.ndarray, groups: Groups) -> bool:
    """Whether all groups can go this way: few points, of ordinary size."""
    if groups.sizes.max() > LARGEST:
        return False
    largest = max(float(points.max()), -float(points.min()))
    return _SMALLEST < largest < _LARGEST


def nearest_in_small_groups(points: np.ndarray, groups: Groups, *, k: int) -> Nearest:
    """The k nearest points of its own group to every point, by Euclidean distance.

    Args:
        points: ``[n, d]`` float32 or bfloat16, on the host.
        groups: their partition, for which :func:`are_small` holds.
        k: number of neighbours; a group of k points or fewer leaves places unfilled.

    Returns:
        Neighbours by their rows, by ascending distance, equal distances by index.
    """
    n, features = points.shape
    results = Nearest(
        np.full((n, k), np.inf, np.float32), np.full((n, k), NOBODY, np.int32), np.ones(n, bool)
    )
    members = groups.members()
    calls = []
    for size in np.unique(groups.sizes[groups.sizes > 1]):
        rows = np.stack([members[code] for code in np.flatnonzero(groups.sizes == size)])
        step = max(1, _TASK_VALUES // (int(size) * features))
        parts = (rows[start : start + step] for start in range(0, len(rows), step))
        calls += [partial(_write, results, points, part, k=k) for part in parts]
    with one_thread_a_product():
        for _ in in_order(calls, workers=workers_for(None)):
            pass
    return results


def _write(results: Nearest, points: np.ndarray, rows: np.ndarray, *, k: int) -> None:
    """Fill in the neighbours of groups of one size, whose rows are ``[g, m]``."""
    size, features = rows.shape[1], points.shape[1]
    step = max(1, _BLOCK_BYTES // (8 * size * features))
    for start in range(0, len(rows), step):
        part = rows[start : start + step]
        positions, distances = _nearest(_distances(points, part), k=min(k, size - 1))
        kept = slice(0, positions.shape[2])
        results.distances[part, kept] = distances
        results.indices[part, kept] = np.take_along_axis(part[:, None], positions, axis=2)


def _distances(points: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """Distances within groups, ``[g, m, m]`` float32; infinity from a point to itself."""
    wide = points[rows].astype(np.float64)
    # The same for all points of a group, so whatever it is, no difference changes.
    wide -= wide.mean(axis=1, keepdims=True)
    gram = wide @ wide.transpose(0, 2, 1)
    own = np.diagonal(gram, axis1=1, axis2=2)
    lengths = own[:, :, None] + own[:, None]
    squared = lengths - 2 * gram
    # Sums of d products, and the mean that was taken off: of the squared lengths at most this.
    bound = (2 * points.shape[1] + 16) * np.finfo(np.float64).eps * lengths
    least = np.sqrt(np.maximum(squared - bound, 0)).astype(np.float32)
    most = np.sqrt(np.maximum(squared + bound, 0)).astype(np.float32)
    diagonal = np.arange(rows.shape[1])
    least[:, diagonal, diagonal] = most[:, diagonal, diagonal] = np.inf
    group, first, second = np.nonzero(least != most)
    upper = first < second
    pairs = np.stack([group[upper], first[upper], second[upper]])
    step = max(1, _BLOCK_BYTES // (8 * points.shape[1]))
    for start in range(0, pairs.shape[1], step):
        g, i, j = pairs[:, start : start + step]
        difference = points[rows[g, i]].astype(np.float64)
        difference -= points[rows[g, j]].astype(np.float64)
        exact = np.sqrt(np.einsum("pd,pd->p", difference, difference))
        most[g, i, j] = most[g, j, i] = exact
    return most


def _nearest(distances: np.ndarray, *, k: int) -> tuple[np.ndarray, np.ndarray]:
    """Places and distances of the k smallest, ``[g, m, k]`` each; ties go to the first place."""
    order = np.argsort(distances, axis=2)[:, :, : k + 1]
    chosen = np.take_along_axis(distances, order, axis=2)
    tied = (chosen[:, :, 1:] == chosen[:, :, :-1]).any(axis=2)
    order[tied] = np.argsort(distances[tied], axis=1, kind="stable")[:, : k + 1]
    return order[:, :, :k].astype(np.int32), chosen[:, :, :k]
