"""A snapshot of the geometry of features: a dict of scalars, cheap enough for every few steps."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.core import Tracer

from mgm_jax.errors import InputError
from mgm_jax.geometry.cloud.effective_rank import POWER_LAW_RANKS, RANK_EPSILON
from mgm_jax.geometry.local.polytope import diameter
from mgm_jax.geometry.nnk.gram_distances import squared_distances
from mgm_jax.geometry.points.checks import as_array, is_real
from mgm_jax.geometry.points.choice import choose_rows
from mgm_jax.geometry.points.groups import encode_groups
from mgm_jax.training.neighbourhoods import (
    affinity_excess,
    neighbourhoods,
    nnk_support,
)
from mgm_jax.training.spectra import spectra

_LIDAR_DELTA = 1e-4
_DISCARDED = 0.1


def snapshot(
    features: Any,
    labels: Any = None,
    *,
    k: int = 15,
    anchors: int = 256,
    seed: int = 0,
    axis_name: str | None = None,
) -> dict[str, jax.Array]:
    """Geometry of features in a flat dict of scalars; pure, of fixed shape, to be used under jit.

    Measures of the whole cloud use all rows. Those of neighbourhoods are means over ``anchors``
    rows drawn by ``seed`` (the same at every call), whose neighbours are sought among all rows
    on the unit sphere. Everything is computed in float32, or float64 where the features are: an
    estimate to watch a training run by, not the certified figures of ``manifold_metrics``.

    Args:
        features: ``[n, d]``, one row an image, or ``[images, views, d]``, at least 2 views: then
            the measures of the cloud and of neighbourhoods take the first view of each image.
        labels: one integer an image ``[n]``, for ``knn_accuracy``; None leaves it out. Outside of
            compiled code strings too, and whatever else ``manifold_metrics`` takes for groups.
        k: candidates of each anchor, at most n - 1.
        anchors: rows whose neighbourhoods are measured; at most all are.
        seed: of the draw of the anchors.
        axis_name: mapped axis of ``shard_map`` or ``pmap`` over which the rows are spread: the
            rows of all devices are gathered first. None where all rows are here.

    Returns:
        Scalars, NaN where undefined:

        - ``rankme``: effective rank, 1 (collapsed) to min(n, d);
        - ``alpha_req``: decay of the covariance spectrum, 0 (flat) up;
        - ``uniformity``: log mean Gaussian potential of anchors and rows, -8 to 0 (collapsed);
        - ``mean_cosine``: of two different rows, to 1 (collapsed);
        - ``nnk_degree``: mean number of NNK neighbours, shifted cosine;
        - ``relative_diameter``: mean NNK diameter over the root mean squared distance of two
            different rows;
        - ``affinity_excess``: of an anchor's polytope and its nearest neighbour's, mean; 1: flat,
            0: chance;
        - ``two_nn``: intrinsic dimension;
        - with labels ``knn_accuracy``: leave-one-out majority vote of the k nearest;
        - with views ``alignment``: mean squared distance of two views, 0 to 4, and ``lidar``:
            effective rank of what tells images apart.

    Raises:
        InputError: shapes that do not fit, fewer than 4 rows, no real numbers; outside of
            compiled code missing labels. Values of features are not looked at: such as are not
            finite give NaN, and rows without a direction (only zeros) NaN for what needs one.

    References:
        As in ``manifold_metrics``, ``rankme``, ``alpha_req``, ``lidar``, ``uniformity``,
        ``two_nn``.

    Example:
        >>> x = jax.random.normal(jax.random.key(0), (200, 8))
        >>> result = jax.jit(snapshot)(x)
        >>> 6 < float(result["rankme"]) < 8
        True
    """
    x = points_of(features)
    if x.ndim and labels is not None and not isinstance(labels, Tracer):
        labels = encode_groups(labels, x.shape[0], name="labels").codes
    if axis_name is not None:
        x = lax.all_gather(x, axis_name, tiled=True)
        labels = None if labels is None else lax.all_gather(labels, axis_name, tiled=True)
    if x.ndim not in (2, 3) or (x.ndim == 3 and x.shape[1] < 2):
        raise InputError(
            "features must be [n, d], or [images, views, d] with at least 2 views; "
            f"got shape {x.shape}."
        )
    n = x.shape[0]
    if not x.shape[-1]:
        raise InputError(f"features must have at least one column; got shape {x.shape}.")
    if n < 4 or not 2 <= k < n:
        raise InputError(
            f"features must have at least 4 rows and k be 2 to n - 1; got {n} rows and k={k}."
        )
    if labels is not None and jnp.shape(labels) != (n,):
        raise InputError(
            f"labels must be one integer a row, shape {(n,)}; got {jnp.shape(labels)}."
        )
    x = x.astype(jnp.float64 if x.dtype == jnp.float64 else jnp.float32)
    cloud = x[:, 0] if x.ndim == 3 else x
    values = _of_cloud(cloud) | _of_neighbourhoods(cloud, labels, k=k, anchors=anchors, seed=seed)
    return values | (_of_views(x) if x.ndim == 3 else {})


def points_of(features: Any) -> jax.Array:
    """Features of whatever kind as a JAX array; what is traced stays as it is.

    Raises:
        InputError: nothing that NumPy makes an array of, masked values, no real numbers.
    """
    array = as_array(features, name="features")
    if not is_real(array.dtype):
        raise InputError(
            f"features must hold real numbers; got dtype {array.dtype}. Convert them to float32."
        )
    if isinstance(array, jax.Array):
        return array
    # JAX takes neither long doubles nor another order of bytes, and would cut large integers off.
    kept = array.dtype.kind == "f" and array.dtype.isnative and array.dtype.itemsize <= 8
    with np.errstate(over="ignore"):
        return jnp.asarray(array if kept else array.astype(np.float64))


def _of_cloud(x: jax.Array) -> dict[str, jax.Array]:
    n, d = x.shape
    # Neither measure depends on the unit; squares of values as large as 1e20 would overflow.
    squares, scatter = spectra(_near_one(x, axis=None))
    return {
        "rankme": _entropy_rank(jnp.sqrt(squares)),
        "alpha_req": _power_law(scatter[: min(n - 1, d)], size=min(n - 1, d)),
    }


def _of_neighbourhoods(
    x: jax.Array, labels: Any, *, k: int, anchors: int, seed: int
) -> dict[str, jax.Array]:
    n = x.shape[0]
    unit = _on_sphere(x)
    chosen = jnp.asarray(choose_rows(n, anchors, seed=seed))
    own = neighbourhoods(unit, chosen, k=k)
    nearest = own.index[:, 0]
    other = neighbourhoods(unit, nearest, k=k)
    # One loop of pivots for both: a step costs little more for twice the points.
    both = nnk_support(jnp.concatenate([own.gram, other.gram]))
    support, support_of_other = both[: chosen.size], both[chosen.size :]
    # Twice the cosine of two different rows, from the length of the sum of all.
    total = jnp.sum(unit, axis=0)
    mean_cosine = (jnp.vdot(total, total) - n) / (n * (n - 1))
    yardstick = jnp.sqrt(jnp.maximum(2 - 2 * mean_cosine, 0))
    potential = jnp.exp(-4 * (1 - own.cosines)).at[jnp.arange(chosen.size), chosen].set(0)
    across = jnp.nanmean(diameter(squared_distances(own.gram), support))
    excess = affinity_excess(
        unit, (chosen, own.index, support), (nearest, other.index, support_of_other)
    )
    values = {
        "uniformity": jnp.log(jnp.sum(potential) / (chosen.size * (n - 1))),
        "mean_cosine": mean_cosine,
        "nnk_degree": jnp.mean(support.sum(axis=1)),
        "relative_diameter": across / yardstick,
        "affinity_excess": jnp.nanmean(excess),
        "two_nn": _two_nn(own.squared),
    }
    if labels is not None:
        votes = jnp.asarray(labels)[own.index]
        # Of labels with equally many votes the one of the nearest wins: argmax takes the first.
        counts = (votes[:, :, None] == votes[:, None, :]).sum(axis=2)
        winner = jnp.take_along_axis(votes, jnp.argmax(counts, axis=1)[:, None], axis=1)[:, 0]
        values["knn_accuracy"] = jnp.mean(winner == jnp.asarray(labels)[chosen])
    # A row without a direction is nearest to all others, as NaN ranks above every cosine.
    directed = jnp.isfinite(total).all()
    return {name: jnp.where(directed, value, jnp.nan) for name, value in values.items()}


def _of_views(x: jax.Array) -> dict[str, jax.Array]:
    images, views, d = x.shape
    unit = _on_sphere(x)
    spread = unit - unit.mean(axis=1, keepdims=True)
    # The mean over pairs of two different views is 2 v / (v - 1) of the mean over views.
    alignment = 2 * views / (views - 1) * jnp.mean(jnp.sum(spread**2, axis=-1))
    means = x.mean(axis=1)
    within = (x - means[:, None]).reshape(-1, d)
    covariance = jnp.matmul(within.T, within, precision="highest") / (images * (views - 1))
    between = means - means.mean(axis=0)
    factor = jnp.linalg.cholesky(covariance + _LIDAR_DELTA * jnp.eye(d, dtype=x.dtype))
    whitened = lax.linalg.triangular_solve(factor, between.T, left_side=True, lower=True).T
    # LiDAR takes the eigenvalues themselves, RankMe their roots.
    return {"alignment": alignment, "lidar": _entropy_rank(spectra(whitened).scatter)}


def _on_sphere(x: jax.Array) -> jax.Array:
    near_one = _near_one(x, axis=-1)
    return near_one / jnp.linalg.norm(near_one, axis=-1, keepdims=True)


def _near_one(x: jax.Array, *, axis: int | None) -> jax.Array:
    """Values times a power of two, which rounds nothing, so that the largest along an axis is
    between a half and one."""
    _, exponent = jnp.frexp(jnp.max(jnp.abs(x), axis=axis, keepdims=True))
    return jnp.ldexp(x, -exponent)


def _entropy_rank(values: jax.Array) -> jax.Array:
    shares = values / jnp.sum(values) + RANK_EPSILON
    return jnp.exp(-jnp.sum(shares * jnp.log(shares)))


def _power_law(eigenvalues: jax.Array, *, size: int) -> jax.Array:
    """Slope of log eigenvalue over log rank, ranks 11 to 100 where three of these are left."""
    ranks = jnp.arange(1, size + 1)
    usable = eigenvalues > eigenvalues[0] * size * jnp.finfo(jnp.float32).eps
    middle = usable & (ranks >= POWER_LAW_RANKS[0]) & (ranks <= POWER_LAW_RANKS[1])
    counted = jnp.where(middle.sum() >= 3, middle, usable)
    weights = jnp.where(counted, 1 / ranks, 0).astype(eigenvalues.dtype)
    weights /= weights.sum()
    x = jnp.log(ranks).astype(eigenvalues.dtype)
    y = jnp.log(jnp.where(counted, eigenvalues, 1))
    x -= jnp.sum(weights * x)
    slope = jnp.sum(weights * x * y) / jnp.sum(weights * x**2)
    return jnp.where(counted.sum() >= 3, -slope, jnp.nan)


def _two_nn(squared: jax.Array) -> jax.Array:
    """Slope through the origin of ``-log(1 - F)`` over ``log mu``, the largest tenth left out."""
    n = squared.shape[0]
    kept = min(int(n * (1 - _DISCARDED)), n - 1)
    ratio = jnp.sort(jnp.log(squared[:, 1] / squared[:, 0]) / 2)[:kept]
    height = -jnp.log1p(-jnp.arange(1, kept + 1) / n).astype(ratio.dtype)
    return jnp.vdot(ratio, height) / jnp.vdot(ratio, ratio)
