"""Metrics of groups small enough for one Gram matrix each: batches of groups in one call.

A group is measured at a time, so that its matrices stay in the cache of the processor, and all
its points advance together. Nothing depends on which groups share a batch.
"""

from __future__ import annotations

from functools import partial

import jax
import jax.numpy as jnp
from jax import lax

from mgm_jax.geometry.affinity import group_overlaps, inverse_on_span
from mgm_jax.geometry.kernel import KernelName
from mgm_jax.geometry.neighbourhood import differences_in_group, group_gram, nearest_in_group
from mgm_jax.metrics.local import (
    Affinity,
    Local,
    first_neighbours,
    mean_affinity,
    measure_local,
    take_block,
)

# Columns kept of the neighbours: the smallest that holds the largest degree of the group.
_WIDTHS = (24,)


def measure_groups(
    points: jax.Array,
    mask: jax.Array,
    wanted: jax.Array,
    partners: jax.Array,
    bandwidth: jax.Array | None,
    *,
    k: int,
    kernel: KernelName,
    normalize: bool,
    pca_threshold: float,
) -> tuple[Local, Affinity]:
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
        pca_threshold: share of the variance that the local dimension explains.

    Returns:
        Columns, each ``[G, m]``; what stands where ``mask`` is False means nothing.
    """

    def measure(group: tuple) -> tuple[Local, Affinity]:
        points, mask, wanted, partners, bandwidth = group
        gram, lengths = group_gram(points, mask, normalize=normalize)
        places, found = nearest_in_group(gram, mask, lengths, k=k, wanted=wanted)
        differences = differences_in_group(gram, places)
        columns, support = measure_local(
            differences, found, bandwidth, lengths, kernel=kernel, pca_threshold=pca_threshold
        )

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
        return columns, lax.switch(choice, branches)

    return lax.map(measure, (points, mask, wanted, partners, bandwidth))
