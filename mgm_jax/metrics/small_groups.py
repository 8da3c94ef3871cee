"""Metrics of points of small groups: one Gram matrix a group, and all of its points at once.

A batch goes through these steps, some compiled and some on the host. Only the first sees the
features, so that encoders of other widths compile next to nothing anew:

1. points to Gram matrices, and these to their principal axes;
2. Gram matrices to neighbours and what they say alone;
3. the local PCA;
4. neighbours to the overlaps of the spans of their polytopes, and these to affinities.

On a CPU 1 and 4 are left to the linear algebra of NumPy, which computes one triangle of a
symmetric product and takes as many vectors a point as it has.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.sharding import Mesh

from mgm_jax.geometry.backend.precision import double_precision
from mgm_jax.geometry.local.left_out import left_out_grams, left_out_pca, tail_length
from mgm_jax.geometry.local.spectrum import centred_gram
from mgm_jax.geometry.local.subspaces import Axes, group_overlaps, principal_axes, smaller_sides
from mgm_jax.geometry.local.subspaces_on_cpu import overlaps_on_host
from mgm_jax.geometry.nnk.candidates import candidates_of
from mgm_jax.geometry.nnk.grams_on_host import group_grams_on_host
from mgm_jax.geometry.nnk.kernel import KernelName
from mgm_jax.geometry.nnk.neighbourhood import (
    all_in_group,
    differences_in_group,
    group_gram,
    nearest_in_group,
    some_in_group,
)
from mgm_jax.metrics.local import (
    Affinity,
    Local,
    LocalPcaColumns,
    mean_affinity,
    measure_local,
    pca_columns,
)
from mgm_jax.metrics.options import Options
from mgm_jax.parallel.spread_jit import spread_jit


class GroupInputs(NamedTuple):
    """What a batch of G groups of at most m points is measured from, on the host.

    Attributes:
        points: ``[G, m, d]``.
        mask: which rows are points, ``[G, m]`` bool.
        wanted: candidates of every point of a group, ``[G]`` int.
        bandwidth: of the Gaussian kernel, ``[G, m]``, or None.
    """

    points: np.ndarray
    mask: np.ndarray
    wanted: np.ndarray
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
    if mesh is not None:
        more = -len(inputs.points) % mesh.size
        inputs = jax.tree.map(
            lambda part: np.pad(part, [(0, more)] + [(0, 0)] * (part.ndim - 1)), inputs
        )
    points, mask, wanted, bandwidth = inputs
    _, m, width = points.shape
    k = max(1, min(candidates_of(m, options.k), m - 1))
    on_host = jax.default_backend() == "cpu"
    with double_precision():
        if on_host:
            gram, lengths = group_grams_on_host(points, mask, normalize=options.normalize)
        else:
            results = _spread(_grams, mesh, normalize=options.normalize)(points, mask)
            gram, lengths = map(np.asarray, results)
        axes = principal_axes(gram, width=width)
        if k == m - 1:
            find = partial(_spread, _neighbours_among_all, kernel=options.kernel)
            local, support = _settle(find, mesh, gram, lengths, mask, bandwidth)
            spectra = _whole_pca(gram, mask, lengths, axes, mesh, options)
        else:
            find = partial(_spread, _neighbours_among_some, k=k, kernel=options.kernel)
            local, support, pca = _settle(find, mesh, gram, lengths, mask, bandwidth, wanted)
            spectra = pca_columns(np.asarray(pca)[mask], threshold=options.pca_threshold)
        support = np.asarray(support)
        if on_host:
            overlaps = overlaps_on_host(axes, mask, lengths, support)
        else:
            sides = smaller_sides(support, mask, axes.values, lengths)
            overlaps = _spread(group_overlaps, mesh)(*axes, mask, lengths, *sides)
        widths = np.full(len(points), float(width))
        affinity = _spread(_compare, mesh)(*overlaps, support, mask, widths)
        named = local._asdict() | affinity._asdict()
        columns = {name: np.asarray(column)[mask] for name, column in named.items()}
    return columns | spectra._asdict()


def _settle(
    find: Callable[..., Callable[..., Any]], mesh: Mesh | None, *inputs: np.ndarray | None
) -> tuple[Any, ...]:
    """Measure groups, those that hold a point for the fallback once more with it; one by one."""
    *parts, refused = find(mesh, fallback=False)(*inputs)
    mask = inputs[2]
    left = np.flatnonzero((np.asarray(refused) & mask).any(axis=1))
    if left.size:
        program = find(None, fallback=True)
        parts = jax.tree.map(np.array, parts)
        for group in left:
            *again, _ = program(*(None if p is None else p[group : group + 1] for p in inputs))
            for part, new in zip(jax.tree.leaves(parts), jax.tree.leaves(again), strict=True):
                part[group] = np.asarray(new)[0]
    return tuple(parts)


def _whole_pca(
    gram: np.ndarray,
    mask: np.ndarray,
    lengths: np.ndarray,
    axes: Axes,
    mesh: Mesh | None,
    options: Options,
) -> LocalPcaColumns:
    """Columns of the local PCA ``[n]``; the fallback takes the spectra themselves."""
    tail = tail_length(gram, axes.values, options.pca_threshold)
    threshold = np.full(len(gram), options.pca_threshold)
    leave_out = _spread(left_out_pca, mesh, tail=tail)
    results = leave_out(gram, mask, lengths, *axes, threshold)
    # Copies, to be written to.
    dimension, ratio, certain = map(np.array, results)
    fallback = mask & ~certain
    if fallback.any():
        group, point = np.nonzero(fallback)
        grams = left_out_grams(gram[group], mask[group], point)
        exact = pca_columns(grams, threshold=options.pca_threshold)
        dimension[fallback], ratio[fallback] = exact
    return LocalPcaColumns(dimension[mask], ratio[mask])


def _spread(step: Callable[..., Any], mesh: Mesh | None, **options: Any) -> Callable[..., Any]:
    """Compile a step that takes one group, for all groups of a batch, spread over the mesh."""
    return spread_jit(_of_batch, mesh, step=step, options=tuple(sorted(options.items())))


def _of_batch(*inputs: Any, step: Callable[..., Any], options: tuple[tuple[str, Any], ...]) -> Any:
    return lax.map(lambda group: step(*group, **dict(options)), inputs)


def _grams(points: jax.Array, mask: jax.Array, *, normalize: bool) -> tuple[jax.Array, jax.Array]:
    """Gram matrix ``[m, m]`` and squared lengths ``[m]`` of one group."""
    return group_gram(points, mask, normalize=normalize)


def _neighbours_among_all(
    gram: jax.Array,
    lengths: jax.Array,
    mask: jax.Array,
    bandwidth: jax.Array | None,
    *,
    kernel: KernelName,
    fallback: bool,
) -> tuple[Local, jax.Array, jax.Array]:
    """Measure the points of one group whose candidates are all its other members.

    Returns:
        Columns, each ``[m]``; which members are neighbours of which ``[m, m]`` bool; and which
        points need the fallback ``[m]``. What stands where ``mask`` is False means nothing.
    """
    candidates = all_in_group(gram, mask, lengths)
    return measure_local(candidates, bandwidth, kernel=kernel, fallback=fallback)


def _neighbours_among_some(
    gram: jax.Array,
    lengths: jax.Array,
    mask: jax.Array,
    bandwidth: jax.Array | None,
    wanted: jax.Array,
    *,
    k: int,
    kernel: KernelName,
    fallback: bool,
) -> tuple[Local, jax.Array, jax.Array, jax.Array]:
    """Measure the points of one group from their k nearest other members.

    Returns:
        Columns, each ``[m]``; which members are neighbours of which ``[m, m]`` bool; centred Gram
        matrices of the candidates ``[m, k, k]``; and which points need the fallback ``[m]``.
    """
    index, known = nearest_in_group(gram, mask, lengths, k=k, wanted=wanted)
    candidates = some_in_group(gram, index, known, lengths)
    columns, chosen, refused = measure_local(
        candidates, bandwidth, kernel=kernel, fallback=fallback
    )
    support = jnp.zeros(gram.shape, bool).at[jnp.arange(len(mask))[:, None], index].set(chosen)
    return columns, support, centred_gram(differences_in_group(gram, index), known), refused


def _compare(
    overlap: jax.Array,
    dimension: jax.Array,
    support: jax.Array,
    mask: jax.Array,
    width: jax.Array,
) -> Affinity:
    """Compare the polytopes of the points of one group, whose overlaps ``[m, m]`` are known."""
    others = jnp.broadcast_to(dimension, support.shape)
    near = mean_affinity(overlap, support, dimension, others, width=width)
    rest = mask & ~jnp.eye(len(mask), dtype=bool)
    null, _ = mean_affinity(overlap, rest, dimension, others, width=width)
    return Affinity(*near, null)
