"""Procrustes, SVCCA, PWCCA and GULP: how well linear maps take one model's points to another's.

Each follows from the second moments of two models, ``X'X``, ``X'Y`` and ``Y'Y`` of centred points,
so that one pass over the images serves them all and memory does not grow with their number.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mgm_jax.analysis.similarity.coordinates import Coordinates, cross_products

SVCCA_SHARE = 0.99
"""Share of the variance whose principal directions SVCCA compares."""

# Directions of less than this share of the largest variance are the rounding of float32.
_RANK = 1e-10


@dataclass(frozen=True, kw_only=True, eq=False)
class Moments:
    """Principal directions of a model.

    Attributes:
        own: its centred points.
        values: eigenvalues of ``X'X``, descending, ``[r]``.
        vectors: its eigenvectors, ``[r, r]``, a column each.
    """

    own: Coordinates
    values: np.ndarray
    vectors: np.ndarray

    @classmethod
    def make(cls, own: Coordinates) -> Moments:
        """From centred points."""
        values, vectors = np.linalg.eigh(cross_products(own, own))
        return cls(own=own, values=np.maximum(values[::-1], 0), vectors=vectors[:, ::-1])

    @property
    def rank(self) -> int:
        """Number of directions that are more than rounding."""
        return int(np.sum(self.values > _RANK * self.values[0]))

    def directions(self, share: float) -> int:
        """Fewest directions that hold a share of the variance."""
        return int(np.searchsorted(np.cumsum(self.values), share * self.values.sum())) + 1


def principal_products(first: Moments, second: Moments) -> np.ndarray:
    """``X'Y`` in the principal directions of both, ``[r, s]``."""
    return first.vectors.T @ cross_products(first.own, second.own) @ second.vectors


def procrustes(
    first: Moments, second: Moments, joint: np.ndarray, *, level: float
) -> tuple[float, float, float]:
    """``|X'Y|_* / (|X| |Y|)``, the cosine after the best rotation, and its interval.

    The interval is that of the infinitesimal jackknife: with ``X'Y = U S V'`` an image moves the
    logarithm by ``x_i' U V' y_i / |X'Y|_* - |x_i|^2 / 2|X|^2 - |y_i|^2 / 2|Y|^2``.
    """
    from scipy.stats import norm

    spreads = first.values.sum(), second.values.sum()
    left, singular, right = np.linalg.svd(joint, full_matrices=False)
    total = singular.sum()
    value = float(total / np.sqrt(spreads[0] * spreads[1]))
    rotation = first.vectors @ (left @ right) @ second.vectors.T
    squares = 0.0
    for part, rows in first.own.blocks():
        others = second.own.rows(part)
        moved = np.einsum("ij,ij->i", rows @ rotation, others) / total
        moved -= np.sum(rows * rows, axis=1) / (2 * spreads[0])
        moved -= np.sum(others * others, axis=1) / (2 * spreads[1])
        squares += float(moved @ moved)
    reach = float(norm.ppf((1 + level) / 2)) * value * np.sqrt(squares)
    return value, value - reach, min(value + reach, max(value, 1.0))


def svcca(first: Moments, second: Moments, joint: np.ndarray) -> float:
    """Mean canonical correlation of the directions that hold 99 % of either variance."""
    kept = first.directions(SVCCA_SHARE), second.directions(SVCCA_SHARE)
    correlations = _whitened(first, second, joint, kept)
    return float(np.linalg.svd(correlations, compute_uv=False).mean())


def pwcca(first: Moments, second: Moments, joint: np.ndarray) -> float:
    """Canonical correlations weighted by how much of the points their directions carry.

    ``sum a_i r_i / sum a_i`` with ``a_i = sum_j |h_i' x_j|``, h_i the i-th canonical variable of
    one model and x_j its features: the mean of the two values that the two sides' weights give.
    """
    ranks = first.rank, second.rank
    left, correlations, right = np.linalg.svd(
        _whitened(first, second, joint, ranks), full_matrices=False
    )
    means = []
    for side, model, rank in ((left, first, ranks[0]), (right.T, second, ranks[1])):
        shared = side.T * np.sqrt(model.values[:rank])
        weights = np.abs(shared @ model.vectors[:, :rank].T).sum(axis=1)
        means.append(weights @ correlations / weights.sum())
    return float(np.mean(means))


def gulp(first: Moments, second: Moments, joint: np.ndarray, *, ridge: float) -> float:
    """Distance of the predictions of ridge regressions on two models, over all tasks alike.

    ``tr((S_x^-r S_x)^2) + tr((S_y^-r S_y)^2) - 2 tr(S_x^-r S_xy S_y^-r S_yx)``, squared, with
    ``S^-r = (S + r I)^-1`` and both models scaled to a variance of 1.
    """
    scaled = [model.values / model.values.sum() for model in (first, second)]
    product = joint / np.sqrt(first.values.sum() * second.values.sum())
    own = sum(float(np.sum((values / (values + ridge)) ** 2)) for values in scaled)
    shrunk = product**2 / ((scaled[0] + ridge)[:, None] * (scaled[1] + ridge))
    return float(np.sqrt(max(own - 2 * shrunk.sum(), 0)))


def _whitened(
    first: Moments, second: Moments, joint: np.ndarray, kept: tuple[int, int]
) -> np.ndarray:
    """Correlations of the leading principal coordinates of two models."""
    scales = np.sqrt(first.values[: kept[0], None] * second.values[: kept[1]])
    return joint[: kept[0], : kept[1]] / scales
