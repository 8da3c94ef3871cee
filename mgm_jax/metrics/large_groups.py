"""Metrics of points of large groups: candidates from a k-NN graph, gathered block by block.

One pass measures every point and keeps the subspace of each as a list of neighbours and a small
inverse; a second pass compares the subspaces. The matrix of all pairs never exists, but in the
second pass on a CPU where it is small. Where float64 is slow, ``in_pairs`` does the same without.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.sharding import Mesh

from mgm_jax.geometry.backend.precision import double_precision
from mgm_jax.geometry.backend.wide import on_host, wide_arithmetic
from mgm_jax.geometry.backend.workers import in_order, one_thread_a_product, workers_for
from mgm_jax.geometry.knn.cpu.by_gram import CloudGram
from mgm_jax.geometry.local.affinity import inverse_on_span, pair_overlap
from mgm_jax.geometry.local.overlaps_in_cloud import CloudOverlaps
from mgm_jax.geometry.local.polytopes_in_cloud import CloudPolytopes
from mgm_jax.geometry.local.projectors_in_cloud import CloudProjectors, suit_projectors
from mgm_jax.geometry.local.spans_on_cpu import inverses_on_host
from mgm_jax.geometry.local.spectrum import centred_gram
from mgm_jax.geometry.nnk.candidates import (
    ROWS_AT_ONCE,
    candidates_of,
    nearest_in_cloud_of,
    row_batches,
)
from mgm_jax.geometry.nnk.grams_from_cloud import cloud_gram_if_worth
from mgm_jax.geometry.nnk.kernel import KernelName
from mgm_jax.geometry.nnk.neighbourhood import from_differences, gathered_differences
from mgm_jax.geometry.nnk.settle import settle_rows
from mgm_jax.geometry.points.groups import padded_size
from mgm_jax.metrics.in_pairs.large_groups import measure_in_three_programs
from mgm_jax.metrics.local import (
    Affinity,
    Local,
    LocalPcaColumns,
    affinities,
    first_neighbours,
    measure_local,
    pca_columns,
    take_block,
)
from mgm_jax.metrics.options import Options
from mgm_jax.parallel.devices import fetch, fetch_rows, pad_rows, shard_rows
from mgm_jax.parallel.processes import complete, from_all_processes, own_share
from mgm_jax.parallel.ring import take_rows

# Values of the differences that an accelerator gathers at once: 128 MiB.
_GATHERED_VALUES = 2**24


class Subspaces(NamedTuple):
    """Spans of the polytopes of n points.

    Attributes:
        neighbours: rows of the neighbours ``[n, p]`` int32.
        present: which of them count ``[n, p]`` bool.
        inverse: generalised inverse of their Gram matrix ``[n, p, p]`` float64.
        dimension: ``[n]`` int32.
    """

    neighbours: Any
    present: Any
    inverse: Any
    dimension: Any


def measure_large_group(
    points: jax.Array | np.ndarray,
    rows: np.ndarray,
    bandwidth: np.ndarray | None,
    partners: np.ndarray,
    options: Options,
    mesh: Mesh | None,
) -> dict[str, np.ndarray]:
    """Measure all points of one group.

    Args:
        points: of all groups ``[m, d]``, on the host or spread over the mesh.
        rows: those of this group ``[n]``, ascending.
        bandwidth: of the Gaussian kernel, ``[n]``, or None.
        partners: random rows for the null, ``[n, r]`` int.
        options: what to measure.
        mesh: devices to spread the search for neighbours over; None for one.

    Returns:
        Columns, each ``[n]``.
    """
    size = rows.size
    k = candidates_of(size, options.k)
    nearest = partial(nearest_in_cloud_of, k=k, on_sphere=options.normalize, mesh=mesh)
    if wide_arithmetic() == "pairs":
        points = _group_where_it_lies(points, rows, mesh)
        candidates = nearest(points, size=size)
        aside = partial(_some_on_host, points, candidates, bandwidth, partners, options)
        return measure_in_three_programs(
            points, candidates, bandwidth, partners, options, mesh, aside
        )
    points = points if size == len(points) else fetch_rows(points, rows)
    # Devices search the points where they are.
    candidates = None if mesh is None else nearest(points)
    points = np.asarray(fetch(points), np.float32)
    # Under a Gaussian the differences keep the digits that a small bandwidth asks for.
    cosine = options.kernel == "cosine"
    gram = cloud_gram_if_worth(points, k=k, metric="cosine") if cosine else None
    if candidates is None:
        candidates = nearest(points, gram=gram)
    every = row_batches(size)
    batches = own_share(every, mesh)
    # Rows that the last batch shares with the one before are its own, whoever works on the two.
    last = every[-1]
    own = [rows if rows[0] == last[0] else rows[rows < last[0]] for rows in batches]
    mine = np.concatenate([np.empty(0, np.int64), *own])
    names = (*Local._fields, *LocalPcaColumns._fields, *Affinity._fields)
    columns = {name: np.empty(size) for name in names}

    def write(rows: np.ndarray, record: Local | LocalPcaColumns | Affinity) -> None:
        for name, column in record._asdict().items():
            columns[name][rows] = column

    parts = []
    on_cpu = jax.default_backend() == "cpu"
    with double_precision():
        measured = settle_rows(
            partial(measure_candidates if on_cpu else measure_rows, kernel=options.kernel),
            points,
            candidates,
            bandwidth,
            batches,
            normalize=options.normalize,
            workers=workers_for(mesh),
            finish=partial(_finish_on_cpu if on_cpu else _finish, options=options),
            gram=gram,
        )
        for rows, (local, spans, pca) in zip(batches, measured, strict=True):
            write(rows, local)
            write(rows, pca)
            parts.append(spans)
        whole = _assemble(size, batches, parts, mesh)
        complete(whole, mine, mesh)
        others = [partners[rows] for rows in batches]
        if on_cpu:
            records = _compare_on_cpu(points, whole, batches, others, options, gram)
            # Projectors take its room.
            del gram
        else:
            records = _compare_on_device(points, whole, batches, others, options)
        for rows, record in zip(batches, records, strict=True):
            write(rows, record)
    complete(columns.values(), mine, mesh)
    return columns


def _group_where_it_lies(
    points: jax.Array | np.ndarray, rows: np.ndarray, mesh: Mesh | None
) -> jax.Array | np.ndarray:
    """The points of a group: on the host, or spread over the mesh like all, zeros after them."""
    if rows.size == len(points):
        return points
    if mesh is None or not isinstance(points, jax.Array) or points.is_fully_replicated:
        return fetch_rows(points, rows)
    whole, _ = pad_rows(points, multiple=mesh.size)
    return take_rows(shard_rows(whole, mesh), rows, mesh)


def _some_on_host(
    points: jax.Array | np.ndarray,
    candidates: np.ndarray,
    bandwidth: np.ndarray | None,
    partners: np.ndarray,
    options: Options,
    rows: np.ndarray,
) -> tuple[Local, LocalPcaColumns, Affinity]:
    """Measure some points of a cloud in float64 on the host, with what they are compared to."""
    partners = partners[rows]
    asked = np.unique(np.concatenate([rows, candidates[rows].ravel(), partners.ravel()]))
    asked = asked[asked >= 0]
    # The points that all of these ask for stand for the cloud.
    members = np.unique(np.append(asked, candidates[asked]))
    index = partial(np.searchsorted, members)
    cloud = np.asarray(fetch_rows(points, members), np.float32)
    near = np.zeros((members.size, candidates.shape[1]), np.int32)
    near[index(asked)] = index(candidates[asked])
    widths = None if bandwidth is None else bandwidth[members]
    partners, rows = np.where(partners >= 0, index(partners), -1), index(rows)
    with on_host():
        measure = partial(_measured_on_host, cloud, near, widths, options)
        local, pca, numbers, spans = measure(rows)
        met = [part.neighbours[part.present] for part in spans]
        others = np.setdiff1d(np.concatenate([*met, partners.ravel()]), rows)
        others = others[others >= 0]
        if others.size:
            *_, more, parts = measure(others)
            numbers, spans = numbers + more, spans + parts
        whole = _assemble(members.size, numbers, spans, None)
        (affinity,) = _compare_on_cpu(cloud, whole, [rows], [partners], options, None)
    return local, pca, jax.tree.map(np.asarray, affinity)


def _measured_on_host(
    points: np.ndarray,
    candidates: np.ndarray,
    bandwidth: np.ndarray | None,
    options: Options,
    rows: np.ndarray,
) -> tuple[Local, LocalPcaColumns, list[np.ndarray], list[Subspaces]]:
    """Measure rows ``[r]``; their spans come in parts, and which rows these are of."""
    # A few lengths, so that few programs compile.
    length = min(ROWS_AT_ONCE, 1 << (rows.size - 1).bit_length())
    index = np.pad(np.arange(rows.size), (0, -rows.size % length), mode="edge")
    batches = list(index.reshape(-1, length))
    parts = settle_rows(
        partial(measure_rows, kernel=options.kernel),
        points,
        candidates,
        bandwidth,
        [rows[batch] for batch in batches],
        normalize=options.normalize,
        workers=workers_for(None),
        finish=partial(_finish, options=options),
        on_host=True,
    )
    locals_, spans, pcas = zip(*parts, strict=True)
    first = slice(0, rows.size)
    local, pca = (
        jax.tree.map(lambda *columns: np.concatenate(columns)[first], *records)
        for records in (locals_, pcas)
    )
    return local, pca, [rows[batch] for batch in batches], list(spans)


def _compare_on_device(
    points: np.ndarray,
    whole: Subspaces,
    batches: Sequence[np.ndarray],
    partners: Sequence[np.ndarray],
    options: Options,
) -> Iterator[Affinity]:
    # Groups of about one size share a compilation.
    more = padded_size(len(points)) - len(points)

    def put(part: np.ndarray) -> jax.Array:
        return jax.device_put(np.pad(part, [(0, more)] + [(0, 0)] * (part.ndim - 1)))

    cloud, spans = put(points), Subspaces(*map(put, whole))
    for rows, others in zip(batches, partners, strict=True):
        yield compare_rows(cloud, spans, rows, others, normalize=options.normalize)


def _compare_on_cpu(
    points: np.ndarray,
    whole: Subspaces,
    batches: Sequence[np.ndarray],
    partners: Sequence[np.ndarray],
    options: Options,
    gram: CloudGram | None,
) -> Iterator[Affinity]:
    workers = workers_for(None)
    n, d = points.shape
    polytopes = CloudPolytopes(
        points=points,
        neighbours=whole.neighbours,
        present=whole.present,
        inverse=whole.inverse,
        normalize=options.normalize,
    )
    if suit_projectors(n, d, whole.present.sum(axis=1)):
        gram = None
        with one_thread_a_product():
            overlaps = CloudProjectors(polytopes, workers=workers)
    else:
        overlaps = CloudOverlaps(
            polytopes, gram=None if gram is None else gram.gram, workers=workers
        )

    def compare(rows: np.ndarray, partner: np.ndarray) -> Affinity:
        others = np.concatenate([whole.neighbours[rows], np.maximum(partner, 0)], axis=1)
        counted = np.concatenate([whole.present[rows], partner >= 0], axis=1)
        overlap = overlaps.of(rows, others, counted)
        dimensions = whole.dimension[rows], whole.dimension[others]
        near = whole.present.shape[1]
        width = np.float64(points.shape[1])
        with double_precision():
            return affinities(overlap, counted, *dimensions, width, near=near)

    calls = [partial(compare, *pair) for pair in zip(batches, partners, strict=True)]
    with one_thread_a_product():
        yield from in_order(calls, workers=workers)


def _finish(
    local: Local, spans: Subspaces, centred: np.ndarray, *, options: Options
) -> tuple[Local, Subspaces, LocalPcaColumns]:
    """What the host does with a batch."""
    return local, _without_empty(spans), pca_columns(centred, threshold=options.pca_threshold)


def _finish_on_cpu(
    local: Local,
    support: np.ndarray,
    grams: tuple[np.ndarray, np.ndarray, np.ndarray],
    *,
    options: Options,
) -> tuple[Local, Subspaces, LocalPcaColumns]:
    """The same where the spans are still to be found: in as many columns as there are neighbours.

    Work on a span grows with the third power of the columns.
    """
    gram, lengths, candidates = grams
    p = max(1, int(support.sum(axis=1).max()))
    chosen = np.argsort(~support, axis=1, kind="stable")[:, :p]
    present = np.take_along_axis(support, chosen, axis=1)
    rows = np.arange(len(gram))[:, None, None]
    block = gram[rows, chosen[:, :, None], chosen[:, None, :]]
    with double_precision():
        inverse, dimension = inverses_on_host(block, present, lengths)
    neighbours = np.take_along_axis(candidates, chosen, axis=1)
    centred = centred_gram(gram, np.ones(candidates.shape, bool))
    return (
        local,
        Subspaces(neighbours, present, inverse, dimension),
        pca_columns(centred, threshold=options.pca_threshold),
    )


def _without_empty(spans: Subspaces) -> Subspaces:
    """Leave out the columns in which no point of the batch has a neighbour."""
    p = max(1, int(np.asarray(spans.present).sum(axis=1).max()))
    return Subspaces(
        np.asarray(spans.neighbours)[:, :p],
        np.asarray(spans.present)[:, :p],
        np.asarray(spans.inverse)[:, :p, :p],
        np.asarray(spans.dimension),
    )


def _assemble(
    size: int, batches: Sequence[np.ndarray], parts: list[Subspaces], mesh: Mesh | None
) -> Subspaces:
    """Put the batches together, as wide as the widest, in steps of 8 so that few shapes occur."""
    widest = max((part.present.shape[1] for part in parts), default=1)
    widest = max(int(part[0]) for part in from_all_processes(np.array([widest]), mesh))
    p = -(-widest // 8) * 8
    whole = Subspaces(
        np.zeros((size, p), np.int32),
        np.zeros((size, p), bool),
        np.zeros((size, p, p)),
        np.zeros(size, np.int32),
    )
    for rows, part in zip(batches, parts, strict=True):
        width = part.present.shape[1]
        whole.neighbours[rows, :width] = part.neighbours
        whole.present[rows, :width] = part.present
        whole.inverse[rows, :width, :width] = part.inverse
        whole.dimension[rows] = part.dimension
    return whole


@partial(jax.jit, static_argnames=("kernel", "fallback"))
def measure_candidates(
    gram: jax.Array,
    lengths: jax.Array,
    candidates: jax.Array,
    bandwidth: jax.Array | None,
    *,
    kernel: KernelName,
    fallback: bool,
) -> tuple[Local, jax.Array, tuple[jax.Array, jax.Array, jax.Array], jax.Array]:
    """What the candidates of some points of a cloud say alone; arguments as for measure_rows.

    Returns:
        Columns, each ``[b]``; which candidates are neighbours ``[b, k]`` bool; the first three
        arguments, for the host; and which points need the fallback ``[b]``.
    """
    mask = jnp.ones(candidates.shape, bool)
    distances = from_differences(gram, mask, lengths)
    columns, support, refused = measure_local(
        distances, bandwidth, kernel=kernel, fallback=fallback
    )
    return columns, support, (gram, lengths, candidates), refused


@partial(jax.jit, static_argnames=("kernel", "fallback"))
def measure_rows(
    gram: jax.Array,
    lengths: jax.Array,
    candidates: jax.Array,
    bandwidth: jax.Array | None,
    *,
    kernel: KernelName,
    fallback: bool,
) -> tuple[Local, Subspaces, jax.Array, jax.Array]:
    """Measure some points of a cloud; call within :func:`double_precision`.

    Args:
        gram: Gram matrices of the differences to their candidates ``[b, k, k]`` float64.
        lengths: squared lengths of the points ``[b]``.
        candidates: rows of their candidates by rising distance ``[b, k]`` int.
        bandwidth: of the Gaussian kernel, ``[b]``, or None.
        kernel: kernel of the regression.
        fallback: as for :func:`measure_local`.

    Returns:
        Columns, each ``[b]``; the subspaces with ``p = k``; centred Gram matrices of the
        candidates ``[b, k, k]``; and which points need the fallback ``[b]``.
    """
    columns, support, _, refused = measure_candidates(
        gram, lengths, candidates, bandwidth, kernel=kernel, fallback=fallback
    )
    chosen, present = first_neighbours(support, p=support.shape[1])
    inverse, dimension = inverse_on_span(take_block(gram, chosen), present, lengths)
    neighbours = jnp.take_along_axis(candidates, chosen, axis=1)
    spans = Subspaces(neighbours, present, inverse, dimension)
    return columns, spans, centred_gram(gram, jnp.ones(candidates.shape, bool)), refused


@partial(jax.jit, static_argnames=("normalize",))
def compare_rows(
    points: jax.Array,
    subspaces: Subspaces,
    rows: jax.Array,
    partners: jax.Array,
    *,
    normalize: bool,
) -> Affinity:
    """Compare the subspaces of some points with those of their neighbours and of chance.

    Args:
        points: the cloud ``[n, d]``.
        subspaces: of all its points.
        rows: points to compare ``[b]`` int.
        partners: rows of random partners of the same group ``[b, r]`` int, -1 for none.
        normalize: whether the cloud is meant on the unit sphere.

    Returns:
        Columns, each ``[b]``.
    """

    p, (_, width) = subspaces.neighbours.shape[1], points.shape
    others = jnp.concatenate([subspaces.neighbours[rows], jnp.maximum(partners, 0)], axis=1)
    counted = jnp.concatenate([subspaces.present[rows], partners >= 0], axis=1)

    def differences(point: jax.Array) -> jax.Array:
        return gathered_differences(points, point, subspaces.neighbours[point], normalize=normalize)

    def overlaps(row: tuple[jax.Array, jax.Array]) -> jax.Array:
        own, compared = row
        cross = jnp.einsum("ad,cbd->cab", differences(own), jax.vmap(differences)(compared))
        return pair_overlap(cross, subspaces.inverse[own], subspaces.inverse[compared])

    together = max(1, min(rows.size, _GATHERED_VALUES // (others.shape[1] * p * width)))
    overlap = lax.map(overlaps, (rows, others), batch_size=together)
    overlap = jnp.where(counted, overlap, 0)
    dimensions = subspaces.dimension[rows], subspaces.dimension[others]
    return affinities(overlap, counted, *dimensions, width, near=p)
