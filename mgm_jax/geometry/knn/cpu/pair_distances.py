"""Candidates ranked by their exact distances, on the host's threads.

What takes the time is to fetch the points of a pair, not to compute with them. So rows that share a
candidate come one after the other, and the candidates of such rows are taken part by part: most
points are then in the cache of a core when they are wanted. In a self graph such rows are mostly
each other's candidates, and a pair that one thread finds both ways round is measured once. Two
blocks of points are on the device at a time, in memory that one call fills again and again.
"""

from __future__ import annotations

from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from mgm_jax.geometry.backend.precision import double_precision
from mgm_jax.geometry.backend.workers import even_parts, threads
from mgm_jax.geometry.knn.cpu.aligned_points import BlockBuffer
from mgm_jax.geometry.knn.cpu.sort_keys import EMPTY, pack_keys, unpack_keys
from mgm_jax.geometry.knn.distance import Metric, Points, exact_distances
from mgm_jax.geometry.knn.selection import NOBODY
from mgm_jax.parallel.cpus import available_cpus

# Of a block on the device.
_BLOCK_BYTES = 2**25
# Queries of a block: bounds what is held for their candidates.
_MAX_ROWS = 2**15
# Pairs of a call, and of a thread's turn at most.
_PAIRS, _PAIRS_A_TURN = 2**14, 2**16
# From so many features on a distance costs more than to find out that it is asked for twice, among
# so many rows.
_MIRRORED_FROM, _MIRRORED_ROWS = 256, 1024
# Pairs measured together, the most of narrow points: few enough for their points to stay in the
# second cache of a core, with enough values for a step of the loop not to count.
_TOGETHER, _MAX_TOGETHER, _VALUES_TOGETHER = 64, 1024, 2**17
# Points that are taken together, of the second cache of a core.
_PART_BYTES, _MAX_PARTS = 2**19, 256


def rank_candidates(
    queries: Points,
    targets: Points,
    candidates: np.ndarray,
    *,
    k: int,
    metric: Metric,
) -> tuple[np.ndarray, np.ndarray]:
    """Order candidates by their exact distance and keep k; float64 must be on.

    Args:
        queries: n points on the host.
        targets: m points on the host; the queries themselves in a self graph.
        candidates: ``[n, c]`` int32 rows of the targets, no one twice in a row; -1 for nobody.
        k: how many to keep, at most c.
        metric: which distance.

    Returns:
        Distances ``[n, k]`` float32 in scaled units and indices ``[n, k]`` int32, by ascending
        distance, equal distances by index; infinity and ``NOBODY`` where there is no candidate.
    """
    n, width = len(candidates), candidates.shape[1]
    distances = np.empty((n, k), np.float32)
    indices = np.empty((n, k), np.int32)
    size, step = _block_rows(queries), _block_rows(targets)
    of_queries, of_targets = BlockBuffer(queries, rows=size), BlockBuffer(targets, rows=step)
    # A call measures its pairs on one core.
    cpus = available_cpus()
    with threads(cpus) as pool:
        for start in range(0, n, size):
            left = of_queries.load(start)
            order = _side_by_side(candidates[start : start + size])
            wanted = candidates[start + order]
            keys = np.full(wanted.shape, EMPTY)
            wide = queries is targets and queries.values.shape[1] >= _MIRRORED_FROM
            most = _MIRRORED_ROWS if wide else max(1, _PAIRS_A_TURN // width)
            turns = even_parts(len(order), most=most, workers=cpus)
            mirrors = [_NO_MIRRORS] * len(turns)
            if wide:
                positions = np.full(n, -1)
                positions[start + order] = np.arange(len(order))
                mirrors = list(pool.map(partial(_take_mirrors, wanted, positions), turns))
            for begin in range(0, len(targets.values), step):
                same = queries is targets and begin == start
                right = left if same else of_targets.load(begin)
                measure = partial(
                    _measure, keys, wanted, order, begin, left=left, right=right, metric=metric
                )
                # Done before the next block takes the place of this one.
                list(pool.map(measure, turns))

            def finish(rows: slice, mirrors: _Mirrors, names: np.ndarray, keys: np.ndarray) -> None:
                flat = keys[rows].reshape(-1)
                values, _ = unpack_keys(flat[mirrors.measured], nobody=NOBODY)
                others = names[rows][mirrors.measured // width]
                flat[mirrors.entries] = pack_keys(values, others)
                best = np.sort(keys[rows], axis=1)[:, :k]
                distances[names[rows]], indices[names[rows]] = unpack_keys(best, nobody=NOBODY)

            list(pool.map(partial(finish, names=start + order, keys=keys), turns, mirrors))
    return distances, indices


class _Mirrors(NamedTuple):
    """Pairs of points that are each other's candidates, by their entries in some rows ``[r, c]``.

    Attributes:
        entries: ``[p]`` of a pair as the row of its later point asks for it, flat.
        measured: ``[p]`` as the row of its earlier point does.
    """

    entries: np.ndarray
    measured: np.ndarray


_NO_MIRRORS = _Mirrors(np.arange(0), np.arange(0))


def _take_mirrors(wanted: np.ndarray, positions: np.ndarray, rows: slice) -> _Mirrors:
    """Take pairs that some rows ask for twice from the later row, one row of ``wanted`` a point.

    Args:
        wanted: ``[n, c]`` int32 candidates; -1 for nobody.
        positions: row of ``wanted`` of every point, -1 where it has none.
        rows: which rows to look at.
    """
    names = wanted[rows]
    r, c = names.shape
    # Nobody has the position of the last point, for all that matters here.
    other = positions[names] - rows.start
    entries = np.flatnonzero((other >= 0) & (other < r) & (names >= 0))
    row, other = entries // c, other.reshape(-1)[entries]
    asked = np.zeros(r * r, bool)
    asked[row * r + other] = True
    twice = asked[other * r + row]
    later, earlier = (np.flatnonzero(twice & side) for side in (row > other, row < other))
    # Both in the order of the later point; in which order its pairs come is of no matter.
    earlier = earlier[np.argsort(other[earlier].astype(np.uint16), kind="stable")]
    names.reshape(-1)[entries[later]] = -1
    return _Mirrors(entries[later].astype(np.int32), entries[earlier].astype(np.int32))


def _block_rows(points: Points) -> int:
    """Rows of a block; both blocks of a self graph are cut alike."""
    row = points.values.shape[1] * points.values.itemsize
    return max(1, min(_MAX_ROWS, _BLOCK_BYTES // row))


def _side_by_side(candidates: np.ndarray) -> np.ndarray:
    """An order of rows in which those that share their first candidate follow each other."""
    there = np.where(candidates < 0, NOBODY, candidates)
    return np.argsort(there.min(axis=1), kind="stable")


def _measure(
    keys: np.ndarray,
    wanted: np.ndarray,
    order: np.ndarray,
    begin: int,
    rows: slice,
    *,
    left: Points,
    right: Points,
    metric: Metric,
) -> None:
    """Fill in the sort keys of some rows' candidates ``[r, c]`` among a block of targets."""
    size = right.values.shape[0]
    local = wanted[rows] - np.int32(begin)
    entry = np.flatnonzero((local >= 0) & (local < size) & (wanted[rows] >= 0))
    if not entry.size:
        return
    other = local.reshape(-1)[entry]
    row = right.values.shape[1] * right.values.dtype.itemsize
    part = max(_PART_BYTES // row, -(-size // _MAX_PARTS))
    # Sorting short integers is a matter of counting.
    near = np.argsort((other // part).astype(np.uint8), kind="stable")
    entry, other = entry[near], other[near]
    first = order[rows][entry // local.shape[1]].astype(np.int32)
    values = np.empty(entry.size, np.float32)
    # Setting the type is a matter of the thread.
    with double_precision():
        for start in range(0, entry.size, _PAIRS):
            part = slice(start, start + _PAIRS)
            pairs = np.zeros((2, _PAIRS), np.int32)
            count = len(values[part])
            pairs[:, :count] = first[part], other[part]
            results = _distances(left, right, *pairs, np.int32(count), metric=metric)
            values[part] = np.asarray(results)[:count]
    keys[rows].reshape(-1)[entry] = pack_keys(values, other + np.int32(begin))


@partial(jax.jit, static_argnames="metric")
def _distances(
    queries: Points,
    targets: Points,
    first: jax.Array,
    second: jax.Array,
    count: jax.Array,
    *,
    metric: Metric,
) -> jax.Array:
    """Distances of the first ``count`` pairs; what is beyond costs nothing and says nothing."""
    together = _pairs_together(queries.values.shape[1])

    def measure(number: jax.Array, distances: jax.Array) -> jax.Array:
        start = number * together
        a, b = (jax.lax.dynamic_slice_in_dim(side, start, together) for side in (first, second))
        values = exact_distances(_rows(queries, a), _rows(targets, b), metric=metric)
        return jax.lax.dynamic_update_slice_in_dim(distances, values, start, 0)

    empty = jnp.zeros(first.shape, jnp.float32)
    return jax.lax.fori_loop(0, -(-count // together), measure, empty)


def _rows(points: Points, rows: jax.Array) -> Points:
    """Rows that there are: looking whether they are would cost as much as what is computed."""
    return Points(*(part.at[rows].get(mode="promise_in_bounds") for part in points))


def _pairs_together(features: int) -> int:
    """How many pairs are measured at once, a power of two.

    >>> _pairs_together(64), _pairs_together(300), _pairs_together(2048)
    (1024, 256, 64)
    """
    pairs = min(max(_VALUES_TOGETHER // features, _TOGETHER), _MAX_TOGETHER)
    return 1 << (pairs.bit_length() - 1)
