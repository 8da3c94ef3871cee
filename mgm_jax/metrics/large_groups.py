"""Metrics of points of large groups: candidates from a k-NN graph, gathered block by block.

The matrix of all pairs never exists. One pass measures every point and keeps the subspace of
each as a list of neighbours and a small inverse; a second pass compares the subspaces.
"""

from __future__ import annotations

from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from mgm_jax.geometry.affinity import inverse_on_span, pair_overlap
from mgm_jax.geometry.kernel import KernelName
from mgm_jax.geometry.neighbourhood import gathered_differences, gathered_gram
from mgm_jax.metrics.local import (
    Affinity,
    Local,
    first_neighbours,
    mean_affinity,
    measure_local,
    take_block,
)


class Subspaces(NamedTuple):
    """Spans of the polytopes of n points.

    Attributes:
        neighbours: rows of the neighbours ``[n, p]`` int32.
        present: which of them count ``[n, p]`` bool.
        inverse: generalised inverse of their Gram matrix ``[n, p, p]`` float64.
        dimension: ``[n]`` int32.
    """

    neighbours: jax.Array | np.ndarray
    present: jax.Array | np.ndarray
    inverse: jax.Array | np.ndarray
    dimension: jax.Array | np.ndarray


@partial(jax.jit, static_argnames=("kernel", "normalize", "pca_threshold"))
def measure_rows(
    points: jax.Array,
    rows: jax.Array,
    candidates: jax.Array,
    mask: jax.Array,
    bandwidth: jax.Array | None,
    *,
    kernel: KernelName,
    normalize: bool,
    pca_threshold: float,
) -> tuple[Local, Subspaces]:
    """Measure some points of a cloud; call within :func:`double_precision`.

    Args:
        points: the cloud ``[n, d]``.
        rows: points to measure ``[b]`` int.
        candidates: rows of their candidates by rising distance ``[b, k]`` int.
        mask: which candidates count ``[b, k]`` bool.
        bandwidth: of the Gaussian kernel, ``[b]``, or None.
        kernel: kernel of the regression.
        normalize: whether the cloud is meant on the unit sphere.
        pca_threshold: share of the variance that the local dimension explains.

    Returns:
        Columns, each ``[b]``, and the subspaces with ``p = k``.
    """

    gram, lengths = gathered_gram(points, rows, candidates, normalize=normalize)
    columns, support = measure_local(
        gram, mask, bandwidth, lengths, kernel=kernel, pca_threshold=pca_threshold
    )
    chosen, present = first_neighbours(support, p=support.shape[1])
    inverse, dimension = inverse_on_span(take_block(gram, chosen), present, lengths)
    neighbours = jnp.take_along_axis(candidates, chosen, axis=1)
    return columns, Subspaces(neighbours, present, inverse, dimension)


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
    spans = Subspaces(*map(jnp.asarray, subspaces))

    def overlaps(row: tuple[jax.Array, jax.Array]) -> tuple[jax.Array, jax.Array]:
        own, partner = row

        def differences(point: jax.Array) -> jax.Array:
            neighbours = spans.neighbours[point]
            return gathered_differences(points, point, neighbours, normalize=normalize)

        frame = differences(own)
        others = jnp.concatenate([spans.neighbours[own], jnp.maximum(partner, 0)])

        def overlap(other: jax.Array) -> jax.Array:
            cross = frame @ differences(other).T
            return pair_overlap(cross, spans.inverse[own], spans.inverse[other])

        return lax.map(overlap, others), others

    overlap, others = lax.map(overlaps, (rows, partners))
    near = spans.neighbours.shape[1]
    dimension, other_dimension = spans.dimension[rows], spans.dimension[others]
    counted = jnp.concatenate([spans.present[rows], partners >= 0], axis=1)

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
