"""Metrics of points of small groups without float64 on the device: one program a batch of groups.

The host follows with the local PCA, whose eigenvalues a device has no good way to, and measures
the groups that pairs or float32 have not settled.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.sharding import Mesh

from mgm_jax.geometry.backend import pairs
from mgm_jax.geometry.backend.pairs import Pair, join_float64, split_float64
from mgm_jax.geometry.backend.wide import on_host
from mgm_jax.geometry.local.left_out import left_out_grams, left_out_pca, tail_length
from mgm_jax.geometry.local.spans_in_pairs import NOISE, spans_in_pairs
from mgm_jax.geometry.local.spectrum import centred_gram
from mgm_jax.geometry.local.subspaces import principal_axes
from mgm_jax.geometry.nnk.in_pairs.distances import (
    chosen_in_groups,
    from_lanes,
    group_distances,
    nearest_in_groups,
    to_lanes,
)
from mgm_jax.geometry.nnk.in_pairs.pivot import diagonal_of
from mgm_jax.geometry.nnk.in_pairs.programs import width_in_pairs
from mgm_jax.geometry.nnk.kernel import KernelName
from mgm_jax.metrics.in_pairs.frames import MAX_DEFECT, frames_of
from mgm_jax.metrics.in_pairs.local import (
    PairLocal,
    columns_on_host,
    measure_in_pairs,
    pca_on_host,
)
from mgm_jax.metrics.local import Affinity, LocalPcaColumns, mean_affinity
from mgm_jax.metrics.options import Options
from mgm_jax.parallel.spread_calls import call_on_groups

_HIGHEST = lax.Precision.HIGHEST


class MeasuredGroups(NamedTuple):
    """What the program says of g groups of at most m points.

    Attributes:
        local: columns, each ``[g, m]``.
        affinity: columns, each ``[g, m]`` float32.
        refused: which points are to be measured in float64 ``[g, m]`` bool.
        defect: how far the frames of the points are from orthonormal ``[g, m]`` float32.
        index: members that are candidates ``[g, m, k]`` int32.
        real: which of them count ``[g, m, k]`` bool.
        gram: Gram matrices about a point in the middle, pairs ``[g, m, m]``.
        squared_length: of the points, in the unit of the Gram matrices ``[g, m]``.
    """

    local: PairLocal
    affinity: Affinity
    refused: jax.Array
    defect: jax.Array
    index: jax.Array
    real: jax.Array
    gram: Pair
    squared_length: jax.Array


@partial(jax.jit, static_argnames=("k", "kernel", "normalize"))
def measure_groups(
    points: jax.Array,
    mask: jax.Array,
    wanted: jax.Array,
    bandwidth: jax.Array | None,
    *,
    k: int,
    kernel: KernelName,
    normalize: bool,
) -> MeasuredGroups:
    """Measure groups from their points.

    Args:
        points: ``[g, m, d]`` float32.
        mask: which rows are points ``[g, m]`` bool.
        wanted: candidates of every point ``[g]`` int.
        bandwidth: of the Gaussian, high and low parts ``[g, m, 2]``, or None.
        k: columns of the candidates.
        kernel: kernel of the regression.
        normalize: whether to put the points on the unit sphere first.
    """
    g, m, width = points.shape
    distances = group_distances(points, mask, normalize=normalize)
    index, real, blurred = nearest_in_groups(distances, mask, k=k, wanted=wanted)
    candidates = chosen_in_groups(distances, index, real)
    unit = to_lanes(jnp.broadcast_to(distances.unit[:, None], (g, m)).reshape(-1))
    lengths = to_lanes(distances.squared_length.reshape(-1))
    to_point = candidates.to_point
    both = pairs.add(to_point[:, None], to_point[None])
    differences = pairs.scale(pairs.subtract(both, candidates.among), np.float32(0.5))
    wide = None if bandwidth is None else width_in_pairs(bandwidth.reshape(-1, 2), unit)
    local, support, spans = measure_in_pairs(
        candidates, wide, differences, lengths, unit, kernel=kernel
    )

    def of_members(values: jax.Array, axes: int) -> jax.Array:
        flat = from_lanes(values, axes)
        return flat.reshape(g, m, *flat.shape[1:])

    dimension = of_members(spans.dimension, 0)
    coordinates = _coordinates(distances.gram, mask, width=width)
    gaps = coordinates.map(
        lambda part: jax.vmap(lambda rows, chosen: rows[chosen])(part, index) - part[:, :, None]
    )
    made_of = of_members(spans.made_of.high, 2)
    frames, defect = frames_of(made_of, gaps.high + gaps.low, dimension)
    projectors = jnp.einsum("gisr,gist->girt", frames, frames, precision=_HIGHEST)
    flat = projectors.reshape(g, m, -1)
    overlap = jnp.einsum("gir,gjr->gij", flat, flat, precision=_HIGHEST)
    chosen = of_members(support, 1)[..., None] & (index[..., None] == jnp.arange(m))
    affinity = _compare(overlap, dimension, chosen.any(axis=2), mask, width=width)
    local = jax.tree.map(lambda part: part.reshape(g, m), local)
    refused = mask & (local.refused | blurred)
    gram, lengths = distances.gram, distances.squared_length
    return MeasuredGroups(local, affinity, refused, defect, index, real, gram, lengths)


def _coordinates(gram: Pair, mask: jax.Array, *, width: int) -> Pair:
    """Coordinates of points that have the Gram matrices of their groups, pairs ``[g, m, r]``."""
    lanes = gram.map(jnp.moveaxis, 0, -1)
    total = jnp.sum(lanes.map(diagonal_of).high, axis=0)
    axes = spans_in_pairs(lanes, mask.T, NOISE * total)
    rank = min(mask.shape[1], width)
    return axes.products.map(lambda part: jnp.transpose(part[:rank], (2, 1, 0)))


def _compare(
    overlap: jax.Array, dimension: jax.Array, support: jax.Array, mask: jax.Array, *, width: int
) -> Affinity:
    """Columns ``[g, m]`` from the overlaps of all polytopes of each group ``[g, m, m]``."""
    m = mask.shape[1]
    others = jnp.broadcast_to(dimension[:, None], support.shape)
    rest = mask[:, :, None] & mask[:, None] & ~jnp.eye(m, dtype=bool)

    def mean(counted: jax.Array) -> tuple[jax.Array, jax.Array]:
        parts = (overlap, counted, others)
        rows = [part.reshape(-1, m) for part in parts]
        means = mean_affinity(rows[0], rows[1], dimension.reshape(-1), rows[2], width=width)
        return means[0].reshape(mask.shape), means[1].reshape(mask.shape)

    null, _ = mean(rest)
    return Affinity(*mean(support), null)


def measure_by_one_program(
    points: np.ndarray,
    mask: np.ndarray,
    wanted: np.ndarray,
    bandwidth: np.ndarray | None,
    k: int,
    options: Options,
    mesh: Mesh | None,
    in_float64: Callable[[np.ndarray], dict[str, np.ndarray]],
) -> dict[str, np.ndarray]:
    """Measure a batch of groups.

    Args:
        points: ``[g, m, d]``.
        mask: which rows are points ``[g, m]`` bool.
        wanted: candidates of every point of a group ``[g]`` int.
        bandwidth: of the Gaussian ``[g, m]``, or None.
        k: columns of the candidates; m - 1 for all other members.
        options: what to measure.
        mesh: devices to spread the groups over; None for one.
        in_float64: columns ``[g', m]`` of some of the groups, to be called on the host.

    Returns:
        Columns ``[g, m]`` float64; what stands where the mask is False means nothing.
    """
    widths = None if bandwidth is None else np.stack(split_float64(bandwidth), axis=-1)
    measured = call_on_groups(
        measure_groups,
        points,
        mask,
        wanted,
        widths,
        mesh=mesh,
        k=k,
        kernel=options.kernel,
        normalize=options.normalize,
    )
    with on_host():
        pca, doubtful = _pca(measured, mask, k, points.shape[2], options.pca_threshold)
        named = columns_on_host(measured.local)._asdict() | measured.affinity._asdict()
        columns = {name: np.array(part, np.float64) for name, part in named.items()}
        columns |= pca._asdict()
        doubtful |= np.asarray(measured.defect) > MAX_DEFECT
        refused = np.flatnonzero(np.any(measured.refused | (mask & doubtful), axis=1))
        if refused.size:
            for name, part in in_float64(refused).items():
                columns[name][refused] = part
    return columns


def _pca(
    measured: MeasuredGroups, mask: np.ndarray, k: int, width: int, threshold: float
) -> tuple[LocalPcaColumns, np.ndarray]:
    """Columns of the local PCA ``[g, m]``, and for which points pairs do not settle them."""
    gram = centred_gram(join_float64(measured.gram), mask)
    if k < mask.shape[1] - 1:
        pairs_of = zip(gram, np.asarray(measured.index), strict=True)
        grams = [_differences(*group) for group in pairs_of]
        real = np.asarray(measured.real).reshape(-1, k)
        pca, doubtful = pca_on_host(np.concatenate(grams), real, threshold=threshold)
        columns = LocalPcaColumns(*(part.reshape(mask.shape) for part in pca))
        return LocalPcaColumns(*(np.array(c, np.float64) for c in columns)), doubtful.reshape(
            mask.shape
        )
    axes = principal_axes(gram, width=width)
    tail = tail_length(gram, axes.values, threshold)
    lengths = np.asarray(measured.squared_length, np.float64)
    thresholds = np.full(len(gram), threshold)
    results = _left_out(gram, mask, lengths, *axes, thresholds, tail=tail)
    dimension, ratio, certain = (np.array(part) for part in results)
    columns = LocalPcaColumns(dimension.astype(np.float64), ratio)
    doubtful = np.zeros(mask.shape, bool)
    left = mask & ~certain
    if left.any():
        group, point = np.nonzero(left)
        grams = left_out_grams(gram[group], mask[group], point)
        others = mask[group] & (np.arange(mask.shape[1]) != point[:, None])
        pca, doubtful[left] = pca_on_host(grams, others, threshold=threshold)
        columns.pca_dimension[left], columns.pca_participation_ratio[left] = pca
    return columns, doubtful


@partial(jax.jit, static_argnames="tail")
def _left_out(*inputs: jax.Array, tail: int) -> tuple[jax.Array, ...]:
    return lax.map(lambda group: left_out_pca(*group, tail=tail), inputs)


def _differences(gram: np.ndarray, index: np.ndarray) -> np.ndarray:
    """Gram matrices of the differences to the candidates, ``[m, m]`` to ``[m, k, k]``."""
    to_point = np.take_along_axis(gram, index, axis=1)
    among = gram[index[:, :, None], index[:, None]]
    own = np.diagonal(gram)[:, None, None]
    return among - to_point[:, :, None] - to_point[:, None] + own
