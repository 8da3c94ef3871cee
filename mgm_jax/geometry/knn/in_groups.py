"""Exact k nearest neighbours within each of many groups, batched by size."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh
from jax.typing import DTypeLike

from mgm_jax.geometry.backend.precision import ScanPrecision, double_precision, scan_dtype
from mgm_jax.geometry.knn.distance import Metric, Points, mean_of, scale_points, scan_table
from mgm_jax.geometry.knn.fallback import Search, fall_back
from mgm_jax.geometry.knn.mesh.on_mesh import nearest_on_mesh
from mgm_jax.geometry.knn.on_device import nearest_in_cloud
from mgm_jax.geometry.knn.scaled import Scaled
from mgm_jax.geometry.knn.selection import NOBODY
from mgm_jax.geometry.knn.tile import (
    PROGRESS_FROM,
    Nearest,
    SearchOptions,
    in_units,
    is_certified,
    ranks_in_pairs,
    settle,
)
from mgm_jax.geometry.points.groups import GroupBatch, Groups, group_batches
from mgm_jax.parallel.devices import fetch, shard_rows
from mgm_jax.parallel.spread_jit import spread_jit
from mgm_jax.progress import progress

# A batch of groups holds at most this many values; larger groups are clouds of their own.
_BATCH_VALUES = 2**25
# This is one of the padded sizes, so no batch holds both kinds.
_LARGE_GROUP = 4096


def nearest_in_groups(
    x: jax.Array,
    groups: Groups,
    *,
    k: int,
    metric: Metric,
    precision: ScanPrecision,
    mesh: Mesh | None = None,
) -> Nearest:
    """The k nearest points of its own group to every point.

    Args:
        x: points ``[n, d]``.
        groups: their partition; a group of k points or fewer leaves places unfilled.
        k: number of neighbours.
        metric: which distance.
        precision: type of the scan.
        mesh: devices that the groups are spread over; None for one.

    Returns:
        Neighbours by their rows in x, with distances in the units of the points.
    """
    n, features = x.shape
    results = Nearest(
        np.full((n, k), np.inf, np.float32), np.full((n, k), NOBODY, np.int32), np.ones(n, bool)
    )
    options = SearchOptions(k=k, metric=metric, precision=precision)
    large = groups.sizes > _LARGE_GROUP
    with progress(
        "neighbours", total=n if n > PROGRESS_FROM else 0, unit="point", compiles=True
    ) as bar:
        for code in np.flatnonzero(large):
            rows = np.flatnonzero(groups.codes == code).astype(np.int32)
            search = nearest_in_cloud if mesh is None else partial(nearest_on_mesh, mesh=mesh)
            part = search(x[rows], None, options)
            _write(results, rows, part)
            bar.advance(rows.size)
        with double_precision():
            points, _, _ = scale_points(
                x, np.ones(n, bool), None, None, metric=metric, single=ranks_in_pairs()
            )
            dtype = scan_dtype(precision, features=features)
            settle_batch = spread_jit(_settle_batch, mesh, k=k, metric=metric, dtype=dtype)
            for batch in group_batches(groups, max_points=max(1, _BATCH_VALUES // features)):
                if large[batch.groups[0]]:
                    continue
                _settle_groups(results, batch, points, settle_batch, mesh, metric=metric)
                bar.advance(int(batch.mask.sum()))
    return results


def _settle_batch(
    groups: Points | Scaled, present: jax.Array, *, k: int, metric: Metric, dtype: DTypeLike
) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Neighbours within all groups of a batch, one group after the other."""

    def one(group: tuple[Points | Scaled, jax.Array]) -> tuple[jax.Array, jax.Array, jax.Array]:
        points, mask = group
        mean = mean_of(points, mask)
        m = mask.shape[0]
        return settle(
            points,
            jnp.arange(m, dtype=jnp.int32),
            points,
            scan_table(points, mean, mask, dtype=dtype),
            mean,
            k=min(k, m),
            metric=metric,
            tile=m,
        )

    return jax.lax.map(one, (groups, present))


def _settle_groups(
    results: Nearest,
    batch: GroupBatch,
    points: Points | Scaled,
    settle_batch: Callable[..., tuple[jax.Array, jax.Array, jax.Array]],
    mesh: Mesh | None,
    *,
    metric: Metric,
) -> None:
    """Fill in the rows of one batch."""
    count = batch.groups.size
    more = 0 if mesh is None else -count % mesh.size
    rows = np.pad(batch.rows, ((0, more), (0, 0)), constant_values=-1)
    inputs = points.take(np.maximum(rows, 0)), rows >= 0
    if mesh is not None:
        inputs = jax.tree.map(partial(shard_rows, mesh=mesh), inputs)
    result = settle_batch(*inputs)
    for members, mask, *parts in zip(
        batch.rows, batch.mask, *(fetch(part) for part in result), strict=False
    ):
        distances, indices, unseen = (part[mask] for part in parts)
        part = Nearest(distances, indices, is_certified(distances, unseen))
        left = np.flatnonzero(~part.certified)
        if left.size:
            chosen = np.maximum(members, 0)
            group = points.take(chosen)
            part.distances[left], part.indices[left] = fall_back(
                Search(
                    queries=group,
                    own=np.arange(mask.size, dtype=np.int32),
                    targets=group,
                    present=mask,
                    mean=mean_of(group, mask),
                    k=distances.shape[1],
                    metric=metric,
                ),
                left,
            )
        exact = in_units(part.distances, points, metric=metric)
        _write(results, members[mask], part._replace(distances=exact))


def _write(results: Nearest, members: np.ndarray, part: Nearest) -> None:
    """Put the neighbours within one group, numbered within it, where they belong."""
    k = part.indices.shape[1]
    nobody = part.indices == NOBODY
    results.indices[members, :k] = np.where(
        nobody, NOBODY, members[np.where(nobody, 0, part.indices)]
    )
    results.distances[members, :k] = part.distances
    results.certified[members] = part.certified
