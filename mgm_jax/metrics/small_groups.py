"""Metrics of points of small groups: one Gram matrix a group, and all of its points at once.

A batch goes through these steps. On a GPU with fast float64 all are one program; other accelerators
take the one of ``in_pairs``. On a CPU some are compiled and some are not, and only the first sees
the features, so that encoders of other widths compile next to nothing anew:

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
from mgm_jax.geometry.backend.wide import wide_arithmetic
from mgm_jax.geometry.local.left_out import LeftOut, left_out_grams, left_out_pca, tail_length
from mgm_jax.geometry.local.polytope import diameters_in_group, radius
from mgm_jax.geometry.local.spectrum import centred_gram
from mgm_jax.geometry.local.subspaces import group_overlaps, principal_axes
from mgm_jax.geometry.local.subspaces_on_cpu import overlaps_on_host
from mgm_jax.geometry.nnk.candidates import candidates_of
from mgm_jax.geometry.nnk.grams_on_host import group_grams_on_host
from mgm_jax.geometry.nnk.kernel import KernelName
from mgm_jax.geometry.nnk.left_out import (
    are_apart,
    group_kernels,
    host_distances,
    solve_left_out,
    suits_left_out,
)
from mgm_jax.geometry.nnk.neighbourhood import (
    all_in_group,
    chosen_in_group,
    differences_in_group,
    group_gram,
    nearest_in_group,
)
from mgm_jax.geometry.nnk.settle import settle_groups
from mgm_jax.geometry.nnk.solve import SUPPORT_WEIGHT
from mgm_jax.metrics.in_pairs.small_groups import measure_by_one_program
from mgm_jax.metrics.local import (
    Affinity,
    Local,
    LocalPcaColumns,
    affinity_within,
    first_neighbours,
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
    k = max(1, min(candidates_of(inputs.mask.shape[1], options.k), inputs.mask.shape[1] - 1))
    if wide_arithmetic() == "pairs":
        columns = measure_by_one_program(
            *inputs, k, options, mesh, in_float64=partial(_on_host, inputs, k, options)
        )
        return {name: column[inputs.mask] for name, column in columns.items()}
    on_cpu = jax.default_backend() == "cpu"
    with double_precision():
        local, affinity, spectra = (_on_cpu if on_cpu else _on_device)(inputs, k, options, mesh)
        named = local._asdict() | affinity._asdict()
        columns = {name: np.asarray(column)[inputs.mask] for name, column in named.items()}
    return columns | spectra._asdict()


def _on_host(
    inputs: GroupInputs, k: int, options: Options, groups: np.ndarray
) -> dict[str, np.ndarray]:
    """Columns ``[g', m]`` of some groups, in float64 beside a device that is slow in it."""
    # A few numbers of groups, so that few programs compile.
    full = np.pad(groups, (0, (1 << (groups.size - 1).bit_length()) - groups.size), mode="edge")
    part = jax.tree.map(lambda column: column[full], inputs)
    local, affinity, spectra = _on_cpu(part, k, options, None)
    named = local._asdict() | affinity._asdict()
    columns = {name: np.asarray(column)[: groups.size] for name, column in named.items()}
    for name, column in spectra._asdict().items():
        whole = np.full(part.mask.shape, np.nan)
        whole[part.mask] = column
        columns[name] = whole[: groups.size]
    return columns


def _on_cpu(
    inputs: GroupInputs, k: int, options: Options, mesh: Mesh | None
) -> tuple[Local, Affinity, LocalPcaColumns]:
    points, mask, wanted, bandwidth = inputs
    width = points.shape[2]
    rows = np.arange(mask.size).reshape(mask.shape)
    flat = points.reshape(mask.size, width)
    gram, lengths = group_grams_on_host(flat, rows, mask, normalize=options.normalize)
    axes = principal_axes(gram, width=width)
    if k == mask.shape[1] - 1:
        parts = gram, lengths, mask, bandwidth
        local, support = _measure_among_all(parts, mesh, options.kernel)
        tail = tail_length(gram, axes.values, options.pca_threshold)
        threshold = np.full(len(gram), options.pca_threshold)
        results = _spread(left_out_pca, mesh, tail=tail)(gram, mask, lengths, *axes, threshold)
        spectra = _settled_pca(results, gram, mask, options)
    else:
        parts = gram, lengths, mask, bandwidth, wanted
        local, support, pca = _settle(
            _neighbours_among_nearest, mesh, mask, *parts, kernel=options.kernel, k=k
        )
        spectra = pca_columns(np.asarray(pca)[mask], threshold=options.pca_threshold)
    support = np.asarray(support)
    overlaps = overlaps_on_host(axes, mask, lengths, support)
    return local, affinity_within(*overlaps, support, mask, width=width), spectra


def _measure_among_all(
    parts: tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray | None],
    mesh: Mesh | None,
    kernel: KernelName,
) -> tuple[Local, np.ndarray]:
    """Columns ``[g, m]`` and neighbours ``[g, m, m]`` of points with all others as candidates."""
    gram, lengths, mask, _ = parts
    step = partial(_settle, _neighbours_among_all, kernel=kernel)
    if not suits_left_out(kernel):
        local, support = step(mesh, mask, *parts)
        return local, np.asarray(support)
    distance = host_distances(gram)
    measure = _spread(_neighbours_left_out, mesh)
    local, support, refused = measure(distance, *group_kernels(distance, mask))
    # Groups that ask for more than one matrix for all of their points.
    left = ~are_apart(distance, mask, lengths) | (np.asarray(refused) & mask).any(axis=1)
    left = np.flatnonzero(left & mask.any(axis=1))
    if left.size:
        local, support = jax.tree.map(np.array, (local, support))
        for group in left:
            one = [None if part is None else part[group : group + 1] for part in parts]
            again = step(None, mask[group : group + 1], *one)
            for whole, new in zip(
                jax.tree.leaves((local, support)), jax.tree.leaves(again), strict=True
            ):
                whole[group] = np.asarray(new)[0]
    return local, np.asarray(support)


def _on_device(
    inputs: GroupInputs, k: int, options: Options, mesh: Mesh | None
) -> tuple[Local, Affinity, LocalPcaColumns]:
    """All of it by one program; what needs more, a fallback or a spectrum, comes after it."""
    points, mask, wanted, bandwidth = inputs
    threshold = np.full(len(points), options.pca_threshold)
    local, affinity, pca, gram = _settle(
        whole_group,
        mesh,
        mask,
        *(points, mask, wanted, bandwidth, threshold),
        kernel=options.kernel,
        k=k,
        normalize=options.normalize,
    )
    if k == mask.shape[1] - 1:
        return local, affinity, _settled_pca(pca, np.asarray(gram), mask, options)
    spectra = pca_columns(np.asarray(pca)[mask], threshold=options.pca_threshold)
    return local, affinity, spectra


def whole_group(
    points: jax.Array,
    mask: jax.Array,
    wanted: jax.Array,
    bandwidth: jax.Array | None,
    threshold: jax.Array,
    *,
    k: int,
    kernel: KernelName,
    normalize: bool,
    fallback: bool,
) -> tuple[Local, Affinity, Any, jax.Array, jax.Array]:
    """Measure one group from its points; pure, for accelerators.

    Args:
        points: ``[m, d]``.
        mask: which rows are points, ``[m]`` bool.
        wanted: candidates of every point, a scalar int.
        bandwidth: of the Gaussian kernel, ``[m]``, or None.
        threshold: share of the variance that the local dimension explains.
        k: columns of the candidates; m - 1 for all other members.
        kernel: kernel of the regression.
        normalize: whether to put the points on the unit sphere first.
        fallback: as for :func:`measure_local`.

    Returns:
        Columns, each ``[m]``; the local PCA where all others are candidates, centred Gram matrices
        of the candidates ``[m, k, k]`` where not; the Gram matrix; and which points need the
        fallback ``[m]``.
    """
    gram, lengths = group_gram(points, mask, normalize=normalize)
    m, width = points.shape
    axes = principal_axes(gram, width=width)
    pca: Any
    if k == m - 1:
        local, support, refused = _neighbours_among_all(
            gram, lengths, mask, bandwidth, kernel=kernel, fallback=fallback
        )
        pca = left_out_pca(gram, mask, lengths, *axes, threshold)
    else:
        local, support, pca, refused = _neighbours_among_nearest(
            gram, lengths, mask, bandwidth, wanted, k=k, kernel=kernel, fallback=fallback
        )
    support &= mask[:, None] & mask[None, :]
    members, present = first_neighbours(support, p=k)
    members = jnp.where(present, members, -1)
    overlaps = group_overlaps(*axes, mask, lengths, members, jnp.zeros(m, bool))
    affinity = affinity_within(*overlaps, support, mask, width=width)
    return local, affinity, pca, gram, refused


def _settle(
    step: Callable[..., Any],
    mesh: Mesh | None,
    mask: np.ndarray,
    *inputs: np.ndarray | None,
    kernel: KernelName,
    **options: Any,
) -> tuple[Any, ...]:
    """Measure groups by a step that flags the points that need the fallback."""

    def run(where: Mesh | None, *parts: Any, fallback: bool) -> tuple[Any, ...]:
        return _spread(step, where, kernel=kernel, fallback=fallback, **options)(*parts)

    return settle_groups(partial(run, mesh), mask, *inputs, alone=partial(run, None))


def _settled_pca(
    results: LeftOut, gram: np.ndarray, mask: np.ndarray, options: Options
) -> LocalPcaColumns:
    """Columns of the local PCA ``[n]``; the fallback takes the spectra themselves."""
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


def _neighbours_left_out(
    distance: jax.Array, *kernels: jax.Array
) -> tuple[Local, jax.Array, jax.Array]:
    """As :func:`_neighbours_among_all`, of a group without copies, from what its points share.

    Args:
        distance: squared distances among the members ``[m, m]``.
        kernels: as for :func:`mgm_jax.geometry.nnk.left_out.solve_left_out`.
    """
    mask = kernels[3]
    solution = solve_left_out(*kernels)
    others = mask[:, None] & mask[None, :] & ~jnp.eye(len(mask), dtype=bool)
    support = solution.theta > SUPPORT_WEIGHT
    degree = jnp.sum(support, axis=1, dtype=jnp.int32)
    count = jnp.sum(others, axis=1, dtype=jnp.int32)
    nearest = jnp.min(jnp.where(others, distance, jnp.inf), axis=1)
    columns = Local(
        k_effective=count,
        saturated=(degree == count) & (degree > 0),
        duplicates=jnp.zeros(len(mask), distance.dtype),
        nnk_degree=degree,
        nnk_diameter=diameters_in_group(distance, support),
        nnk_radius=radius(distance, support),
        nnk_residual=solution.residual,
        nnk_kkt=solution.kkt,
        knn_distance=jnp.where(count > 0, jnp.sqrt(nearest), jnp.nan),
    )
    return columns, support, solution.fallback


def _neighbours_among_nearest(
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
    candidates = chosen_in_group(gram, index, known, lengths)
    columns, chosen, refused = measure_local(
        candidates, bandwidth, kernel=kernel, fallback=fallback
    )
    support = jnp.zeros(gram.shape, bool).at[jnp.arange(len(mask))[:, None], index].set(chosen)
    return columns, support, centred_gram(differences_in_group(gram, index), known), refused
