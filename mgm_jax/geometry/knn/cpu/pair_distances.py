"""Exact distances of many single pairs, and the order of candidates by them.

Pairs are taken in an order that needs two blocks of points on the device at a time. In a self
graph a pair that is in two of the lists ranked together is measured once.
"""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import jax
import numpy as np

from mgm_jax.geometry.backend.precision import double_precision
from mgm_jax.geometry.knn.cpu.sort_keys import EMPTY, pack_keys, unpack_keys
from mgm_jax.geometry.knn.distance import Metric, Points, exact_distances
from mgm_jax.geometry.knn.selection import NOBODY
from mgm_jax.geometry.knn.tile import pad_points
from mgm_jax.parallel.cpus import available_cpus

_BLOCK_BYTES = 2**26
_PAIRS = 2**14
# Queries ranked at once; of them, pairs in two lists are found.
_ROWS = 2**15
# Pairs measured together: few enough for their differences to stay in the cache of a core.
_TOGETHER = 64
# Pairs of a block are taken by parts of it that stay in the cache of a core.
_PARTS = 8


def rank_candidates(
    queries: Points,
    targets: Points,
    candidates: np.ndarray,
    *,
    k: int,
    metric: Metric,
    own: bool,
) -> tuple[np.ndarray, np.ndarray]:
    """Order candidates by their exact distance and keep k; float64 must be on.

    Args:
        queries: n points on the host.
        targets: m points on the host.
        candidates: ``[n, c]`` int32 rows of the targets; -1 for nobody.
        k: how many to keep, at most c.
        metric: which distance.
        own: whether queries and targets are the same points.

    Returns:
        Distances ``[n, k]`` float32 in scaled units and indices ``[n, k]`` int32, by ascending
        distance, equal distances by index; infinity and ``NOBODY`` where there is no candidate.
    """
    distances = np.empty((len(candidates), k), np.float32)
    indices = np.empty((len(candidates), k), np.int32)
    for start in range(0, len(candidates), _ROWS):
        rows = slice(start, start + _ROWS)
        keys = _keys(queries, targets, start, candidates[rows], metric=metric, own=own)
        distances[rows], indices[rows] = unpack_keys(np.sort(keys)[:, :k], nobody=NOBODY)
    return distances, indices


def _keys(
    queries: Points,
    targets: Points,
    start: int,
    candidates: np.ndarray,
    *,
    metric: Metric,
    own: bool,
) -> np.ndarray:
    """Sort keys ``[r, c]`` of the candidates of the queries from ``start`` on."""
    real = candidates >= 0
    row, other = np.nonzero(real)[0] + start, candidates[real].astype(np.int64)
    first, second = (np.minimum(row, other), np.maximum(row, other)) if own else (row, other)
    width = len(targets.values)
    codes = first * width + second
    codes, order = _sorted(codes)
    fresh = np.append(True, codes[1:] != codes[:-1]) if codes.size else np.empty(0, bool)
    single = codes[fresh]
    found = distances_of_pairs(queries, targets, single // width, single % width, metric=metric)
    values = np.empty(codes.size, np.float32)
    values[order] = found[np.cumsum(fresh) - 1]
    keys = np.full(candidates.shape, EMPTY)
    keys[real] = pack_keys(values, other)
    return keys


def _sorted(codes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Codes ``[p]`` int64 in ascending order and where each was; equal ones in any order."""
    bits = codes.size.bit_length()
    if not codes.size or int(codes.max()).bit_length() + bits > 63:
        order = np.argsort(codes)
        return codes[order], order
    # Sorting numbers that carry their place is several times faster than sorting places.
    both = np.sort(codes << bits | np.arange(codes.size))
    return both >> bits, both & ((1 << bits) - 1)


def distances_of_pairs(
    queries: Points, targets: Points, first: np.ndarray, second: np.ndarray, *, metric: Metric
) -> np.ndarray:
    """Reported distances of single pairs; float64 must be on.

    Args:
        queries: n points on the host.
        targets: m points on the host.
        first: rows of the queries, ``[p]``, ascending.
        second: rows of the targets, ``[p]``.
        metric: which distance.

    Returns:
        ``[p]`` float32 in scaled units.
    """
    out = np.empty(first.size, np.float32)
    width = queries.values.shape[1]
    rows = max(1, _BLOCK_BYTES // (width * queries.values.itemsize))

    def measure(job: tuple[np.ndarray, Points, Points, np.ndarray, np.ndarray]) -> None:
        places, left, right, a, b = job
        with double_precision():
            out[places] = np.asarray(_distances(left, right, a, b, metric=metric))[: places.size]

    # A call measures its pairs on one core.
    with ThreadPoolExecutor(available_cpus()) as pool:
        for left, right, places, starts in _blocks(queries, targets, first, second, rows):
            jobs = (
                (part, left, right, *_filled(first[part] - starts[0], second[part] - starts[1]))
                for part in np.array_split(places, -(-places.size // _PAIRS))
            )
            list(pool.map(measure, jobs))
    return out


def _blocks(
    queries: Points, targets: Points, first: np.ndarray, second: np.ndarray, rows: int
) -> Iterator[tuple[Points, Points, np.ndarray, tuple[int, int]]]:
    """Blocks of queries and targets on the device, the pairs between them, and their starts."""
    second_block = second // rows
    for start in range(0, len(queries.values), rows):
        low, high = np.searchsorted(first, (start, start + rows))
        if low == high:
            continue
        left = _on_device(queries, start, rows)
        for block in np.unique(second_block[low:high]):
            places = low + np.flatnonzero(second_block[low:high] == block)
            places = places[_near(first[places] % rows, second[places] % rows, rows)]
            same = queries is targets and block * rows == start
            right = left if same else _on_device(targets, int(block) * rows, rows)
            yield left, right, places, (start, int(block) * rows)


def _near(first: np.ndarray, second: np.ndarray, rows: int) -> np.ndarray:
    """Order of pairs that keeps to one part of either block as long as it can."""
    size = -(-rows // _PARTS)
    # Sorting short integers is a matter of counting.
    return np.argsort((first // size * _PARTS + second // size).astype(np.uint8), kind="stable")


def _on_device(points: Points, start: int, rows: int) -> Points:
    """A block, filled up to the size of all blocks; in a small cloud, to one of few sizes."""
    size = min(rows, max(256, 1 << (len(points.values) - 1).bit_length()))
    return pad_points(points.take(slice(start, start + rows)), multiple=size)[0]


def _filled(first: np.ndarray, second: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Rows of pairs, filled up with the first pair to a full call."""
    more = _PAIRS - first.size
    return (
        np.pad(first, (0, more), constant_values=first[0]).astype(np.int32),
        np.pad(second, (0, more), constant_values=second[0]).astype(np.int32),
    )


@partial(jax.jit, static_argnames="metric")
def _distances(
    queries: Points, targets: Points, first: jax.Array, second: jax.Array, *, metric: Metric
) -> jax.Array:
    def some(pairs: tuple[jax.Array, jax.Array]) -> jax.Array:
        return exact_distances(queries.take(pairs[0]), targets.take(pairs[1]), metric=metric)

    parts = (first.reshape(-1, _TOGETHER), second.reshape(-1, _TOGETHER))
    return jax.lax.map(some, parts).reshape(-1)
