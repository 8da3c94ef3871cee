"""Metrics of points of large groups without float64 on the device: three programs a group.

1. The cloud is put on the sphere, once.
2. Points are measured, some at a time; what their polytopes span stays on the device.
3. Their polytopes are compared with those of others.

No result goes back to the device. What pairs or float32 have not settled is done in float64 on the
host after the last program, together with all that was compared with it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import chain
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from mgm_jax.geometry.backend.pairs import Pair, join_float64, split_float64
from mgm_jax.geometry.backend.workers import one_thread_a_product
from mgm_jax.geometry.nnk.candidates import row_batches
from mgm_jax.geometry.nnk.in_pairs.distances import directions, from_lanes, gathered
from mgm_jax.geometry.nnk.in_pairs.programs import ROWS_AT_ONCE, width_in_pairs
from mgm_jax.geometry.nnk.kernel import KernelName
from mgm_jax.geometry.points.groups import padded_size
from mgm_jax.metrics.in_pairs.frames import MAX_DEFECT, frames_of
from mgm_jax.metrics.in_pairs.local import (
    PairLocal,
    columns_on_host,
    measure_in_pairs,
    pca_on_host,
)
from mgm_jax.metrics.local import (
    Affinity,
    Local,
    LocalPcaColumns,
    affinities,
    first_neighbours,
)
from mgm_jax.metrics.options import Options
from mgm_jax.parallel.devices import at_hand, fetch, shard_rows
from mgm_jax.parallel.spread_jit import SPREAD, WHOLE, spread_jit

# Values of the differences that are gathered at once, of each of two parts: 64 MiB.
_GATHERED_VALUES = 2**24
# Batches that the host finishes while the device works on the next.
_WAITING = 2

_HIGHEST = lax.Precision.HIGHEST

OnHost = Callable[[np.ndarray], tuple[Local, LocalPcaColumns, Affinity]]
"""Measures some rows in float64 on the host."""


class PairSubspaces(NamedTuple):
    """Spans of the polytopes of n points.

    Attributes:
        neighbours: rows of the neighbours ``[n, k]`` int32.
        present: which of them count ``[n, k]`` bool, from the front.
        made_of: coefficients of the differences to them in a frame of the span ``[n, k, k]``
            float32.
        dimension: ``[n]`` int32.
        unit: of the differences, a power of two ``[n]`` float32.
    """

    neighbours: Any
    present: Any
    made_of: Any
    dimension: Any
    unit: Any

    @classmethod
    def empty(cls, n: int, k: int) -> PairSubspaces:
        """Of n points that are not measured yet."""
        return cls(
            np.zeros((n, k), np.int32),
            np.zeros((n, k), bool),
            np.zeros((n, k, k), np.float32),
            np.zeros(n, np.int32),
            np.ones(n, np.float32),
        )


class Programs(NamedTuple):
    """The three programs of a large group: see the functions of these names."""

    prepare_cloud: Callable[..., tuple[jax.Array, Pair]]
    measure_rows: Callable[..., tuple[PairLocal, Pair, PairSubspaces]]
    compare_rows: Callable[..., tuple[Affinity, jax.Array]]


def programs_of(mesh: Mesh | None, *, kernel: KernelName, normalize: bool, p: int) -> Programs:
    """Compile the programs for a mesh, whose devices all hold the cloud and share the rows."""
    axis = None if mesh is None else mesh.axis_names
    measure = {"kernel": kernel, "normalize": normalize, "axis": axis}
    return Programs(
        spread_jit(prepare_cloud, mesh, outputs=WHOLE, normalize=normalize, axis=axis),
        spread_jit(
            measure_rows,
            mesh,
            inputs=(WHOLE, WHOLE, SPREAD, SPREAD, SPREAD),
            outputs=(SPREAD, SPREAD, WHOLE),
            donate=(1,),
            **measure,
        ),
        spread_jit(compare_rows, mesh, inputs=(WHOLE, WHOLE, SPREAD, SPREAD), p=p),
    )


def prepare_cloud(
    points: jax.Array, *, normalize: bool, axis: str | tuple[str, ...] | None
) -> tuple[jax.Array, Pair]:
    """Bring a cloud to every device, from device to device.

    Args:
        points: this device's rows of the cloud ``[n, d]``, float32 or bfloat16.
        normalize: whether the cloud is meant on the unit sphere.
        axis: of the mesh; None for one device.

    Returns:
        The whole cloud in float32; and as it is compared, in pairs on the sphere, or the same.
    """
    points = points.astype(jnp.float32)
    placed = directions(points) if normalize else Pair(points, None)
    if axis is not None:
        points, placed = jax.tree.map(
            lambda part: lax.all_gather(part, axis, tiled=True), (points, placed)
        )
    return points, placed


def measure_rows(
    points: jax.Array,
    subspaces: PairSubspaces,
    rows: jax.Array,
    candidates: jax.Array,
    bandwidth: jax.Array | None,
    *,
    kernel: KernelName,
    normalize: bool,
    axis: str | tuple[str, ...] | None,
) -> tuple[PairLocal, Pair, PairSubspaces]:
    """Measure some points of a cloud.

    Args:
        points: the cloud ``[n, d]`` float32.
        subspaces: of all its points, which those of these rows are written into.
        rows: the points, one after the other ``[b]`` int.
        candidates: rows of their candidates ``[b, k]`` int.
        bandwidth: of the Gaussian, high and low parts ``[b, 2]``, or None.
        kernel: kernel of the regression.
        normalize: whether the cloud is meant on the unit sphere.
        axis: of the mesh whose devices have the rows before and after these; None for one device.

    Returns:
        The columns ``[b]``, Gram matrices of the differences ``[b, k, k]``, and the subspaces.
    """
    distances, gram, unit, lengths = gathered(points, rows, candidates, normalize=normalize)
    width = None if bandwidth is None else width_in_pairs(bandwidth, unit)
    local, support, spans = measure_in_pairs(distances, width, gram, lengths, unit, kernel=kernel)
    k = candidates.shape[1]
    chosen, present = first_neighbours(from_lanes(support, 1), p=k)
    made_of = from_lanes(spans.made_of.high, 2)
    made_of = jnp.take_along_axis(made_of, chosen[:, None], axis=2)
    own = PairSubspaces(
        jnp.take_along_axis(candidates, chosen, axis=1),
        present,
        jnp.where(present[:, None], made_of, 0),
        from_lanes(spans.dimension, 0),
        local.unit,
    )
    first = rows[0]
    if axis is not None:
        own = jax.tree.map(lambda part: lax.all_gather(part, axis, tiled=True), own)
        first -= lax.axis_index(axis) * rows.size
    written = jax.tree.map(
        lambda whole, part: lax.dynamic_update_slice_in_dim(whole, part, first, 0),
        subspaces,
        own,
    )
    return local, gram.map(from_lanes, axes=2), written


def compare_rows(
    cloud: Pair, subspaces: PairSubspaces, rows: jax.Array, partners: jax.Array, *, p: int
) -> tuple[Affinity, jax.Array]:
    """Compare the subspaces of some points with those of their neighbours and of chance.

    Args:
        cloud: from :func:`prepare_cloud`, ``[n, d]``.
        subspaces: of all its points.
        rows: points to compare ``[b]`` int.
        partners: rows of random partners ``[b, r]`` int, -1 for none.
        p: neighbours to look at, no fewer than any point has.

    Returns:
        Columns, each ``[b]`` float32; and how far the frames of the points are from orthonormal
        ``[b]``.
    """
    near, present, made_of = subspaces.neighbours, subspaces.present, subspaces.made_of
    near, present, made_of = near[:, :p], present[:, :p], made_of[:, :p, :p]
    others = jnp.concatenate([near[rows], jnp.maximum(partners, 0)], axis=1)
    counted = jnp.concatenate([present[rows], partners >= 0], axis=1)

    def differences(row: jax.Array) -> jax.Array:
        chosen = near[row]
        gap = cloud.high[chosen] - cloud.high[row]
        if cloud.low is not None:
            gap += cloud.low[chosen] - cloud.low[row]
        return gap / subspaces.unit[row]

    def block(pair: tuple[jax.Array, jax.Array]) -> tuple[jax.Array, jax.Array]:
        row, compared = pair
        frame, defect = frames_of(made_of[row], differences(row), subspaces.dimension[row])
        # One product of all: the features are summed over once for every two differences.
        gaps = jax.vmap(differences)(compared)
        cross = jnp.einsum("sd,cbd->csb", frame, gaps, precision=_HIGHEST)
        both = jnp.einsum("csb,ctb->cst", cross, made_of[compared], precision=_HIGHEST)
        return jnp.sum(both * both, axis=(1, 2)), defect

    values = others.shape[1] * p * cloud.high.shape[1]
    together = max(1, min(rows.size, _GATHERED_VALUES // values))
    overlap, defect = lax.map(block, (rows, others), batch_size=together)
    dimensions = subspaces.dimension[rows], subspaces.dimension[others]
    width = cloud.high.shape[1]
    return affinities(overlap, counted, *dimensions, width, near=p), defect


def measure_in_three_programs(
    points: jax.Array | np.ndarray,
    candidates: np.ndarray,
    bandwidth: np.ndarray | None,
    partners: np.ndarray,
    options: Options,
    mesh: Mesh | None,
    on_host: OnHost,
) -> dict[str, np.ndarray]:
    """Measure all points of one group.

    Args:
        points: ``[n, d]``, on the host or spread over the mesh.
        candidates: rows of their candidates ``[n, k]``.
        bandwidth: of the Gaussian kernel, ``[n]``, or None.
        partners: random rows for the null, ``[n, r]`` int.
        options: what to measure.
        mesh: devices to spread the rows over; None for one.
        on_host: for the points that are not settled.

    Returns:
        Columns, each ``[n]`` float64.
    """
    n, k = candidates.shape
    names = (*Local._fields, *LocalPcaColumns._fields, *Affinity._fields)
    columns = {name: np.empty(n) for name in names}

    def write(rows: np.ndarray, *records: Local | LocalPcaColumns | Affinity) -> None:
        real = rows < n
        for record in records:
            for name, column in record._asdict().items():
                columns[name][rows[real]] = column[real]

    # Groups of about one size share a compilation.
    devices = 1 if mesh is None else mesh.size
    full = -(-padded_size(n) // devices) * devices
    if not at_hand(points):
        # Between processes nothing is filled up: they share the rows evenly.
        full = n
    at_once = ROWS_AT_ONCE * devices
    batches = row_batches(max(n, min(full, at_once)), at_once=at_once)
    candidates, partners = _filled(candidates, full), _filled(partners, full)
    widths = None
    if bandwidth is not None:
        widths = np.stack(split_float64(_filled(bandwidth, full)), axis=-1)

    def spread(part: Any) -> jax.Array:
        return jax.device_put(part) if mesh is None else shard_rows(part, mesh)

    make = partial(programs_of, mesh, kernel=options.kernel, normalize=options.normalize)
    programs = make(p=k)
    cloud = points if mesh is not None else _filled(np.asarray(points), full)
    raw, compared = programs.prepare_cloud(
        cloud if mesh is None else shard_rows(cloud, mesh, share=full // devices)
    )
    subspaces = _everywhere(PairSubspaces.empty(full, k), mesh)

    def measured() -> Iterator[tuple[PairLocal, Pair]]:
        nonlocal subspaces
        for rows in batches:
            inputs = [rows.astype(np.int32), candidates[rows]]
            local, gram, subspaces = programs.measure_rows(
                raw,
                subspaces,
                *map(spread, inputs),
                None if widths is None else spread(widths[rows]),
            )
            yield local, gram

    refused, degree = np.zeros(full, bool), np.zeros(full, np.int32)
    finish = partial(_finish, threshold=options.pca_threshold)
    for rows, (local, pca, doubtful, count) in zip(
        batches, _behind(finish, measured()), strict=True
    ):
        write(rows, local, pca)
        refused[rows], degree[rows] = doubtful, count
    compare = make(p=min(k, max(1, -(-int(degree[:n].max()) // 8)) * 8)).compare_rows
    parts = [
        compare(compared, subspaces, spread(rows.astype(np.int32)), spread(partners[rows]))
        for rows in batches
    ]
    for rows, part in zip(batches, parts, strict=True):
        affinity, defect = jax.tree.map(fetch, part)
        write(rows, affinity)
        refused[rows] |= defect > MAX_DEFECT
    near, present = (_one_copy(part) for part in subspaces[:2])
    met = np.any(present & refused[near], axis=1)
    met |= np.any((partners >= 0) & refused[np.maximum(partners, 0)], axis=1)
    unsettled = np.flatnonzero((refused | met)[:n])
    if unsettled.size:
        write(unsettled, *on_host(unsettled))
    return columns


def _everywhere(tree: Any, mesh: Mesh | None) -> Any:
    """Arrays that every device holds."""
    if mesh is None:
        return jax.device_put(tree)
    target = NamedSharding(mesh, PartitionSpec())

    def put(part: np.ndarray) -> jax.Array:
        return jax.make_array_from_callback(part.shape, target, lambda index: part[index])

    return jax.tree.map(put, tree)


def _one_copy(x: jax.Array) -> np.ndarray:
    """An array that every device holds, on the host."""
    return np.asarray(x.addressable_data(0))


def _filled(rows: np.ndarray, count: int) -> np.ndarray:
    """Rows filled up with zeros."""
    return np.pad(rows, [(0, count - len(rows))] + [(0, 0)] * (rows.ndim - 1))


def _behind(
    finish: Callable[..., Any], results: Iterator[tuple[PairLocal, Pair]]
) -> Iterator[tuple[Local, LocalPcaColumns, np.ndarray, np.ndarray]]:
    """Finish results on the host, in order, while the device makes the next."""
    waiting: list[Any] = []
    with one_thread_a_product(), ThreadPoolExecutor(_WAITING) as pool:
        # One more is under way when the one before it is fetched.
        before = next(results)
        for result in chain(results, [None]):
            waiting.append(pool.submit(finish, *jax.tree.map(fetch, before)))
            before = result
            if len(waiting) > _WAITING:
                yield waiting.pop(0).result()
        for left in waiting:
            yield left.result()


def _finish(
    local: PairLocal, gram: Pair, *, threshold: float
) -> tuple[Local, LocalPcaColumns, np.ndarray, np.ndarray]:
    """What the host does with a batch: columns, which points are refused, and their degrees."""
    wide = join_float64(gram)
    mask = np.ones(wide.shape[:2], bool)
    pca, doubtful = pca_on_host(wide, mask, threshold=threshold)
    doubtful |= np.asarray(local.refused)
    return columns_on_host(local), pca, doubtful, np.asarray(local.degree)
