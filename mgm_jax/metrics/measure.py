"""From points and their partition to the columns of the record: batches in, columns out."""

from __future__ import annotations

import zlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, PartitionSpec

from mgm_jax.geometry.affinity import NULL_PAIRS, null_partners
from mgm_jax.geometry.candidates import (
    GRAM_LIMIT,
    candidates_of,
    nearest_in_cloud_of,
    row_batches,
)
from mgm_jax.geometry.groups import GroupBatch, Groups, group_batches
from mgm_jax.geometry.kernel import KernelName
from mgm_jax.geometry.precision import double_precision
from mgm_jax.metrics.large_groups import Subspaces, compare_rows, measure_rows
from mgm_jax.metrics.local import Affinity, Local
from mgm_jax.metrics.small_groups import measure_groups
from mgm_jax.progress import Bar, progress

# Values of the points of one batch: 2^23 float32 values are 32 MiB.
_BATCH_VALUES = 2**23


@dataclass(frozen=True, kw_only=True)
class Options:
    """What :func:`mgm_jax.metrics.manifold.manifold_metrics` was asked for, checked."""

    k: int | None
    kernel: KernelName
    normalize: bool
    pca_threshold: float
    seed: int
    max_points: int | None
    gram_limit: int = GRAM_LIMIT


def measure_points(
    points: np.ndarray,
    groups: Groups,
    bandwidth: np.ndarray | None,
    options: Options,
    mesh: Mesh | None,
) -> dict[str, np.ndarray]:
    """Measure every point within its group.

    Args:
        points: ``[n, d]`` on the host.
        groups: their partition; a point alone in its group gets no candidates.
        bandwidth: of the Gaussian kernel, ``[n]``, or None.
        options: what to measure.
        mesh: devices to spread the groups over; None for one.

    Returns:
        The columns of ``Local`` and ``Affinity``, each ``[n]`` float64.
    """
    n, width = points.shape
    columns = {name: np.full(n, np.nan) for name in (*Local._fields, *Affinity._fields)}
    most = options.max_points or max(1, _BATCH_VALUES // width)
    with progress("manifold metrics", total=n, unit="point") as bar:
        for batch in group_batches(groups, max_points=most):
            if batch.rows.shape[1] > options.gram_limit:
                for code in batch.groups[batch.groups >= 0]:
                    rows = batch.rows[batch.groups == code][0]
                    rows = rows[rows >= 0]
                    bandwidths = _take(bandwidth, rows)
                    key = _key(groups, code)
                    part = _measure_large(points[rows], key, bandwidths, options, mesh, bar)
                    _write(columns, rows, part)
            else:
                part = _measure_small(points, groups, batch, bandwidth, options, mesh)
                _write(columns, batch.rows[batch.mask], part)
                bar.advance(int(batch.mask.sum()))
    return columns


def _measure_small(
    points: np.ndarray,
    groups: Groups,
    batch: GroupBatch,
    bandwidth: np.ndarray | None,
    options: Options,
    mesh: Mesh | None,
) -> dict[str, np.ndarray]:
    count, m = batch.rows.shape
    wanted = np.zeros(count, np.int32)
    partners = np.full((count, m, NULL_PAIRS), -1, np.int32)
    for place, code in enumerate(batch.groups):
        size = int(batch.mask[place].sum())
        if size > 1:
            wanted[place] = candidates_of(size, options.k)
            drawn = null_partners(size, seed=(options.seed, _key(groups, code), size))
            partners[place, :size, : drawn.shape[1]] = drawn
    rows = np.maximum(batch.rows, 0)
    inputs = [points[rows], batch.mask, wanted, partners]
    if bandwidth is not None:
        inputs.append(bandwidth[rows])
    if mesh is not None:
        more = -count % mesh.size
        inputs = [np.pad(part, [(0, more)] + [(0, 0)] * (part.ndim - 1)) for part in inputs]
    measure = _group_function(
        min(candidates_of(m, options.k), m - 1),
        options.kernel,
        options.normalize,
        options.pca_threshold,
        mesh,
    )
    with double_precision():
        parts = measure(*inputs)
        columns = _columns(*parts)
    return {name: column[:count][batch.mask] for name, column in columns.items()}


@lru_cache(maxsize=64)
def _group_function(
    k: int, kernel: KernelName, normalize: bool, pca_threshold: float, mesh: Mesh | None
) -> Callable[..., tuple[Local, Affinity]]:
    """One compiled function for all batches of one kind, spread over the mesh by groups."""

    def measure(points, mask, wanted, partners, bandwidth=None):
        return measure_groups(
            points,
            mask,
            wanted,
            partners,
            bandwidth,
            k=k,
            kernel=kernel,
            normalize=normalize,
            pca_threshold=pca_threshold,
        )

    if mesh is None:
        return jax.jit(measure)
    spread = PartitionSpec(mesh.axis_names)
    return jax.jit(
        jax.shard_map(measure, mesh=mesh, in_specs=spread, out_specs=spread, check_vma=False)
    )


def _measure_large(
    points: np.ndarray,
    key: int,
    bandwidth: np.ndarray | None,
    options: Options,
    mesh: Mesh | None,
    bar: Bar,
) -> dict[str, np.ndarray]:
    size = len(points)
    k = candidates_of(size, options.k)
    candidates = nearest_in_cloud_of(points, k=k, on_sphere=options.normalize, mesh=mesh)
    partners = null_partners(size, seed=(options.seed, key, size))
    batches = row_batches(size)
    mask = np.ones((batches[0].size, k), bool)
    columns = {name: np.empty(size) for name in (*Local._fields, *Affinity._fields)}
    found = []
    with double_precision():
        cloud = jnp.asarray(points)
        for rows in batches:
            local, spans = measure_rows(
                cloud,
                rows,
                candidates[rows],
                mask,
                _take(bandwidth, rows),
                kernel=options.kernel,
                normalize=options.normalize,
                pca_threshold=options.pca_threshold,
            )
            _write(columns, rows, _columns(local))
            found.append(_without_empty(spans))
        spans = _assemble(size, batches, found)
        for rows in batches:
            compared = compare_rows(cloud, spans, rows, partners[rows], normalize=options.normalize)
            _write(columns, rows, _columns(compared))
            bar.advance(rows.size)
    return columns


def _without_empty(spans: Subspaces) -> Subspaces:
    """Leave out the columns in which no point of the batch has a neighbour."""
    p = max(1, int(np.asarray(spans.present).sum(axis=1).max()))
    return Subspaces(
        np.asarray(spans.neighbours)[:, :p],
        np.asarray(spans.present)[:, :p],
        np.asarray(spans.inverse)[:, :p, :p],
        np.asarray(spans.dimension),
    )


def _assemble(size: int, batches: list[np.ndarray], found: list[Subspaces]) -> Subspaces:
    """Put the batches together, as wide as the widest, in steps of 8 so that few shapes occur."""
    p = -(-max(part.present.shape[1] for part in found) // 8) * 8
    whole = Subspaces(
        np.zeros((size, p), np.int32),
        np.zeros((size, p), bool),
        np.zeros((size, p, p)),
        np.zeros(size, np.int32),
    )
    for rows, part in zip(batches, found, strict=True):
        width = part.present.shape[1]
        whole.neighbours[rows, :width] = part.neighbours
        whole.present[rows, :width] = part.present
        whole.inverse[rows, :width, :width] = part.inverse
        whole.dimension[rows] = part.dimension
    return whole


def _columns(*parts: Local | Affinity) -> dict[str, np.ndarray]:
    return {name: np.asarray(c) for part in parts for name, c in part._asdict().items()}


def _write(columns: dict[str, np.ndarray], rows: np.ndarray, values: dict[str, np.ndarray]) -> None:
    for name, column in values.items():
        columns[name][rows] = column


def _take(values: np.ndarray | None, rows: np.ndarray) -> np.ndarray | None:
    return None if values is None else values[rows]


def _key(groups: Groups, code: int) -> int:
    """What the random pairs of a group depend on: its value, not its place among the groups."""
    return zlib.crc32(str(groups.values[code]).encode())
