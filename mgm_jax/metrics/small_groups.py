"""Metrics of groups small enough for one Gram matrix each: batches of groups in one call.

A group is measured at a time, so that its matrices stay in the cache of the processor, and all
its points advance together. Nothing depends on which groups share a batch.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache, partial

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.sharding import Mesh, PartitionSpec

from mgm_jax.geometry.affinity import group_overlaps, inverse_on_span
from mgm_jax.geometry.candidates import candidates_of
from mgm_jax.geometry.kernel import KernelName
from mgm_jax.geometry.local_spectrum import centred_gram
from mgm_jax.geometry.neighbourhood import differences_in_group, group_gram, nearest_in_group
from mgm_jax.geometry.precision import double_precision
from mgm_jax.metrics.local import (
    Affinity,
    Local,
    first_neighbours,
    mean_affinity,
    measure_local,
    pca_columns,
    take_block,
)
from mgm_jax.metrics.options import Options

# Columns kept of the neighbours: the smallest that holds the largest degree of the group.
_WIDTHS = (24,)


def start_batch(
    points: np.ndarray,
    mask: np.ndarray,
    wanted: np.ndarray,
    partners: np.ndarray,
    bandwidth: np.ndarray | None,
    options: Options,
    mesh: Mesh | None,
) -> tuple[Local, Affinity, jax.Array]:
    """Set the device to work on a batch of groups, without waiting for it.

    Args:
        points: ``[G, m, d]``.
        mask: which rows are points, ``[G, m]`` bool.
        wanted: candidates of every point of a group, ``[G]`` int.
        partners: random places for the null, ``[G, m, r]`` int, -1 for none.
        bandwidth: of the Gaussian kernel, ``[G, m]``, or None.
        options: what to measure.
        mesh: devices to spread the groups over; None for one.

    Returns:
        What :func:`finish_batch` takes.
    """
    inputs = [points, mask, wanted, partners, *([] if bandwidth is None else [bandwidth])]
    if mesh is not None:
        more = -len(points) % mesh.size
        inputs = [np.pad(part, [(0, more)] + [(0, 0)] * (part.ndim - 1)) for part in inputs]
    k = max(1, min(candidates_of(points.shape[1], options.k), points.shape[1] - 1))
    with double_precision():
        return _compiled(k, options.kernel, options.normalize, mesh)(*inputs)


def finish_batch(
    started: tuple[Local, Affinity, jax.Array], mask: np.ndarray, options: Options
) -> dict[str, np.ndarray]:
    """Wait for a batch and return the columns of its points, in the order of ``mask``."""
    *records, centred = started
    columns = {n: np.asarray(c) for record in records for n, c in record._asdict().items()}
    columns = {name: column[: len(mask)][mask] for name, column in columns.items()}
    spectra = pca_columns(np.asarray(centred)[: len(mask)][mask], threshold=options.pca_threshold)
    return columns | spectra._asdict()


@lru_cache(maxsize=64)
def _compiled(
    k: int, kernel: KernelName, normalize: bool, mesh: Mesh | None
) -> Callable[..., tuple[Local, Affinity, jax.Array]]:
    """One function for all batches of one kind, spread over the mesh by groups."""
    measure = partial(measure_groups, k=k, kernel=kernel, normalize=normalize)
    if mesh is None:
        return jax.jit(measure)
    spread = PartitionSpec(mesh.axis_names)
    return jax.jit(
        jax.shard_map(measure, mesh=mesh, in_specs=spread, out_specs=spread, check_vma=False)
    )


def measure_groups(
    points: jax.Array,
    mask: jax.Array,
    wanted: jax.Array,
    partners: jax.Array,
    bandwidth: jax.Array | None = None,
    *,
    k: int,
    kernel: KernelName,
    normalize: bool,
) -> tuple[Local, Affinity, jax.Array]:
    """Measure a batch of groups; pure, for use under ``jit`` in double precision.

    Args:
        points: ``[G, m, d]``.
        mask: which rows are points, ``[G, m]`` bool.
        wanted: candidates of every point of a group, ``[G]`` int, at most k.
        partners: random places for the null, ``[G, m, r]`` int, -1 for none.
        bandwidth: of the Gaussian kernel, ``[G, m]``, or None.
        k: largest number of candidates, at most m - 1.
        kernel: kernel of the regression.
        normalize: whether to put the points on the unit sphere first.

    Returns:
        Columns, each ``[G, m]``, and centred Gram matrices of the candidates ``[G, m, k, k]``;
        what stands where ``mask`` is False means nothing.
    """

    def measure(group: tuple) -> tuple[Local, Affinity, jax.Array]:
        points, mask, wanted, partners, bandwidth = group
        gram, lengths = group_gram(points, mask, normalize=normalize)
        places, found = nearest_in_group(gram, mask, lengths, k=k, wanted=wanted)
        differences = differences_in_group(gram, places)
        columns, support = measure_local(differences, found, bandwidth, lengths, kernel=kernel)

        def compare(p: int) -> Affinity:
            chosen, present = first_neighbours(support, p=p)
            neighbours = jnp.take_along_axis(places, chosen, axis=1)
            inverse, dimension = inverse_on_span(take_block(differences, chosen), present, lengths)
            overlap = group_overlaps(gram, neighbours, present, inverse)

            def mean(others: jax.Array, counted: jax.Array) -> tuple[jax.Array, jax.Array]:
                pairs = jnp.take_along_axis(overlap, others, axis=1)
                return mean_affinity(
                    pairs, counted, dimension, dimension[others], width=points.shape[1]
                )

            null, _ = mean(jnp.maximum(partners, 0), partners >= 0)
            return Affinity(*mean(neighbours, present), null)

        widths = [width for width in _WIDTHS if width < k] + [k]
        largest = jnp.max(jnp.where(mask, columns.nnk_degree, 0))
        choice = jnp.sum(largest > jnp.array(widths[:-1], jnp.int32))
        branches = [partial(compare, width) for width in widths]
        return columns, lax.switch(choice, branches), centred_gram(differences, found)

    return lax.map(measure, (points, mask, wanted, partners, bandwidth))
