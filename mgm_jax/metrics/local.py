"""What a point and its candidates say alone, and how the subspaces of points are compared.

Pure functions in float64 that both ways to a neighbourhood share; see ``small_groups`` and
``large_groups``.
"""

from __future__ import annotations

from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from mgm_jax.geometry.local.affinity import affinity
from mgm_jax.geometry.local.polytope import diameter, radius
from mgm_jax.geometry.local.spectrum import local_spectrum
from mgm_jax.geometry.nnk.kernel import KernelName
from mgm_jax.geometry.nnk.neighbourhood import Candidates, regress_on
from mgm_jax.geometry.nnk.solve import SUPPORT_WEIGHT


class Local(NamedTuple):
    """Columns of b points that need no other point's neighbourhood, each ``[b]``."""

    k_effective: jax.Array
    saturated: jax.Array
    duplicates: jax.Array
    nnk_degree: jax.Array
    nnk_diameter: jax.Array
    nnk_radius: jax.Array
    nnk_residual: jax.Array
    nnk_kkt: jax.Array
    knn_distance: jax.Array


class Affinity(NamedTuple):
    """Columns of b points that compare polytopes, each ``[b]``; NaN where undefined."""

    nnk_affinity: jax.Array
    nnk_affinity_excess: jax.Array
    nnk_affinity_null: jax.Array


class LocalPcaColumns(NamedTuple):
    """Columns of b points from the spectra of their candidates, each ``[b]``."""

    pca_dimension: np.ndarray
    pca_participation_ratio: np.ndarray


def pca_columns(centred: np.ndarray, *, threshold: float) -> LocalPcaColumns:
    """Columns from centred Gram matrices ``[b, k, k]``, on the host."""
    spectrum = local_spectrum(centred, threshold=threshold)
    return LocalPcaColumns(spectrum.dimension, spectrum.participation_ratio)


def measure_local(
    candidates: Candidates,
    bandwidth: jax.Array | None,
    *,
    kernel: KernelName,
    fallback: bool,
) -> tuple[Local, jax.Array, jax.Array]:
    """Measure points from the distances of their candidates.

    Args:
        candidates: of b points.
        bandwidth: of the Gaussian kernel, ``[b]``, or None.
        kernel: kernel of the regression.
        fallback: as for :func:`mgm_jax.geometry.nnk.neighbourhood.regress_on`.

    Returns:
        The columns; which candidates are neighbours ``[b, k]`` bool; and which points need the
        fallback ``[b]`` bool: without it their numbers mean nothing.
    """
    among, to_point, mask, _ = candidates
    solution = regress_on(candidates, bandwidth, kernel=kernel, fallback=fallback)
    support = jnp.asarray(solution.theta) > SUPPORT_WEIGHT
    degree = jnp.sum(support, axis=1, dtype=jnp.int32)
    count = jnp.sum(mask, axis=1, dtype=jnp.int32)
    nearest = jnp.min(jnp.where(mask, to_point, jnp.inf), axis=1)
    columns = Local(
        k_effective=count,
        saturated=(degree == count) & (degree > 0),
        duplicates=jnp.sum(_repeated(candidates), axis=1) / jnp.maximum(count, 1),
        nnk_degree=degree,
        nnk_diameter=diameter(among, support),
        nnk_radius=radius(to_point, support),
        nnk_residual=jnp.asarray(solution.residual),
        nnk_kkt=jnp.asarray(solution.kkt),
        knn_distance=jnp.where(count > 0, jnp.sqrt(nearest), jnp.nan),
    )
    return columns, support, jnp.asarray(solution.fallback)


def _repeated(candidates: Candidates) -> jax.Array:
    """Which candidates equal the point or an earlier candidate, ``[b, k]`` bool."""
    among, to_point, mask, _ = candidates
    k = mask.shape[1]
    earlier = jnp.triu(jnp.ones((k, k), bool), 1) & mask[:, :, None]
    nearest_earlier = jnp.min(jnp.where(earlier, among, jnp.inf), axis=1)
    return mask & ((to_point == 0) | (nearest_earlier == 0))


def first_neighbours(support: jax.Array, *, p: int) -> tuple[jax.Array, jax.Array]:
    """Columns of the neighbours among the candidates, moved to the front.

    Args:
        support: which candidates are neighbours, ``[b, k]`` bool, at most p of each point.
        p: columns to keep.

    Returns:
        Columns ``[b, p]`` int, ascending, and which of them hold a neighbour ``[b, p]`` bool.
    """
    # A selection by float32 keys compiles and runs faster than a stable sort of flags.
    earliness = jnp.arange(support.shape[1], 0, -1, dtype=jnp.float32)
    key, columns = lax.top_k(jnp.where(support, earliness, 0), p)
    return columns, key > 0


def take_block(gram: jax.Array, columns: jax.Array) -> jax.Array:
    """Rows and columns of every matrix: ``[b, k, k]`` and ``[b, p]`` to ``[b, p, p]``."""
    rows = jnp.take_along_axis(gram, columns[:, :, None], axis=1)
    return jnp.take_along_axis(rows, columns[:, None, :], axis=2)


def mean_affinity(
    overlap: jax.Array, mask: jax.Array, dimension: jax.Array, others: jax.Array, *, width: Any
) -> tuple[jax.Array, jax.Array]:
    """Mean affinity and mean excess of points with several others.

    Args:
        overlap: ``||U_i' U_j||_F^2``, ``[b, c]``.
        mask: which others count, ``[b, c]`` bool.
        dimension: of the points' subspaces, ``[b]``.
        others: of the others' subspaces, ``[b, c]``.
        width: number of features.

    Returns:
        ``[b]`` each, over the others for which the value is defined; NaN where there is none.
    """
    own = jnp.broadcast_to(dimension[:, None], others.shape)
    parts = affinity(overlap, own, others, width=width)
    return _mean(parts[0], mask), _mean(parts[1], mask)


def affinity_within(
    overlap: Any, dimension: Any, support: Any, mask: Any, *, width: int
) -> Affinity:
    """Compare the polytopes of the points of groups, each with all others of its group.

    Args:
        overlap: ``||U_i' U_j||_F^2``, ``[..., m, m]``; NumPy stays NumPy.
        dimension: of the subspaces, ``[..., m]`` int.
        support: which members are neighbours of which, ``[..., m, m]`` bool.
        mask: which places are points, ``[..., m]`` bool.
        width: number of features.
    """
    xp = np if isinstance(overlap, np.ndarray) else jnp
    each, excess = affinity(overlap, dimension[..., :, None], dimension[..., None, :], width=width)
    rest = mask[..., None, :] & ~xp.eye(mask.shape[-1], dtype=bool)
    mean: Any = _mean_on_host if xp is np else _mean
    return Affinity(mean(each, support), mean(excess, support), mean(each, rest))


def _mean(values: jax.Array, mask: jax.Array) -> jax.Array:
    counted = mask & ~jnp.isnan(values)
    total = jnp.sum(jnp.where(counted, values, 0), axis=-1)
    number = jnp.sum(counted, axis=-1)
    return jnp.where(number > 0, total / jnp.maximum(number, 1), jnp.nan)


def _mean_on_host(values: np.ndarray, mask: np.ndarray) -> np.ndarray:
    undefined = np.isnan(values)
    if undefined.any():
        mask = mask & ~undefined
        values = np.where(undefined, 0, values)
    weights = mask.astype(values.dtype)
    number = weights.sum(axis=-1)
    total = np.vecdot(values, weights)
    return np.divide(total, number, out=np.full(number.shape, np.nan), where=number > 0)


@partial(jax.jit, static_argnames="near")
def affinities(
    overlap: jax.Array,
    counted: jax.Array,
    dimension: jax.Array,
    others: jax.Array,
    width: jax.Array | int,
    *,
    near: int,
) -> Affinity:
    """Means over the first ``near`` others, the neighbours, and over the rest, chance."""

    def mean(part: slice) -> tuple[jax.Array, jax.Array]:
        return mean_affinity(
            overlap[:, part], counted[:, part], dimension, others[:, part], width=width
        )

    null, _ = mean(slice(near, None))
    return Affinity(*mean(slice(0, near)), null)
