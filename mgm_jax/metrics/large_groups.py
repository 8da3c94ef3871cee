"""Metrics of points of large groups: candidates from a k-NN graph, gathered block by block.

The matrix of all pairs never exists. One pass measures every point and keeps the subspace of
each as a list of neighbours and a small inverse; a second pass compares the subspaces.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.sharding import Mesh

from mgm_jax.geometry.backend.precision import double_precision
from mgm_jax.geometry.backend.workers import in_order, one_thread_a_product, workers_for
from mgm_jax.geometry.local.affinity import inverse_on_span, pair_overlap
from mgm_jax.geometry.local.spectrum import centred_gram
from mgm_jax.geometry.nnk.candidates import candidates_of, nearest_in_cloud_of, row_batches
from mgm_jax.geometry.nnk.grams_on_host import gathered_grams_on_host
from mgm_jax.geometry.nnk.kernel import KernelName
from mgm_jax.geometry.nnk.neighbourhood import (
    from_differences,
    gathered_differences,
    gathered_gram,
)
from mgm_jax.geometry.points.groups import padded_size
from mgm_jax.metrics.local import (
    Affinity,
    Local,
    LocalPcaColumns,
    first_neighbours,
    mean_affinity,
    measure_local,
    pca_columns,
    take_block,
)
from mgm_jax.metrics.options import Options
from mgm_jax.parallel.processes import complete, from_all_processes, own_share

# Points that fall back together.
_FALLBACK_ROWS = 8


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
    points: np.ndarray,
    bandwidth: np.ndarray | None,
    partners: np.ndarray,
    options: Options,
    mesh: Mesh | None,
) -> dict[str, np.ndarray]:
    """Measure all points of one group.

    Args:
        points: ``[n, d]``.
        bandwidth: of the Gaussian kernel, ``[n]``, or None.
        partners: random rows for the null, ``[n, r]`` int.
        options: what to measure.
        mesh: devices to spread the search for neighbours over; None for one.

    Returns:
        Columns, each ``[n]``.
    """
    size = len(points)
    k = candidates_of(size, options.k)
    candidates = nearest_in_cloud_of(points, k=k, on_sphere=options.normalize, mesh=mesh)
    batches = own_share(row_batches(size), mesh)
    mine = np.concatenate([np.empty(0, np.int64), *batches])
    names = (*Local._fields, *LocalPcaColumns._fields, *Affinity._fields)
    columns = {name: np.empty(size) for name in names}

    def write(rows: np.ndarray, record: Local | LocalPcaColumns | Affinity) -> None:
        for name, column in record._asdict().items():
            columns[name][rows] = column

    parts = []
    with double_precision():
        # Groups of about one size share a compilation.
        more = padded_size(size) - size
        cloud = jax.device_put(np.pad(points, ((0, more), (0, 0))))
        calls = [
            partial(_measure, points, cloud, rows, candidates[rows], bandwidth, options)
            for rows in batches
        ]
        with one_thread_a_product():
            results = in_order(calls, workers=workers_for(mesh))
            for rows, (local, spans, pca) in zip(batches, results, strict=True):
                write(rows, local)
                write(rows, pca)
                parts.append(spans)
        whole = _assemble(len(cloud), batches, parts, mesh)
        complete(whole, mine, mesh)
        spans = Subspaces(*map(jax.device_put, whole))
        for rows in batches:
            others = partners[rows]
            # Caches of a CPU hold one pair; an accelerator waits for every step.
            at_once = jax.default_backend() != "cpu"
            write(
                rows,
                compare_rows(
                    cloud, spans, rows, others, normalize=options.normalize, at_once=at_once
                ),
            )
    complete(columns.values(), mine, mesh)
    return columns


def _measure(
    points: np.ndarray,
    cloud: jax.Array,
    rows: np.ndarray,
    candidates: np.ndarray,
    bandwidth: np.ndarray | None,
    options: Options,
) -> tuple[Local, Subspaces, LocalPcaColumns]:
    """Measure some rows of a cloud; those that need the fallback once more with it."""

    def measure(places: np.ndarray | slice, *, fallback: bool) -> tuple[Any, ...]:
        chosen = rows[places], candidates[places]
        with double_precision():
            if jax.default_backend() == "cpu":
                gram = gathered_grams_on_host(points, *chosen, normalize=options.normalize)
            else:
                gram = _gathered_gram(cloud, *chosen, normalize=options.normalize)
            width = None if bandwidth is None else bandwidth[chosen[0]]
            results = measure_rows(
                *gram, chosen[1], width, kernel=options.kernel, fallback=fallback
            )
            return jax.tree.map(np.asarray, results)

    *parts, refused = measure(slice(None), fallback=False)
    left = np.flatnonzero(refused)
    parts = jax.tree.map(np.array, parts) if left.size else parts
    for start in range(0, left.size, _FALLBACK_ROWS):
        subset = left[start : start + _FALLBACK_ROWS]
        full = np.pad(subset, (0, _FALLBACK_ROWS - subset.size), mode="edge")
        *again, _ = measure(full, fallback=True)
        for part, new in zip(jax.tree.leaves(parts), jax.tree.leaves(again), strict=True):
            part[subset] = new[: subset.size]
    local, spans, centred = parts
    return local, _without_empty(spans), pca_columns(centred, threshold=options.pca_threshold)


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


_gathered_gram = jax.jit(gathered_gram, static_argnames="normalize")


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
    mask = jnp.ones(candidates.shape, bool)
    distances = from_differences(gram, mask, lengths)
    columns, support, refused = measure_local(
        distances, bandwidth, kernel=kernel, fallback=fallback
    )
    chosen, present = first_neighbours(support, p=support.shape[1])
    inverse, dimension = inverse_on_span(take_block(gram, chosen), present, lengths)
    neighbours = jnp.take_along_axis(candidates, chosen, axis=1)
    spans = Subspaces(neighbours, present, inverse, dimension)
    return columns, spans, centred_gram(gram, mask), refused


@partial(jax.jit, static_argnames=("normalize", "at_once"))
def compare_rows(
    points: jax.Array,
    subspaces: Subspaces,
    rows: jax.Array,
    partners: jax.Array,
    *,
    normalize: bool,
    at_once: bool,
) -> Affinity:
    """Compare the subspaces of some points with those of their neighbours and of chance.

    Args:
        points: the cloud ``[n, d]``.
        subspaces: of all its points.
        rows: points to compare ``[b]`` int.
        partners: rows of random partners of the same group ``[b, r]`` int, -1 for none.
        normalize: whether the cloud is meant on the unit sphere.
        at_once: compare all points with one partner at a time, not pair by pair.

    Returns:
        Columns, each ``[b]``.
    """
    near = subspaces.neighbours.shape[1]
    others = jnp.concatenate([subspaces.neighbours[rows], jnp.maximum(partners, 0)], axis=1)
    counted = jnp.concatenate([subspaces.present[rows], partners >= 0], axis=1)
    compare = _overlaps_at_once if at_once else _overlaps_by_pairs
    overlap = compare(points, subspaces, rows, others, counted, normalize=normalize)
    dimension, other_dimension = subspaces.dimension[rows], subspaces.dimension[others]

    def mean(part: slice) -> tuple[jax.Array, jax.Array]:
        return mean_affinity(
            overlap[:, part],
            counted[:, part],
            dimension,
            other_dimension[:, part],
            width=points.shape[1],
        )

    null, _ = mean(slice(near, None))
    return Affinity(*mean(slice(0, near)), null)


def _differences(
    points: jax.Array, subspaces: Subspaces, point: jax.Array, *, normalize: bool
) -> jax.Array:
    """What spans the polytope of a point, ``[p, d]``."""
    return gathered_differences(points, point, subspaces.neighbours[point], normalize=normalize)


def _overlaps_by_pairs(
    points: jax.Array,
    subspaces: Subspaces,
    rows: jax.Array,
    others: jax.Array,
    counted: jax.Array,
    *,
    normalize: bool,
) -> jax.Array:
    """Overlaps ``[b, q]`` of points ``[b]`` with others ``[b, q]``; 0 where they do not count."""
    differences = partial(_differences, points, subspaces, normalize=normalize)

    def overlaps(row: tuple[jax.Array, jax.Array, jax.Array]) -> jax.Array:
        own, others, counted = row
        frame = differences(own)

        def overlap(other: jax.Array) -> jax.Array:
            cross = frame @ differences(other).T
            return pair_overlap(cross, subspaces.inverse[own], subspaces.inverse[other])

        def overlap_if_counted(pair: tuple[jax.Array, jax.Array]) -> jax.Array:
            return lax.cond(pair[1], overlap, lambda _: jnp.zeros((), frame.dtype), pair[0])

        return lax.map(overlap_if_counted, (others, counted))

    return lax.map(overlaps, (rows, others, counted))


def _overlaps_at_once(
    points: jax.Array,
    subspaces: Subspaces,
    rows: jax.Array,
    others: jax.Array,
    counted: jax.Array,
    *,
    normalize: bool,
) -> jax.Array:
    """:func:`_overlaps_by_pairs` in as many steps as a point has others."""
    differences = jax.vmap(partial(_differences, points, subspaces, normalize=normalize))
    frames, inverses = differences(rows), subspaces.inverse[rows]

    def overlap(other: jax.Array) -> jax.Array:
        cross = jnp.einsum("bpd,bqd->bpq", frames, differences(other))
        return pair_overlap(cross, inverses, subspaces.inverse[other])

    return jnp.where(counted, lax.map(overlap, others.T).T, 0)
