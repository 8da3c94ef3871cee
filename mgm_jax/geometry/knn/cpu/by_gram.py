"""Exact k nearest neighbours of a small cloud on a CPU, from its float64 Gram matrix.

Where there are few points, one product of all pairs in float64 costs less than a scan and the
distances of its candidates, and nothing is compiled. A squared distance from the matrix is off by a
known bound; where that could change the float32 number of a distance, the distance is computed from
the difference of the two points instead. So it is the same as that of every other search.
"""

from __future__ import annotations

from functools import partial
from typing import NamedTuple

import numpy as np

from mgm_jax.geometry.backend.gram_in_tiles import gram_in_tiles
from mgm_jax.geometry.backend.workers import even_parts, in_order, workers_for, workers_for_values
from mgm_jax.geometry.knn.cpu.scaled_on_host import scale_on_host
from mgm_jax.geometry.knn.cpu.shortlist import rough_limits
from mgm_jax.geometry.knn.cpu.sort_keys import EMPTY, pack_keys, unpack_keys
from mgm_jax.geometry.knn.distance import Metric, Points, distance_above, reported_distance
from mgm_jax.geometry.knn.selection import NOBODY
from mgm_jax.geometry.knn.tile import Nearest, in_units, is_certified

# From so many points on a scan is faster, and so many more for each neighbour, whose distance it
# has to compute; and a bound of the matrix, 72 MiB. On one core with 20 neighbours the scan takes 8
# times as long at 100 points, 2 to 3.5 times at 600, 1.3 to 1.7 times at 900, and at the limit as
# long with 2048 features and 1.2 times with 128 (``benchmarks/cpu_twins.py``).
_POINTS, _POINTS_A_NEIGHBOUR, _MAX_POINTS = 1024, 8, 3072
# Candidates beyond k: a limit in float32 rarely cuts the k-th off, and then the row is done again.
_MARGIN = 6
# Points in float64 that stay in the second cache of a core.
_BLOCK_VALUES = 2**17
# Scores of a thread's turn: with fewer, threads wait for Python's lock rather than work.
_SCORES_A_TURN = 2**19
_PAIR_VALUES = 2**18
# How far the rounding of a scale that is not cut to few bits, and of what it scales, moves a point.
_MOVED = 2.0**-51


class CloudGram(NamedTuple):
    """Inner products of the points of a cloud about their mean.

    Attributes:
        points: as :func:`scale_on_host` scales them; near the unit sphere for the cosine.
        gram: inner products of the scaled points about their mean, ``[n, n]`` float64, symmetric.
        own: its diagonal ``[n]``.
        metric: what the points are scaled for.
        on_sphere: whether the matrix is that of points scaled to length 1 as well as float64 can,
            beyond the few bits of the scales of ``points``.
    """

    points: Points
    gram: np.ndarray
    own: np.ndarray
    metric: Metric
    on_sphere: bool = False

    def rounding(self, lengths: np.ndarray, squared: np.ndarray) -> np.ndarray:
        """Bound of the rounding of squared distances.

        Args:
            lengths: sums of the two squared lengths about the mean, any shape.
            squared: the squared distances, as rounded; their shape.
        """
        bound = (2 * self.points.values.shape[1] + 16) * 2.0**-52 * lengths
        if self.on_sphere:
            bound += 4 * _MOVED * (np.sqrt(np.maximum(squared, 0) + bound) + _MOVED)
        return bound


def suits_gram(n: int, k: int) -> bool:
    """Whether the matrix of n points is the fast way to their k nearest neighbours.

    >>> suits_gram(1000, 5), suits_gram(2000, 5), suits_gram(2000, 200)
    (True, False, True)
    """
    return n <= min(_POINTS + _POINTS_A_NEIGHBOUR * k, _MAX_POINTS)


def gram_of_cloud(x: np.ndarray, *, metric: Metric) -> CloudGram:
    """Multiply all pairs of points in float64, on all cores.

    Args:
        x: points ``[n, d]``.
        metric: which distance.
    """
    scaled = scale_on_host(x, None, metric=metric)
    points = scaled.queries
    centred = np.empty(x.shape)

    def centre(rows: slice) -> None:
        centred[rows] = x[rows]
        centred[rows] *= points.scales[rows, None]
        # Whatever is taken off, no difference changes; and each number is rounded by its own size.
        centred[rows] -= scaled.mean

    step = max(1, _BLOCK_VALUES // x.shape[1])
    calls = [partial(centre, slice(start, start + step)) for start in range(0, len(x), step)]
    for _ in in_order(calls, workers=workers_for_values(x.size)):
        pass
    # Threads of a library for linear algebra would stay awake for a while, beside ours.
    gram = gram_in_tiles(centred, workers=workers_for(None))
    return CloudGram(points, gram, np.diagonal(gram).copy(), metric)


def nearest_by_gram(
    x: np.ndarray, *, k: int, metric: Metric, cloud: CloudGram | None = None
) -> Nearest:
    """The k nearest other points of every point.

    Args:
        x: points ``[n, d]``, on the host, n at least 2.
        k: number of neighbours; places beyond the n - 1 others stay open.
        metric: which distance.
        cloud: what :func:`gram_of_cloud` says of the same points and metric, if it is known.

    Returns:
        Neighbours, with distances in the units of the points; certified where one comparison in
        float32 was enough to leave out all others.
    """
    cloud = cloud or gram_of_cloud(x, metric=metric)
    points, n = cloud.points, len(x)
    results = Nearest(
        np.full((n, k), np.inf, np.float32), np.full((n, k), NOBODY, np.int32), np.ones(n, bool)
    )
    workers = workers_for(None)
    turns = even_parts(n, most=max(1, _SCORES_A_TURN // n), workers=workers)
    calls = [partial(_settle, cloud, results, turn.start, turn.stop, k=k) for turn in turns]
    for _ in in_order(calls, workers=workers):
        pass
    return results._replace(distances=in_units(results.distances, points, metric=metric))


def _settle(cloud: CloudGram, results: Nearest, start: int, stop: int, *, k: int) -> None:
    """Fill in the neighbours of the rows from ``start`` to before ``stop``."""
    n, rows = len(cloud.own), np.arange(start, stop)
    # Half squared distances, less half the squared length of the row, which orders nothing.
    scores = np.empty((rows.size, n), np.float32)
    np.subtract(cloud.own / 2, cloud.gram[start:stop], out=scores, casting="same_kind")
    scores[np.arange(rows.size), rows] = np.inf
    limits = np.full(rows.size, np.inf, np.float32)
    if k + _MARGIN < n - 1:
        limits = rough_limits(scores, k + _MARGIN)
    kept = scores <= limits[:, None]
    kept[np.arange(rows.size), rows] = False
    _rank(cloud, results, rows, kept, k=k)
    half = limits.astype(np.float64)
    half -= 2.0**-23 * np.abs(np.where(np.isinf(half), 0, half))
    longest = cloud.own[rows] + cloud.own.max()
    # No squared distance is more than twice the sum of the two squared lengths.
    half += (cloud.own[rows] - cloud.rounding(longest, 2 * longest)) / 2
    unseen = distance_above(half, metric=cloud.metric)
    results.certified[rows] = is_certified(results.distances[rows], unseen)
    left = rows[~results.certified[rows]]
    if left.size:
        # Of all others the distances, most of them by a look at the matrix.
        _rank(cloud, results, left, np.arange(n) != left[:, None], k=k)


def _rank(
    cloud: CloudGram, results: Nearest, rows: np.ndarray, kept: np.ndarray, *, k: int
) -> None:
    """Order what is kept of some rows ``[r, n]`` bool by distance and index."""
    n = kept.shape[1]
    positions = np.flatnonzero(kept)
    starts = np.searchsorted(positions, np.arange(rows.size + 1) * n)
    counts = np.diff(starts)
    row = np.repeat(np.arange(rows.size), counts)
    other = positions - row * n
    keys = np.full((rows.size, max(k, int(counts.max()))), EMPTY)
    column = np.arange(positions.size) - np.repeat(starts[:-1], counts)
    keys[row, column] = pack_keys(_distances(cloud, rows[row], other), other)
    keys.sort(axis=1)
    results.distances[rows], results.indices[rows] = unpack_keys(keys[:, :k], nobody=NOBODY)


def _distances(cloud: CloudGram, first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Distances of pairs ``[p]`` float32 in scaled units."""
    points, gram, own, metric, on_sphere = cloud
    lengths = own[first] + own[second]
    products = gram.reshape(-1)[first * len(own) + second]
    pair = (1.0, 1.0) if on_sphere else (points.lengths[first], points.lengths[second])
    low = lengths - 2 * products
    bound = cloud.rounding(lengths, low)
    high = low + bound
    low = reported_distance(np.maximum(low - bound, 0), *pair, metric=metric)
    high = reported_distance(high, *pair, metric=metric)
    unsure = np.flatnonzero(low != high)
    step = max(1, _PAIR_VALUES // points.values.shape[1])
    for start in range(0, unsure.size, step):
        subset = unsure[start : start + step]
        a, b = points.take(first[subset]), points.take(second[subset])
        gaps = a.values.astype(np.float64) * a.scales[:, None]
        gaps -= b.values.astype(np.float64) * b.scales[:, None]
        exact = np.einsum("pd,pd->p", gaps, gaps)
        high[subset] = reported_distance(exact, a.lengths, b.lengths, metric=metric)
    return high
