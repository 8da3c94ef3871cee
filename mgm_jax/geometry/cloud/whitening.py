"""Whitening of a feature space, and how invariant an encoder is to views once it is whitened.

Features of most encoders lie in a narrow cone, and a few directions carry most of their variance:
the plain cosine of two views is then high whatever they show. Whitened, every direction counts
alike, and the cosine of two different images is 0 on average.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from mgm_jax.errors import InputError
from mgm_jax.geometry.backend.precision import double_precision
from mgm_jax.geometry.backend.wide import on_host, wide_arithmetic
from mgm_jax.geometry.cloud.moments import Moments, check_chunk, moments_of, row_blocks
from mgm_jax.geometry.cloud.views import alignment


@dataclass(frozen=True, kw_only=True, eq=False)
class Whitening:
    """A linear map after which the points it was made from have about unit covariance.

    Attributes:
        mean: what is taken off a point first, ``[d]`` float64.
        matrix: what it is multiplied by then, ``[d, d]`` float64.
        shrinkage: weight of the plain variance in the covariance, 0 to 1.
    """

    mean: np.ndarray
    matrix: np.ndarray
    shrinkage: float

    def __call__(self, x: Any) -> np.ndarray:
        """Whitened points, ``[n, d]`` float32, of points ``[n, d]``; n may be 1.

        Raises:
            InputError: unusable points, or another number of features.
        """
        points = check_chunk(x, features=self.mean.size, name="x")
        whitened = np.empty(points.shape, np.float32)
        with on_host() if wide_arithmetic() == "pairs" else double_precision():
            mean, matrix = jnp.asarray(self.mean), jnp.asarray(self.matrix)
            for rows in row_blocks(len(whitened)):
                part = np.asarray(points[rows])
                whitened[rows] = np.asarray(_apply(jnp.asarray(part), mean, matrix))
        return whitened


def whitening_of(moments: Moments, *, shrinkage: float | None = None) -> Whitening:
    """Whitening by a covariance shrunk towards a multiple of the identity.

    ``z = R'(x - m)`` with ``R R' = C^-1`` and ``C = (1 - r) S + r tr(S)/d I``, S the covariance
    over n. Any such R will do: all of them differ by a rotation, which no cosine and no distance
    sees, so the triangular one is taken, not the symmetric one (ZCA) or the principal axes (PCA).

    Args:
        moments: of at least two points, the more the better.
        shrinkage: r, 0 to 1. None takes the one with the least expected error for normal points,
            ``min(1, (tr(S^2)/d^2 + t^2) / ((n + 1)(tr(S^2)/d^2 - t^2/d)))`` with ``t = tr(S)/d``
            (Chen et al. 2010, OAS): small for many points, large for fewer points than features.

    Raises:
        InputError: fewer than two points, points all alike, shrinkage outside 0 to 1, or no
            shrinkage where the covariance has not full rank.

    References:
        Chen, Wiesel, Eldar and Hero, "Shrinkage algorithms for MMSE covariance estimation", IEEE
        Transactions on Signal Processing 58(10), 2010.

    Example:
        >>> ring = np.array([[2.0, 0.0], [-2.0, 0.0], [0.0, 1.0], [0.0, -1.0]])
        >>> whitening = whitening_of(moments_of(ring), shrinkage=0.0)
        >>> np.round(whitening([[2.0, 1.0]]), 3).tolist()
        [[1.4140000343322754, 1.4140000343322754]]
    """
    from scipy.linalg import LinAlgError, cholesky, solve_triangular

    if shrinkage is not None and not 0 <= shrinkage <= 1:
        raise InputError(f"shrinkage must be from 0 to 1; got {shrinkage}.")
    known = moments.needing(2)
    covariance = known.scatter / known.count
    variance = float(np.trace(covariance)) / known.features
    if not variance > 0:
        raise InputError(
            f"moments must be of points that differ; all {known.count} are alike. "
            "A collapsed encoder cannot be whitened."
        )
    weight = _oracle_shrinkage(covariance, known.count) if shrinkage is None else float(shrinkage)
    shrunk = (1 - weight) * covariance + weight * variance * np.eye(known.features)
    try:
        root = cholesky(shrunk, lower=True)
    except LinAlgError:
        raise InputError(
            f"moments must have a covariance of full rank, {known.features}, to be whitened with "
            f"shrinkage {weight}; got {known.count} points. Leave shrinkage out, or add points."
        ) from None
    matrix = solve_triangular(root, np.eye(known.features), lower=True).T
    return Whitening(mean=known.mean, matrix=matrix, shrinkage=weight)


def whitened_invariance(
    x: Any, groups: Any, *, reference: Moments | None = None, shrinkage: float | None = None
) -> float:
    """Mean cosine of two whitened views of one image, after Ericsson et al. (2022).

    ``mean over groups of mean over i != j of cos(z_i, z_j)``, z the points whitened by the mean
    and the shrunk covariance of the reference (see ``whitening_of``). For views that come in
    chunks: ``1 - alignment_of(moments) / 2`` with the moments, on the sphere, of whitened chunks.

    This is our reading of the measure. The authors whiten by the un-augmented images too, but
    without shrinkage, which needs many more images than features; and they compare every view
    with the un-augmented image where we compare all pairs of views.

    Args:
        x: embeddings of views ``[n, d]``.
        groups: the image of every view; at least two views an image.
        reference: moments of the un-augmented embeddings; None for those of x itself.
        shrinkage: as in ``whitening_of``.

    Returns:
        From -1 / (v - 1) for v views an image to 1: 1 where all views agree, 0 where two views of
        one image are as far apart as those of two images.

    Raises:
        InputError: unusable points, groups of one point, a view exactly at the mean, a reference
            that cannot be whitened.

    References:
        Ericsson, Gouk and Hospedales, "Why do self-supervised models transfer? On the impact of
        invariance on downstream tasks", BMVC 2022.

    Example:
        >>> views = np.repeat(np.eye(4), 2, axis=0)
        >>> round(whitened_invariance(views, np.repeat(np.arange(4), 2)), 3)
        1.0
    """
    whitening = whitening_of(moments_of(x) if reference is None else reference, shrinkage=shrinkage)
    # Of unit vectors, |u - v|^2 = 2 - 2 u'v.
    return 1 - alignment(whitening(x), groups) / 2


def _oracle_shrinkage(covariance: np.ndarray, count: int) -> float:
    d = len(covariance)
    square = float(np.sum(covariance * covariance)) / d**2
    mean_square = (float(np.trace(covariance)) / d) ** 2
    spread = (count + 1) * (square - mean_square / d)
    return 1.0 if spread <= 0 else min(1.0, (square + mean_square) / spread)


@jax.jit
def _apply(points: jax.Array, mean: jax.Array, matrix: jax.Array) -> jax.Array:
    centred = points.astype(jnp.float64) - mean
    return jnp.matmul(centred, matrix, precision=jax.lax.Precision.HIGHEST).astype(jnp.float32)
