"""Exact k nearest neighbours within each of many groups, batched by size."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache, partial

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, PartitionSpec
from jax.typing import DTypeLike

from mgm_jax.geometry.backend.precision import ScanPrecision, double_precision, scan_dtype
from mgm_jax.geometry.knn.distance import Metric, Points, mean_of, place, scan_table
from mgm_jax.geometry.knn.fallback import redo
from mgm_jax.geometry.knn.on_device import nearest_in_cloud
from mgm_jax.geometry.knn.on_mesh import nearest_on_mesh
from mgm_jax.geometry.knn.selection import NOBODY
from mgm_jax.geometry.knn.tile import PROGRESS_FROM, Nearest, in_units, is_certified, settle
from mgm_jax.geometry.points.groups import GroupBatch, Groups, group_batches
from mgm_jax.parallel.devices import fetch, shard_rows
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
    found = Nearest(
        np.full((n, k), np.inf, np.float32), np.full((n, k), NOBODY, np.int32), np.ones(n, bool)
    )
    large = groups.sizes > _LARGE_GROUP
    with progress("neighbours", total=n if n > PROGRESS_FROM else 0, unit="point") as bar:
        for code in np.flatnonzero(large):
            rows = np.flatnonzero(groups.codes == code).astype(np.int32)
            search = nearest_in_cloud if mesh is None else partial(nearest_on_mesh, mesh=mesh)
            part = search(x[rows], None, k=k, metric=metric, precision=precision)
            _write(found, rows, part)
            bar.advance(rows.size)
        with double_precision():
            points, _, _ = place(x, np.ones(n, bool), None, None, metric=metric)
            settle_batch = _batch_function(
                k, metric, scan_dtype(precision, features=features), mesh
            )
            for batch in group_batches(groups, max_points=max(1, _BATCH_VALUES // features)):
                if large[batch.groups[0]]:
                    continue
                _settle_groups(found, batch, points, settle_batch, mesh, metric=metric)
                bar.advance(int(batch.mask.sum()))
    return found


@lru_cache(maxsize=64)
def _batch_function(
    k: int, metric: Metric, dtype: DTypeLike, mesh: Mesh | None
) -> Callable[..., tuple[jax.Array, jax.Array, jax.Array]]:
    """One compiled function for all batches of one kind, spread over the mesh by groups."""

    def settle_groups(groups: Points, present: jax.Array):
        def one(group: tuple[Points, jax.Array]):
            points, here = group
            mean = mean_of(points, here)
            m = here.shape[0]
            return settle(
                points,
                jnp.arange(m, dtype=jnp.int32),
                points,
                scan_table(points, mean, here, dtype=dtype),
                mean,
                k=min(k, m),
                metric=metric,
                tile=m,
            )

        return jax.lax.map(one, (groups, present))

    if mesh is None:
        return jax.jit(settle_groups)
    spread = PartitionSpec(mesh.axis_names)
    return jax.jit(
        jax.shard_map(settle_groups, mesh=mesh, in_specs=spread, out_specs=spread, check_vma=False)
    )


def _settle_groups(
    found: Nearest,
    batch: GroupBatch,
    points: Points,
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
            part.distances[left], part.indices[left] = redo(
                group,
                left,
                np.arange(mask.size, dtype=np.int32),
                group,
                mask,
                mean_of(group, mask),
                k=distances.shape[1],
                metric=metric,
            )
        exact = in_units(part.distances, points, metric=metric)
        _write(found, members[mask], part._replace(distances=exact))


def _write(found: Nearest, members: np.ndarray, part: Nearest) -> None:
    """Put the neighbours within one group, numbered within it, where they belong."""
    k = part.indices.shape[1]
    nobody = part.indices == NOBODY
    found.indices[members, :k] = np.where(
        nobody, NOBODY, members[np.where(nobody, 0, part.indices)]
    )
    found.distances[members, :k] = part.distances
    found.certified[members] = part.certified
