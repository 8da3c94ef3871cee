"""From points and their partition to the columns of the record: batches in, columns out."""

from __future__ import annotations

import zlib

import numpy as np
from jax.sharding import Mesh

from mgm_jax.geometry.affinity import NULL_PAIRS, null_partners
from mgm_jax.geometry.candidates import candidates_of
from mgm_jax.geometry.groups import GroupBatch, Groups, group_batches
from mgm_jax.metrics.large_groups import measure_large_group
from mgm_jax.metrics.local import Affinity, Local, LocalPcaColumns
from mgm_jax.metrics.options import Options
from mgm_jax.metrics.small_groups import finish_batch, start_batch
from mgm_jax.progress import progress

MEASURED = (*Local._fields, *LocalPcaColumns._fields, *Affinity._fields)
"""Columns that :func:`measure_points` returns."""

# Bounds of a batch: 2^22 values of the points are 16 MiB of float32, and the k x k matrices of
# 4096 points at k = 50 are 80 MiB.
_BATCH_VALUES = 2**22
_BATCH_POINTS = 2**12


def measure_points(
    points: np.ndarray,
    groups: Groups,
    bandwidth: np.ndarray | None,
    options: Options,
    mesh: Mesh | None,
) -> dict[str, np.ndarray]:
    """Measure every point within its group.

    Args:
        points: ``[n, d]`` float32 on the host.
        groups: their partition; a point alone in its group gets no candidates.
        bandwidth: of the Gaussian kernel, ``[n]``, or None.
        options: what to measure.
        mesh: devices to spread the groups over; None for one.

    Returns:
        The columns :data:`MEASURED`, each ``[n]`` float64.
    """
    n, width = points.shape
    columns = {name: np.full(n, np.nan) for name in MEASURED}
    most = options.max_points or min(_BATCH_POINTS, max(1, _BATCH_VALUES // width))

    def write(rows: np.ndarray, values: dict[str, np.ndarray]) -> None:
        for name, column in values.items():
            columns[name][rows] = column
        bar.advance(rows.size)

    def finish(batch: GroupBatch, started: tuple) -> None:
        write(batch.rows[batch.mask], finish_batch(started, batch.mask, options))

    with progress("manifold metrics", total=n, unit="point") as bar:
        running = None
        for batch in group_batches(groups, max_points=most):
            widths = None if bandwidth is None else bandwidth[np.maximum(batch.rows, 0)]
            if batch.rows.shape[1] <= options.gram_limit:
                wanted, partners = _draw(groups, batch, options)
                inside = points[np.maximum(batch.rows, 0)]
                started = start_batch(inside, batch.mask, wanted, partners, widths, options, mesh)
                # The device works on this batch while the host finishes the one before.
                if running is not None:
                    finish(*running)
                running = batch, started
                continue
            for place, code in enumerate(batch.groups):
                if code >= 0:
                    rows = batch.rows[place][batch.mask[place]]
                    partners = _partners(groups, code, options)
                    own = None if widths is None else widths[place][batch.mask[place]]
                    write(rows, measure_large_group(points[rows], own, partners, options, mesh))
        if running is not None:
            finish(*running)
    return columns


def _draw(groups: Groups, batch: GroupBatch, options: Options) -> tuple[np.ndarray, np.ndarray]:
    """Candidates of every group of a batch, and random partners of every point."""
    wanted = np.zeros(batch.groups.size, np.int32)
    partners = np.full((*batch.rows.shape, NULL_PAIRS), -1, np.int32)
    for place, code in enumerate(batch.groups):
        if code >= 0 and groups.sizes[code] > 1:
            wanted[place] = candidates_of(int(groups.sizes[code]), options.k)
            drawn = _partners(groups, code, options)
            partners[place, : drawn.shape[0], : drawn.shape[1]] = drawn
    return wanted, partners


def _partners(groups: Groups, code: int, options: Options) -> np.ndarray:
    """Random partners within a group, by its value and size: its company does not matter."""
    size = int(groups.sizes[code])
    value = zlib.crc32(str(groups.values[code]).encode())
    return null_partners(size, seed=(options.seed, value, size))
