"""What all searches for neighbours share: one tile of queries, its certificate, its sizes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple, TypeVar

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import DTypeLike

from mgm_jax.errors import InputError
from mgm_jax.geometry.backend.precision import ScanPrecision
from mgm_jax.geometry.backend.wide import wide_arithmetic
from mgm_jax.geometry.knn import buckets
from mgm_jax.geometry.knn.distance import (
    RAISED,
    Metric,
    Points,
    ScanTable,
    rerank,
    scan,
    scan_table,
    unseen_distance,
    unseen_distance_in_single,
)
from mgm_jax.geometry.knn.in_pairs.rank import (
    Ranking,
    rank_in_pairs,
    reach_of,
    table_for_ranking,
)
from mgm_jax.geometry.knn.scaled import Scaled

PROGRESS_FROM = 10_000
"""Fewer points than this are done before a progress bar could be read."""

_MARGIN, _COARSE_MARGIN = 14, 30


Cloud = TypeVar("Cloud", bound=Points | Scaled)


class Nearest(NamedTuple):
    """Neighbours on the host.

    Attributes:
        distances: ``[n, k]`` float32, ascending; infinity where there is nobody.
        indices: ``[n, k]`` int32; ``NOBODY`` where there is nobody.
        certified: ``[n]`` bool, whether the fast scan settled the row.
    """

    distances: np.ndarray
    indices: np.ndarray
    certified: np.ndarray


@dataclass(frozen=True, kw_only=True)
class SearchOptions:
    """What is sought in one cloud, and how.

    Attributes:
        k: number of neighbours.
        metric: which distance.
        precision: type of the scan; changes ``certified``, never the neighbours.
        tile_rows: queries scored at once; None for a good size for the device.
        tile_columns: base points they are scored against at once, and the block that travels round
            a ring; None likewise. Without a base, CPUs take the smaller of the two counts for both.
    """

    k: int
    metric: Metric
    precision: ScanPrecision = "auto"
    tile_rows: int | None = None
    tile_columns: int | None = None


class Tiles(NamedTuple):
    """How many queries and how many base points are scored at once."""

    rows: int
    columns: int


def settle(
    queries: Points | Scaled,
    own: jax.Array | np.ndarray,
    targets: Points | Scaled,
    table: ScanTable,
    mean: jax.Array | np.ndarray,
    *,
    k: int,
    metric: Metric,
    tile: int,
    ranked: Ranking | None = None,
    more: int | None = None,
    great: jax.Array | None = None,
) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Scan and rank one tile of queries; also usable inside ``jit``.

    Args:
        queries: r points.
        own: ``[r]`` int32, the query's own row among the targets; -1 where it is not among them.
        targets: m points to choose from.
        table: the targets for the scan, filled up to a multiple of ``tile``.
        mean: what the table was centred on.
        k: number of neighbours, at most ``tile``.
        metric: which distance.
        tile: columns scored at once.
        ranked: scaled targets as they are ranked; None to make that here.
        more: candidates beyond k; None for :func:`margin`.
        great: features whose rests the table has; None for none.

    Returns:
        Distances ``[r, k]`` float32 in scaled units, indices ``[r, k]`` int32, and a distance
        ``[r]`` that no point outside the candidates can fall below; -1 where the ranking has
        left the row open.
    """
    present = np.ones(queries.values.shape[0], bool)
    centred = scan_table(
        queries, mean, present, dtype=table.points.dtype, great=great, of_queries=True
    )
    count = min(k + (margin(table.points.dtype) if more is None else more), tile)
    if takes_buckets(table, count=count):
        candidates, last = buckets.scan_in_buckets(
            centred, own, table, count=count, kernel=buckets.kernel_here(table.points.shape[1])
        )
    else:
        bounds, candidates = scan(centred, own, table, count=count, tile=tile)
        last = bounds[:, -1]
    if isinstance(queries, Scaled) and isinstance(targets, Scaled):
        base = table_for_ranking(targets) if ranked is None else ranked
        unseen = unseen_distance_in_single(centred, last, metric=metric)
        distances, indices, left_open = rank_in_pairs(
            table_for_ranking(queries, base),
            base,
            candidates,
            reach_of(queries.high, unseen, base.farthest, metric=metric),
            features=queries.values.shape[1],
            k=k,
            metric=metric,
            kernel=buckets.kernel_here(queries.values.shape[1]),
        )
        return distances, indices, jnp.where(left_open, jnp.float32(-1), unseen)
    if isinstance(queries, Scaled) or isinstance(targets, Scaled):
        raise TypeError("queries and targets are scaled by one function")
    distances, indices = rerank(queries, targets, candidates, k=k, metric=metric)
    return distances, indices, unseen_distance(centred, last, metric=metric)


def takes_buckets(table: ScanTable, *, count: int) -> bool:
    """Whether the device scans a table in buckets for so many candidates."""
    return jax.default_backend() != "cpu" and buckets.fits(table, count=count)


def ranks_in_pairs() -> bool:
    """Whether candidates are ranked in pairs of float32: on devices whose float64 is slow.

    >>> ranks_in_pairs()
    False
    """
    return jax.default_backend() != "cpu" and wide_arithmetic() == "pairs"


def margin(dtype: DTypeLike) -> int:
    """Candidates beyond k: enough to certify nearly all rows of 512 post-ReLU features.

    Full-rank features are the hard case; 14 more certify 92 % of rows in bfloat16 and all in
    float32, 30 more certify all in both.

    >>> margin(jnp.float32)
    14
    """
    return _COARSE_MARGIN if jnp.dtype(dtype) == jnp.bfloat16 else _MARGIN


def is_certified(distances: np.ndarray, unseen: np.ndarray) -> np.ndarray:
    """Rows ``[n]`` whose k-th distance is below that of all points that were not ranked.

    >>> is_certified(np.array([[1.0, 2.0]]), np.array([2.0])).tolist()
    [False]
    """
    # At an equal distance the smaller index would win, so equality settles nothing.
    return (distances[:, -1] < unseen) | np.isinf(unseen)


def tile_sizes(n: int, m: int, k: int, *, rows: int | None, columns: int | None) -> Tiles:
    """Tile of scores: within the caches of a CPU, large on accelerators.

    Columns are a multiple of 16 that holds all candidates, and no more than the base needs.

    >>> tile_sizes(1000, 1000, 5, rows=64, columns=100)
    Tiles(rows=64, columns=112)
    """
    on_cpu = jax.default_backend() == "cpu"
    rows = rows or (512 if on_cpu else 4096)
    columns = columns or (8192 if on_cpu else 32768)
    wanted = min(max(columns, k + _COARSE_MARGIN), max(m, k))
    # Whole buckets on accelerators, see ``buckets``.
    step = 16 if on_cpu or wanted < 4 * buckets.COLUMNS else buckets.COLUMNS
    return Tiles(rows=min(rows, n), columns=-(-wanted // step) * step)


def pad_points(points: Cloud, *, multiple: int) -> tuple[Cloud, np.ndarray]:
    """Fill points up with zero rows to a multiple; also tells which rows are points, ``[n]``."""
    n = points.values.shape[0]
    more = -n % multiple
    if more:
        # Arrays of the host stay there: every padding on a device is a program of its own.
        pad = np.pad if isinstance(points.values, np.ndarray) else jnp.pad
        points = jax.tree.map(lambda a: pad(a, ((0, more),) + ((0, 0),) * (a.ndim - 1)), points)
    return jax.tree.map(jax.device_put, points), np.arange(n + more) < n


def in_units(distances: np.ndarray, points: Points | Scaled, *, metric: Metric) -> np.ndarray:
    """Distances ``[n, k]`` in scaled units as distances in the units of the points, float32.

    The scale is a power of two, so nothing is rounded.

    Raises:
        InputError: distances too large for float32, or squared ones too small.
    """
    if metric == "cosine":
        return distances
    if isinstance(points, Scaled):
        scale = 2.0 ** int(points.exponents[0])
    else:
        scale = float(points.scales[0])
    unit = (scale**-2 if metric == "sqeuclidean" else 1 / scale) / RAISED
    with np.errstate(over="ignore"):
        rescaled = (distances * np.float64(unit)).astype(np.float32)
    if np.isinf(rescaled[np.isfinite(distances)]).any():
        raise InputError(
            f"{metric} distances of x must fit into float32; some are above 3.4e38. Divide the "
            "points by a constant" + (", or take plain lengths." if metric[0] == "s" else ".")
        )
    if metric == "sqeuclidean" and ((rescaled < np.finfo(np.float32).tiny) & (distances > 0)).any():
        raise InputError(
            "sqeuclidean distances of x must fit into float32; some are below 1.2e-38. Multiply "
            "the points by a constant, or take plain lengths."
        )
    return rescaled
