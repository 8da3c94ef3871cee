"""Exact k nearest neighbours of a small cloud on a CPU, from its float64 Gram matrix.

Where there are few points, one product of all pairs in float64 costs less than a scan and the
distances of its candidates, and nothing is compiled. A squared distance from the matrix is off by a
known bound; where that could change the float32 number of a distance, the distance is computed from
the difference of the two points instead. So it is the same as that of every other search.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from threading import Event
from typing import NamedTuple

import numpy as np

from mgm_jax.geometry.backend.gram_in_tiles import rows_of_tiles, tiles_of_gram
from mgm_jax.geometry.backend.workers import (
    in_stages,
    one_thread_a_product,
    workers_for,
)
from mgm_jax.geometry.knn.cpu.scaled_on_host import scale_on_host
from mgm_jax.geometry.knn.cpu.shortlist import rough_limits
from mgm_jax.geometry.knn.cpu.sort_keys import EMPTY, pack_keys, unpack_keys
from mgm_jax.geometry.knn.distance import (
    Metric,
    Points,
    distance_above,
    reported_distance,
    unit_scales,
)
from mgm_jax.geometry.knn.selection import NOBODY
from mgm_jax.geometry.knn.tile import Nearest, in_units, is_certified

# From so many points on a scan is faster, and so many more for each neighbour, whose distance it
# has to compute; and a bound of the matrix, 72 MiB. On one core with 20 neighbours the scan takes 8
# times as long at 100 points, 2 to 3.5 times at 600, 1.3 to 1.7 times at 900, and at the limit as
# long with 2048 features and 1.2 times with 128 (``benchmarks/cpu_twins.py``).
_POINTS, _POINTS_A_NEIGHBOUR, _MAX_POINTS = 1024, 8, 3072
# Candidates beyond k: a limit in float32 rarely cuts the k-th off, and then the row is done again.
_MARGIN = 6
# Values of points that are scaled at once: with fewer, threads wait for Python's lock, not work.
_BLOCK_VALUES = 2**18
# Scores at once: of more, the last cache would not hold all that is done with them.
_BLOCK_SCORES = 2**18
# Tiles that are begun before the rows of the first are settled.
_BEHIND = 3
_PAIR_VALUES = 2**18
# Points that tell what is about the mean of all.
_SAMPLE = 64
# How far the rounding of a scale that is not cut to few bits, and of what it scales, moves a point.
_MOVED = 2.0**-51
_UNIT = 2.0**-52

_Calls = list[Callable[[], None]]


class CloudGram(NamedTuple):
    """Inner products of the points of a cloud about a point near their mean.

    Attributes:
        points: as :func:`scale_on_host` scales them.
        gram: inner products of the scaled points, ``[n, n]`` float64, symmetric; for the cosine of
            points that are scaled to length 1 as well as float64 can, beyond the few bits of the
            scales of ``points``.
        own: its diagonal ``[n]``, but for rounding.
        bounds: the rounding of a squared distance is at most the sum of those of the two points,
            ``[n]``.
        metric: what the points are scaled for.
    """

    points: Points
    gram: np.ndarray
    own: np.ndarray
    bounds: np.ndarray
    metric: Metric


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
    # Threads of a library for linear algebra would stay awake for a while, beside ours.
    with one_thread_a_product():
        cloud, *stages = _planned(x, metric=metric)
        in_stages(stages, workers=workers_for(None))
    return cloud


def _planned(x: np.ndarray, *, metric: Metric) -> tuple[CloudGram, _Calls, _Calls]:
    """The matrix of a cloud, to be filled in; calls for its points, and then for its tiles."""
    n = len(x)
    centred, own, bounds = np.empty(x.shape), np.empty(n), np.empty(n)
    scales, lengths = np.empty(n), np.empty(n)
    cosine = metric == "cosine"
    if cosine:
        sample = x[:: -(-n // _SAMPLE)].astype(np.float64)
        middle = (1 / _lengths(sample)) @ sample / len(sample)
    else:
        scaled = scale_on_host(x, None, metric=metric)
        scales[:], lengths[:], middle = scaled.queries.scales, 1, scaled.mean

    def centre(rows: slice) -> None:
        block = centred[rows]
        block[...] = x[rows]
        factors = scales[rows]
        if cosine:
            found = _lengths(block)
            scales[rows], lengths[rows] = unit_scales(found)
            factors = 1 / found
        block *= factors[:, None]
        # Whatever is taken off, no difference changes; and each number is rounded by its own size.
        block -= middle
        own[rows] = np.vecdot(block, block)
        bounds[rows] = (2 * x.shape[1] + 24) * _UNIT * own[rows]
        if cosine:
            # No two points are further apart than the sum of their lengths.
            bounds[rows] += 4 * _MOVED * (np.sqrt(own[rows]) + _MOVED)

    step = max(1, _BLOCK_VALUES // x.shape[1])
    blocks = [partial(centre, slice(start, start + step)) for start in range(0, n, step)]
    gram = np.empty((n, n))
    cloud = CloudGram(Points(x, scales, lengths), gram, own, bounds, metric)
    return cloud, blocks, tiles_of_gram(centred, out=gram)


def _lengths(wide: np.ndarray) -> np.ndarray:
    """Lengths of points ``[n, d]`` float64; 1 of those that have none."""
    lengths = np.sqrt(np.vecdot(wide, wide))
    return np.where(lengths > 0, lengths, 1)


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
    n = len(x)
    results = Nearest(
        np.full((n, k), np.inf, np.float32), np.full((n, k), NOBODY, np.int32), np.ones(n, bool)
    )
    with one_thread_a_product():
        cloud, blocks, tiles = _planned(x, metric=metric) if cloud is None else (cloud, [], [])
        turns = [partial(_settle, cloud, results, rows, k=k) for rows in rows_of_tiles(n)]
        stages = [blocks, _interleaved(tiles, turns)]
        in_stages(stages, workers=workers_for(None))
    return results._replace(distances=in_units(results.distances, cloud.points, metric=metric))


def _interleaved(tiles: _Calls, turns: _Calls) -> _Calls:
    """Calls for tiles and for their rows, each of which waits for the tiles that it needs.

    Products leave Python's lock alone, selections do not: as a rule one thread is at each.
    """
    done = [Event() for _ in tiles]

    def multiply(number: int) -> None:
        try:
            tiles[number]()
        finally:
            # Whoever fails says so himself; nobody waits for him forever.
            done[number].set()

    def settle(number: int) -> None:
        for tile in done[: number + 1]:
            tile.wait()
        turns[number]()

    calls = [partial(multiply, number) for number in range(len(tiles))]
    for number in range(len(turns)):
        calls.insert(min(2 * number + _BEHIND, len(calls)), partial(settle, number))
    return calls


def _settle(cloud: CloudGram, results: Nearest, turn: slice, *, k: int) -> None:
    """Fill in the neighbours of some rows."""
    limits, positions = _select(cloud, turn, count=k + _MARGIN)
    rows = np.arange(turn.start, turn.stop)
    _rank(cloud, results, rows, positions, k=k)
    own = cloud.own[rows]
    # A score of h - g for half a square h and a product g, with half a squared distance e, is
    # rounded by 2^-23 (h + |g|) at most, and both are small where e and the row's own square are:
    # by Cauchy-Schwarz h + |g| is at most 3 e and 2.5 times the latter.
    half = (limits + (0.5 - 2.0**-21) * own) * (1 - 2.0**-21)
    half -= (cloud.bounds[rows] + cloud.bounds.max()) / 2
    unseen = distance_above(half, metric=cloud.metric)
    results.certified[rows] = is_certified(results.distances[rows], unseen)
    left = rows[~results.certified[rows]]
    if left.size:
        # Of all others the distances, most of them by a look at the matrix.
        n = len(cloud.own)
        _rank(cloud, results, left, np.flatnonzero(np.arange(n) != left[:, None]), k=k)


def _select(cloud: CloudGram, turn: slice, *, count: int) -> tuple[np.ndarray, np.ndarray]:
    """The ``count`` nearest of some rows, in a few bits, and some more.

    Returns:
        Limits ``[r]`` float64 of half the squared distance to all others, less half the square of
        the row; and what is below, by its entries in the rows ``[r, n]``, ascending.
    """
    n = len(cloud.own)
    halves = (cloud.own / 2).astype(np.float32)
    limits, positions = np.full(turn.stop - turn.start, np.inf), []
    step = max(1, _BLOCK_SCORES // n)
    room = np.empty((step, n), np.float32)
    for start in range(turn.start, turn.stop, step):
        rows = np.arange(start, min(start + step, turn.stop))
        scores = room[: rows.size]
        scores[...] = cloud.gram[start : start + rows.size]
        np.subtract(halves, scores, out=scores)
        scores[rows - start, rows] = np.inf
        first = start - turn.start
        if count < n - 1:
            rough = rough_limits(scores, count)
            kept = scores <= rough[:, None]
            limits[first : first + rows.size] = rough
        else:
            kept = np.isfinite(scores)
        positions.append(np.flatnonzero(kept) + first * n)
    return limits, np.concatenate(positions)


def _rank(
    cloud: CloudGram, results: Nearest, rows: np.ndarray, positions: np.ndarray, *, k: int
) -> None:
    """Order candidates of some rows by distance and index.

    Args:
        cloud: all points.
        results: what is filled in.
        rows: ``[r]``.
        positions: of the candidates in the rows ``[r, n]``, ascending.
        k: how many to keep.
    """
    n, r = len(cloud.own), np.arange(rows.size + 1)
    starts = np.searchsorted(positions, r * n)
    counts = np.diff(starts)
    other = positions - np.repeat(r[:-1] * n, counts)
    width = max(k, int(counts.max()))
    keys = np.full((rows.size, width), EMPTY)
    places = np.repeat(r[:-1] * width - starts[:-1], counts)
    places += np.arange(positions.size)
    keys.reshape(-1)[places] = pack_keys(_distances(cloud, rows, counts, other), other)
    keys.sort(axis=1)
    results.distances[rows], results.indices[rows] = unpack_keys(keys[:, :k], nobody=NOBODY)


def _distances(
    cloud: CloudGram, rows: np.ndarray, counts: np.ndarray, other: np.ndarray
) -> np.ndarray:
    """Distances ``[p]`` float32, in scaled units, of ``counts`` pairs of each of some rows."""
    points, gram, own, bounds, metric = cloud
    products = gram.reshape(-1)[np.repeat(rows * len(own), counts) + other]

    def rounded(sign: int) -> np.ndarray:
        half = (own + sign * bounds) / 2
        part = half[other]
        part += np.repeat(half[rows], counts)
        part -= products
        return _reported(np.maximum(part, 0, out=part), metric)

    low, high = rounded(-1), rounded(1)
    unsure = np.flatnonzero(low != high)
    step = max(1, _PAIR_VALUES // points.values.shape[1])
    first = np.repeat(rows, counts) if unsure.size else rows
    for start in range(0, unsure.size, step):
        subset = unsure[start : start + step]
        a, b = points.take(first[subset]), points.take(other[subset])
        gaps = a.values.astype(np.float64) * a.scales[:, None]
        gaps -= b.values.astype(np.float64) * b.scales[:, None]
        exact = np.einsum("pd,pd->p", gaps, gaps)
        high[subset] = reported_distance(exact, a.lengths, b.lengths, metric=metric)
    return high


def _reported(half: np.ndarray, metric: Metric) -> np.ndarray:
    """Reported distances of points of length 1 that half a squared distance ``[p]`` makes."""
    if metric == "cosine":
        return half.astype(np.float32)
    return reported_distance(2 * half, 1.0, 1.0, metric=metric)
