"""Metrics of points of small groups: one Gram matrix a group, and all of its points at once.

A batch goes through three compiled steps with work on the host in between. Only the first sees
the features, and it holds little but a product, so that encoders of other widths compile nothing
else anew:

1. points to Gram matrices;
2. Gram matrices to neighbours and what they say alone, with the local PCA;
3. neighbours to the affinity of their polytopes, in as few columns as the batch needs.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.sharding import Mesh, PartitionSpec

from mgm_jax.geometry.candidates import candidates_of
from mgm_jax.geometry.kernel import KernelName
from mgm_jax.geometry.left_out import LeftOut, left_out_grams, left_out_pca
from mgm_jax.geometry.local_spectrum import centred_gram
from mgm_jax.geometry.neighbourhood import (
    all_in_group,
    differences_in_group,
    group_gram,
    nearest_in_group,
    some_in_group,
)
from mgm_jax.geometry.precision import double_precision
from mgm_jax.geometry.spans import Axes, group_overlaps, principal_axes, smaller_sides
from mgm_jax.metrics.local import (
    Affinity,
    Local,
    LocalPcaColumns,
    mean_affinity,
    measure_local,
    pca_columns,
)
from mgm_jax.metrics.options import Options


class GroupInputs(NamedTuple):
    """What a batch of G groups of at most m points is measured from, on the host.

    Attributes:
        points: ``[G, m, d]``.
        mask: which rows are points, ``[G, m]`` bool.
        wanted: candidates of every point of a group, ``[G]`` int.
        partners: random places for the null, ``[G, m, r]`` int, -1 for none.
        bandwidth: of the Gaussian kernel, ``[G, m]``, or None.
    """

    points: np.ndarray
    mask: np.ndarray
    wanted: np.ndarray
    partners: np.ndarray
    bandwidth: np.ndarray | None


def measure_batch(
    inputs: GroupInputs, options: Options, mesh: Mesh | None
) -> dict[str, np.ndarray]:
    """Measure a batch of small groups.

    Args:
        inputs: the groups.
        options: what to measure.
        mesh: devices to spread the groups over; None for one.

    Returns:
        The columns of the points, in the order of the mask.
    """
    real = len(inputs.points)
    if mesh is not None:
        more = -real % mesh.size
        inputs = jax.tree.map(
            lambda part: np.pad(part, [(0, more)] + [(0, 0)] * (part.ndim - 1)), inputs
        )
    points, mask, wanted, partners, bandwidth = inputs
    _, m, width = points.shape
    k = max(1, min(candidates_of(m, options.k), m - 1))
    whole = k == m - 1
    with double_precision():
        gram, lengths = _spread(_grams, mesh, normalize=options.normalize)(points, mask)
        on_host = np.asarray(gram)
        axes = principal_axes(on_host, width=width)
        if whole:
            find = _spread(_neighbours_among_all, mesh, kernel=options.kernel)
            threshold = np.full(len(points), options.pca_threshold)
            local, support, pca = find(gram, lengths, mask, bandwidth, axes, threshold)
        else:
            find = _spread(_neighbours_among_some, mesh, k=k, kernel=options.kernel)
            local, support, pca = find(gram, lengths, mask, bandwidth, wanted)
        sides = smaller_sides(np.asarray(support), mask, axes.values, np.asarray(lengths))
        compare = _spread(_compare, mesh)
        widths = np.full(len(points), float(width))
        affinity = compare(axes, mask, lengths, *sides, support, partners, widths)
        counted = mask[:real]
        if whole:
            spectra = _whole_pca(pca, on_host[:real], counted, options)
        else:
            centred = np.asarray(pca)[:real][counted]
            spectra = pca_columns(centred, threshold=options.pca_threshold)
        named = local._asdict() | affinity._asdict()
        columns = {name: np.asarray(column)[:real][counted] for name, column in named.items()}
    return columns | spectra._asdict()


def _whole_pca(
    found: LeftOut, gram: np.ndarray, mask: np.ndarray, options: Options
) -> LocalPcaColumns:
    """Columns of the local PCA ``[n]``; where they are in doubt, from the spectra themselves."""
    dimension, ratio, certain = (np.asarray(part)[: len(mask)] for part in found)
    dimension, ratio = dimension.copy(), ratio.copy()
    doubted = mask & ~certain
    if doubted.any():
        group, place = np.nonzero(doubted)
        grams = left_out_grams(gram[group], mask[group], place)
        exact = pca_columns(grams, threshold=options.pca_threshold)
        dimension[doubted], ratio[doubted] = exact
    return LocalPcaColumns(dimension[mask], ratio[mask])


@lru_cache(maxsize=64)
def _spread(step: Callable[..., Any], mesh: Mesh | None, **options: Any) -> Callable[..., Any]:
    """Compile a step that takes one group, for all groups of a batch, spread over the mesh."""

    def of_batch(*inputs: Any) -> Any:
        return lax.map(lambda group: step(*group, **options), inputs)

    if mesh is None:
        return jax.jit(of_batch)
    spread = PartitionSpec(mesh.axis_names)
    return jax.jit(
        jax.shard_map(of_batch, mesh=mesh, in_specs=spread, out_specs=spread, check_vma=False)
    )


def _grams(points: jax.Array, mask: jax.Array, *, normalize: bool) -> tuple[jax.Array, jax.Array]:
    """Gram matrix ``[m, m]`` and squared lengths ``[m]`` of one group."""
    return group_gram(points, mask, normalize=normalize)


def _neighbours_among_all(
    gram: jax.Array,
    lengths: jax.Array,
    mask: jax.Array,
    bandwidth: jax.Array | None,
    axes: Axes,
    threshold: jax.Array,
    *,
    kernel: KernelName,
) -> tuple[Local, jax.Array, LeftOut]:
    """Measure the points of one group whose candidates are all its other members.

    Returns:
        Columns, each ``[m]``; which members are neighbours of which ``[m, m]`` bool; and the local
        PCA. What stands where ``mask`` is False means nothing.
    """
    candidates = all_in_group(gram, mask, lengths)
    columns, support = measure_local(candidates, bandwidth, kernel=kernel)
    return columns, support, left_out_pca(gram, mask, lengths, *axes, threshold)


def _neighbours_among_some(
    gram: jax.Array,
    lengths: jax.Array,
    mask: jax.Array,
    bandwidth: jax.Array | None,
    wanted: jax.Array,
    *,
    k: int,
    kernel: KernelName,
) -> tuple[Local, jax.Array, jax.Array]:
    """Measure the points of one group from their k nearest other members.

    Returns:
        Columns, each ``[m]``; which members are neighbours of which ``[m, m]`` bool; and centred
        Gram matrices of the candidates ``[m, k, k]``.
    """
    places, found = nearest_in_group(gram, mask, lengths, k=k, wanted=wanted)
    candidates = some_in_group(gram, places, found, lengths)
    columns, chosen = measure_local(candidates, bandwidth, kernel=kernel)
    support = jnp.zeros(gram.shape, bool).at[jnp.arange(len(mask))[:, None], places].set(chosen)
    return columns, support, centred_gram(differences_in_group(gram, places), found)


def _compare(
    axes: Axes,
    mask: jax.Array,
    lengths: jax.Array,
    members: jax.Array,
    outside: jax.Array,
    support: jax.Array,
    partners: jax.Array,
    width: jax.Array,
) -> Affinity:
    """Compare the polytopes of the points of one group."""
    overlap, dimension = group_overlaps(*axes, mask, lengths, members, outside)
    others = jnp.broadcast_to(dimension, support.shape)
    near = mean_affinity(overlap, support, dimension, others, width=width)
    partner = jnp.maximum(partners, 0)
    pairs = jnp.take_along_axis(overlap, partner, axis=1)
    null, _ = mean_affinity(pairs, partners >= 0, dimension, dimension[partner], width=width)
    return Affinity(*near, null)
