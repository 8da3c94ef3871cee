"""Exact k nearest neighbours in one cloud on one device: scan, rank exactly, certify, fall back.

1. Every tile of rows is scanned against the base in a fast type for a few more than k candidates.
2. The candidates are ranked by their exact distance.
3. A row is certified where its k-th exact distance is below what any other point can have.
4. The other rows fall back (``fallback``): in float64, and if that is not enough, in full.
"""

from __future__ import annotations

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np

from mgm_jax.geometry.backend.precision import double_precision, scan_dtype
from mgm_jax.geometry.knn.distance import scale_points, scan_table
from mgm_jax.geometry.knn.fallback import Search, fall_back
from mgm_jax.geometry.knn.great_features import great_features
from mgm_jax.geometry.knn.in_pairs.rank import table_for_ranking
from mgm_jax.geometry.knn.scaled import Scaled
from mgm_jax.geometry.knn.tile import (
    PROGRESS_FROM,
    Nearest,
    SearchOptions,
    in_units,
    is_certified,
    pad_points,
    ranks_in_pairs,
    settle,
    takes_buckets,
    tile_sizes,
)
from mgm_jax.progress import progress

# Candidates beyond k in a scan in buckets, the first that settle so many rows of the first tile;
# before there are more of them, the scan keeps the rests of great features, if there are such.
# Each of them is ranked for every point, and how many are needed is a matter of the data: with 50
# neighbours 14 do for clouds of some 30 dimensions, however many features they have.
_MARGINS, _SETTLED = (14, 30, 60), 0.97


def nearest_in_cloud(
    x: jax.Array | np.ndarray,
    base: jax.Array | np.ndarray | None,
    options: SearchOptions,
) -> Nearest:
    """The k nearest points of the base to every query, on one device.

    Args:
        x: queries ``[n, d]``.
        base: points ``[m, d]``; None for the queries themselves, each left out of its own list.
        options: neighbours, distance, type of the scan, sizes of its tiles.

    Returns:
        Neighbours, with distances in the units of the points.
    """
    x, base = jnp.asarray(x), None if base is None else jnp.asarray(base)
    n, k, metric = x.shape[0], options.k, options.metric
    own = np.arange(n, dtype=np.int32) if base is None else np.full(n, -1, np.int32)
    with double_precision():
        everybody = None if base is None else np.ones(base.shape[0], bool)
        queries, targets, mean = scale_points(
            x, np.ones(n, bool), base, everybody, metric=metric, single=ranks_in_pairs()
        )
        m = targets.values.shape[0]
        tiles = tile_sizes(n, m, k, rows=options.tile_rows, columns=options.tile_columns)
        padded, present = pad_points(targets, multiple=tiles.columns)
        dtype = scan_dtype(options.precision, features=x.shape[1])
        table = scan_table(padded, mean, present, dtype=dtype)
        ranked = table_for_ranking(targets) if isinstance(targets, Scaled) else None
        margins: list[int | None] = [None]
        if takes_buckets(table, count=k + _MARGINS[0]):
            margins = [more for more in _MARGINS if takes_buckets(table, count=k + more)]
        parts, great = [], None
        with progress(
            "neighbours", total=n if n > PROGRESS_FROM else 0, unit="point", compiles=True
        ) as bar:
            for stop in range(tiles.rows, n + tiles.rows, tiles.rows):
                # The last tile reaches back, so that all tiles have one shape.
                rows = slice(min(stop, n) - tiles.rows, min(stop, n))
                tile = queries.take(rows)
                search = partial(
                    settle,
                    tile,
                    own[rows],
                    targets,
                    mean=mean,
                    k=k,
                    metric=metric,
                    tile=tiles.columns,
                    ranked=ranked,
                )
                result = search(table, more=margins[0], great=great)
                while not parts and len(margins) > 1 and not _is_mostly_certified(result):
                    if great is None and (great := great_features(table.points)) is not None:
                        table = scan_table(padded, mean, present, dtype=dtype, great=great)
                    else:
                        del margins[0]
                    result = search(table, more=margins[0], great=great)
                fresh = n - stop + tiles.rows
                parts.append([part[-min(fresh, tiles.rows) :] for part in result])
                # One tile is being ranked while the next is scanned; no more are kept waiting.
                jax.block_until_ready(parts[-2:][0])
                bar.advance(min(tiles.rows, fresh))
        distances, indices, unseen = (np.concatenate(part) for part in zip(*parts, strict=True))
        certified = is_certified(distances, unseen)
        left = np.flatnonzero(~certified)
        if left.size:
            distances[left], indices[left] = fall_back(
                Search(
                    queries=queries,
                    own=own,
                    targets=targets,
                    present=present[:m],
                    mean=mean,
                    k=k,
                    metric=metric,
                    ranked=ranked,
                ),
                left,
            )
        return Nearest(in_units(distances, queries, metric=metric), indices, certified)


def _is_mostly_certified(result: tuple[jax.Array, jax.Array, jax.Array]) -> bool:
    """Whether a scan has settled nearly all rows that more candidates could settle."""
    distances, _, unseen = map(np.asarray, result)
    # Below zero: left open by the ranking.
    could = unseen >= 0
    return is_certified(distances, unseen)[could].sum() >= _SETTLED * could.sum()
