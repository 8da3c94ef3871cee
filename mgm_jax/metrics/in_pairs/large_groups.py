"""Metrics of points of large groups without float64 on the device: three programs a group.

1. The cloud is put on the sphere, once.
2. Points are measured, some at a time; what their polytopes span stays on the device.
3. Their polytopes are compared with those of others.

All calls of these are under way before anything is waited for but memory: no program asks for what
the host makes of another's results, and none is compiled for a number that a result says. The Gram
matrices of the candidates leave after the second, and the host takes their eigenvalues while the
device goes on. What pairs or float32 have not settled is done in float64 on the host after the last
program, together with all that was compared with it.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from mgm_jax.geometry.backend.pairs import Pair, join_float64, split_float64
from mgm_jax.geometry.backend.workers import one_thread_a_product, threads
from mgm_jax.geometry.nnk.candidates import row_batches
from mgm_jax.geometry.nnk.in_pairs.distances import directions, from_lanes, gathered
from mgm_jax.geometry.nnk.in_pairs.programs import ROWS_AT_ONCE, width_in_pairs
from mgm_jax.geometry.nnk.kernel import KernelName
from mgm_jax.geometry.points.groups import padded_size
from mgm_jax.metrics.in_pairs.compare import compare_rows
from mgm_jax.metrics.in_pairs.frames import MAX_DEFECT
from mgm_jax.metrics.in_pairs.local import (
    PairLocal,
    columns_on_host,
    measure_in_pairs,
    pca_on_host,
)
from mgm_jax.metrics.in_pairs.subspaces import PairSubspaces
from mgm_jax.metrics.local import Affinity, Local, LocalPcaColumns
from mgm_jax.metrics.options import Options
from mgm_jax.parallel.cpus import available_cpus
from mgm_jax.parallel.devices import at_hand, fetch, shard_rows
from mgm_jax.parallel.spread_jit import SPREAD, WHOLE, spread_jit

# Batches whose results lie on the device while it makes the next, 20 MiB each for 50 candidates.
_WAITING = 4

OnHost = Callable[[np.ndarray], tuple[Local, LocalPcaColumns, Affinity]]
"""Measures some rows in float64 on the host."""


class Programs(NamedTuple):
    """The three programs of a large group: see the functions of these names."""

    prepare_cloud: Callable[..., tuple[jax.Array, Pair]]
    measure_rows: Callable[..., tuple[PairLocal, Pair, PairSubspaces]]
    compare_rows: Callable[..., tuple[Affinity, jax.Array]]


def programs_of(mesh: Mesh | None, *, kernel: KernelName, normalize: bool, k: int) -> Programs:
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
        spread_jit(compare_rows, mesh, inputs=(WHOLE, WHOLE, SPREAD, SPREAD), k=k),
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
        The columns ``[b]``, Gram matrices of the differences ``[b, k k]``, and the subspaces.
    """
    distances, gram, unit, lengths = gathered(points, rows, candidates, normalize=normalize)
    width = None if bandwidth is None else width_in_pairs(bandwidth, unit)
    local, support, spans = measure_in_pairs(distances, width, gram, lengths, unit, kernel=kernel)
    own = PairSubspaces.of(
        candidates,
        from_lanes(support, 1),
        from_lanes(spans.made_of.high, 2),
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
    # In rows, as they go to the host: a matrix a point would fill half of its tiles.
    rows_of = gram.map(lambda part: from_lanes(part.reshape(-1, *part.shape[2:]), 1))
    return local, rows_of, written


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
        points: ``[n, d]``, on the host, or spread over the mesh, where rows may follow that fill
            up its shares.
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
        # Between processes nothing more is filled up: they share the rows evenly.
        full = len(points)
    at_once = ROWS_AT_ONCE * devices
    batches = row_batches(max(n, min(full, at_once)), at_once=at_once)
    candidates, partners = _filled(candidates, full), _filled(partners, full)
    widths = None
    if bandwidth is not None:
        widths = np.stack(split_float64(_filled(bandwidth, full)), axis=-1)

    def spread(part: Any) -> jax.Array:
        return jax.device_put(part) if mesh is None else shard_rows(part, mesh)

    programs = programs_of(mesh, kernel=options.kernel, normalize=options.normalize, k=k)
    cloud = points if mesh is not None else _filled(np.asarray(points), full)
    raw, compared = programs.prepare_cloud(
        cloud if mesh is None else shard_rows(cloud, mesh, share=full // devices)
    )
    subspaces = _everywhere(PairSubspaces.empty(full, k), mesh)
    refused = np.zeros(full, bool)
    finish = partial(_finish, threshold=options.pca_threshold)
    # The eigenvalues of a batch take one core longer than the rest takes a device.
    workers = max(2, available_cpus() - 1)
    with one_thread_a_product(), threads(workers) as pool:
        host = _Behind(finish, pool, workers=workers)
        for rows in batches:
            inputs = [rows.astype(np.int32), candidates[rows]]
            local, gram, subspaces = programs.measure_rows(
                raw,
                subspaces,
                *map(spread, inputs),
                None if widths is None else spread(widths[rows]),
            )
            host.take(local, gram)
        parts = [
            programs.compare_rows(
                compared, subspaces, spread(rows.astype(np.int32)), spread(partners[rows])
            )
            for rows in batches
        ]
        for rows, (local, pca, doubtful) in zip(batches, host.results(), strict=True):
            write(rows, local, pca)
            refused[rows] = doubtful
    for rows, part in zip(batches, parts, strict=True):
        affinity, defect = jax.tree.map(fetch, part)
        write(rows, affinity)
        refused[rows] |= defect > MAX_DEFECT
    near, degree = (_one_copy(part) for part in subspaces[:2])
    present = np.arange(near.shape[1]) < degree[:, None]
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


class _Behind:
    """Finishes batches on the host, in order, while the device makes others.

    A few of them wait on the device, until their numbers are needed or their memory is.
    """

    def __init__(
        self, finish: Callable[..., Any], pool: ThreadPoolExecutor, *, workers: int
    ) -> None:
        self._finish, self._pool, self._workers = finish, pool, workers
        self._waiting: deque[tuple[PairLocal, Pair]] = deque()
        self._begun: list[Future[Any]] = []

    def take(self, local: PairLocal, gram: Pair) -> None:
        """Take the results of a call that may still be under way."""
        self._waiting.append((local, gram))
        if len(self._waiting) > _WAITING:
            self._begin()

    def results(self) -> Iterator[tuple[Local, LocalPcaColumns, np.ndarray]]:
        """Columns of all batches, and which of their points are refused."""
        while self._waiting:
            self._begin()
        for future in self._begun:
            yield future.result()

    def _begin(self) -> None:
        # What the host has not come to yet lies in its memory.
        if len(self._begun) >= 2 * self._workers:
            wait(self._begun[: -2 * self._workers + 1])
        local, gram = self._waiting.popleft()
        self._begun.append(self._pool.submit(self._finish, *jax.tree.map(fetch, (local, gram))))


def _finish(
    local: PairLocal, gram: Pair, *, threshold: float
) -> tuple[Local, LocalPcaColumns, np.ndarray]:
    """What the host does with a batch: columns, and which points are refused."""
    b, values = gram.shape
    k = math.isqrt(values)
    wide = join_float64(gram).reshape(b, k, k)
    pca, doubtful = pca_on_host(wide, np.ones((b, k), bool), threshold=threshold)
    return columns_on_host(local), pca, doubtful | np.asarray(local.refused)
