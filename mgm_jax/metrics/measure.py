"""From points and their partition to the columns of the record: batches in, columns out."""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Sequence
from functools import partial

import jax
import numpy as np
from jax.sharding import Mesh

from mgm_jax.geometry.backend.workers import in_order, one_thread_a_product, workers_for
from mgm_jax.geometry.local.affinity import null_partners
from mgm_jax.geometry.nnk.candidates import candidates_of
from mgm_jax.geometry.points.groups import (
    GroupBatch,
    Groups,
    group_batches,
    points_of_batches_on_cpu,
    trimmed_batches,
)
from mgm_jax.metrics.large_groups import measure_large_group
from mgm_jax.metrics.local import Affinity, Local, LocalPcaColumns
from mgm_jax.metrics.options import Options
from mgm_jax.metrics.small_groups import GroupInputs, measure_batch
from mgm_jax.parallel.devices import fetch_rows, own_devices
from mgm_jax.parallel.processes import complete, own_share
from mgm_jax.progress import progress

MEASURED = (*Local._fields, *LocalPcaColumns._fields, *Affinity._fields)
"""Columns that :func:`measure_points` returns."""

# Bounds of a batch: 2^21 values of the points are 8 MiB of float32, and the k x k matrices of
# 1024 points at k = 50 are 20 MiB. Allocators keep blocks of that size instead of asking the
# system for fresh ones, which is slow. On a CPU a batch is the work of one core.
_BATCH_VALUES = 2**21
_BATCH_POINTS = 2**10


def measure_points(
    points: jax.Array | np.ndarray,
    groups: Groups,
    bandwidth: np.ndarray | None,
    options: Options,
    mesh: Mesh | None,
) -> dict[str, np.ndarray]:
    """Measure every point within its group.

    Args:
        points: ``[n, d]``, float32 on the host, or spread over the mesh.
        groups: their partition; a point alone in its group gets no candidates.
        bandwidth: of the Gaussian kernel, ``[n]``, or None.
        options: what to measure.
        mesh: devices to spread the groups over; None for one.

    Returns:
        The columns :data:`MEASURED`, each ``[n]`` float64; NaN where a point has no value.
    """
    n, width = points.shape
    columns = {name: np.full(n, np.nan) for name in MEASURED}
    on_cpu = mesh is None and jax.default_backend() == "cpu"
    workers = workers_for(None) if on_cpu else 1
    most = options.max_points or min(
        points_of_batches_on_cpu(n, workers=workers) if on_cpu else _BATCH_POINTS,
        max(1, _BATCH_VALUES // width),
    )
    if mesh is not None and mesh.is_multi_process:
        # Enough batches for every process to have some.
        most = min(most, -(-n // jax.process_count()))
    small, large = [], []
    batches = group_batches(groups, max_points=most, workers=workers)
    for batch in trimmed_batches(groups, batches):
        (small if batch.rows.shape[1] <= options.gram_limit else large).append(batch)

    everybody, near = small, own_devices(mesh)
    small = own_share(small, mesh)

    def measure(batch: GroupBatch, members: np.ndarray | None = None) -> dict[str, np.ndarray]:
        wanted = _wanted(groups, batch, options)
        rows = np.maximum(batch.rows, 0)
        widths = None if bandwidth is None else bandwidth[rows]
        if members is None:
            members = _points_at(np.asarray(points), rows)
        inputs = GroupInputs(members, batch.mask, wanted, widths)
        return measure_batch(inputs, options, near)

    with progress("manifold metrics", total=n, unit="point", compiles=True) as bar:

        def write(rows: np.ndarray, values: dict[str, np.ndarray]) -> None:
            for name, column in values.items():
                columns[name][rows] = column
            bar.advance(rows.size)

        with one_thread_a_product():
            if isinstance(points, jax.Array):
                results = (measure(*pair) for pair in _fetched(points, everybody, mesh))
            else:
                calls = [partial(measure, batch) for batch in small]
                results = in_order(calls, workers=workers_for(near))
            for batch, values in zip(small, results, strict=True):
                write(batch.rows[batch.mask], values)
        mine = [np.empty(0, np.int32), *(batch.rows[batch.mask] for batch in small)]
        complete(columns.values(), np.concatenate(mine), mesh)
        for batch in large:
            for code in batch.groups[batch.groups >= 0]:
                rows = np.flatnonzero(groups.codes == code)
                own = None if bandwidth is None else bandwidth[rows]
                partners = _partners(groups, code, options)
                write(rows, measure_large_group(points, rows, own, partners, options, mesh))
    # Two points are each other's only neighbour: their two segments are one, and the affinity
    # would be 1 whatever the points are.
    pairs = groups.sizes[groups.codes] == 2
    for name in Affinity._fields:
        columns[name][pairs] = np.nan
    return columns


def _fetched(
    points: jax.Array, batches: Sequence[GroupBatch], mesh: Mesh | None
) -> Iterator[tuple[GroupBatch, np.ndarray]]:
    """Batches of this process and their points, which never lie together but for one batch.

    All processes take part in every fetch, in the same order.
    """
    own = own_share(range(len(batches)), mesh)
    for number, batch in enumerate(batches):
        rows = np.maximum(batch.rows, 0)
        members = fetch_rows(points, rows.ravel()).astype(np.float32)
        if number in own:
            yield batch, members.reshape(*rows.shape, -1)


def _points_at(points: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """Points ``[G, m, d]`` at rows ``[G, m]``; a view where the rows follow each other."""
    first = int(rows[0, 0])
    if (rows.ravel() == first + np.arange(rows.size)).all():
        return points[first : first + rows.size].reshape(*rows.shape, -1)
    return points[rows]


def _wanted(groups: Groups, batch: GroupBatch, options: Options) -> np.ndarray:
    """Candidates of every point of each group of a batch, ``[G]`` int32; 0 where it has none."""
    wanted = np.zeros(batch.groups.size, np.int32)
    for index, code in enumerate(batch.groups):
        if code >= 0 and groups.sizes[code] > 1:
            wanted[index] = candidates_of(int(groups.sizes[code]), options.k)
    return wanted


def _partners(groups: Groups, code: int, options: Options) -> np.ndarray:
    """Random partners within a group, by its value and size: its company does not matter."""
    size = int(groups.sizes[code])
    value = zlib.crc32(str(groups.values[code]).encode())
    return null_partners(size, seed=(options.seed, value, size))
