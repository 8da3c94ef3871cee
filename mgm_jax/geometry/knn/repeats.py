"""Equal rows: neighbours are sought among the distinct rows, then given to all that repeat them.

A cloud of many equal rows would otherwise be one great tie, and no certificate could settle it.
"""

from __future__ import annotations

import numpy as np

from mgm_jax.geometry.knn.selection import NOBODY
from mgm_jax.geometry.knn.tile import Nearest
from mgm_jax.geometry.points.duplicates import Distinct


def expand(nearest: Nearest, distinct: Distinct, *, own: bool, repeats: bool) -> Nearest:
    """Turn neighbours among distinct rows into neighbours among all rows.

    Args:
        nearest: neighbours by their places in ``distinct.rows``; of the distinct rows where
            ``own``, of separate queries otherwise.
        distinct: the distinct rows of the points sought among.
        own: whether the points are their own base.
        repeats: whether rows that repeat an earlier one are neighbours too.

    Returns:
        k neighbours of every point (or query), by ascending distance, equal distances by index.
    """
    asked = distinct.codes if own else np.arange(nearest.indices.shape[0])
    if not repeats:
        return Nearest(
            nearest.distances[asked],
            distinct.rows[nearest.indices[asked]].astype(np.int32),
            nearest.certified[asked],
        )
    k = nearest.indices.shape[1]
    distances, indices = nearest.distances, nearest.indices
    if own:
        # A point that repeats others has them as neighbours at distance 0.
        itself = np.arange(distances.shape[0], dtype=np.int32)[:, None]
        distances = np.concatenate([np.zeros((len(distances), 1), np.float32), distances], axis=1)
        indices = np.concatenate([itself, indices], axis=1)
    distances, indices = _spell_out(distances, indices, distinct.codes, count=k + own)
    distances, indices = distances[asked], indices[asked]
    if own:
        others = indices != np.arange(asked.size)[:, None]
        order = np.argsort(~others, axis=1, kind="stable")[:, :k]
        distances = np.take_along_axis(distances, order, axis=1)
        indices = np.take_along_axis(indices, order, axis=1)
    return Nearest(distances, indices, nearest.certified[asked])


def _spell_out(
    distances: np.ndarray, indices: np.ndarray, codes: np.ndarray, *, count: int
) -> tuple[np.ndarray, np.ndarray]:
    """Replace every distinct row by the points that equal it, and keep the first ``count``."""
    rows = distances.shape[0]
    members = np.argsort(codes, kind="stable").astype(np.int32)
    sizes = np.bincount(codes)
    starts = np.cumsum(sizes) - sizes
    real = indices != NOBODY
    who, source = indices[real], np.nonzero(real)[0]
    # More than ``count`` equal points never fit into one list.
    repeats = np.minimum(sizes[who], count)
    step = np.arange(repeats.sum()) - np.repeat(np.cumsum(repeats) - repeats, repeats)
    targets = members[np.repeat(starts[who], repeats) + step]
    lengths = np.repeat(distances[real], repeats)
    source = np.repeat(source, repeats)
    order = np.lexsort((targets, lengths, source))
    source, targets, lengths = source[order], targets[order], lengths[order]
    per_row = np.bincount(source, minlength=rows)
    rank = np.arange(source.size) - np.repeat(np.cumsum(per_row) - per_row, per_row)
    kept = rank < count
    out_distances = np.full((rows, count), np.inf, np.float32)
    out_indices = np.full((rows, count), NOBODY, np.int32)
    out_distances[source[kept], rank[kept]] = lengths[kept]
    out_indices[source[kept], rank[kept]] = targets[kept]
    return out_distances, out_indices
