"""Debiased linear centred kernel alignment with its jackknife over images.

Up to a few thousand images the Gram matrices are held, which serves many pairs of models fastest.
For more, all that the estimator asks of them follows from products of features, summed block by
block, so that memory does not grow with the number of images.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mgm_jax.analysis.similarity.coordinates import Coordinates, coordinates_of, cross_products

GRAM_IMAGES = 4096
"""Most images whose Gram matrix is held: 64 MiB a model."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Gram:
    """Gram matrix of centred points without its diagonal, ``[n, n]`` float32, and its row sums.

    Centring the points first keeps the digits that a common offset would take; it does not change
    the result.
    """

    values: np.ndarray
    sums: np.ndarray

    @classmethod
    def make(cls, x: np.ndarray) -> Gram:
        """The Gram matrix of points ``[n, d]``."""
        centred = x.astype(np.float64) - x.mean(0, dtype=np.float64)
        # Scale does not matter, and float32 must not overflow.
        largest = max(float(np.abs(centred).max()), np.finfo(np.float32).tiny)
        scaled = (centred / largest).astype(np.float32)
        values = scaled @ scaled.T
        np.fill_diagonal(values, 0)
        return cls(values=values, sums=values.sum(1, dtype=np.float64))

    def hsic(self, other: Gram) -> np.ndarray:
        """Unbiased HSIC of all images and without each, ``[n + 1]``."""
        products = np.einsum("ij,ij->i", self.values, other.values, dtype=np.float64)
        crossed = self.values @ other.sums.astype(np.float32)
        crossed += other.values @ self.sums.astype(np.float32)
        return _hsic(products, crossed, self.sums, other.sums)


@dataclass(frozen=True, kw_only=True, eq=False)
class Features:
    """Centred points, of which the Gram matrix is never made.

    Attributes:
        own: the points.
        squares: the diagonal that the Gram matrix would have, ``[n]``.
    """

    own: Coordinates
    squares: np.ndarray

    @classmethod
    def make(cls, x: np.ndarray) -> Features:
        """From points ``[n, d]``."""
        own = coordinates_of(x)
        return cls(own=own, squares=own.squared_lengths())

    def hsic(self, other: Features) -> np.ndarray:
        """Unbiased HSIC of all images and without each, ``[n + 1]``.

        With K = XX' - diag(a) and L = YY' - diag(b) of centred points, row i of K * L adds up to
        ``x_i' (X'Y) y_i - a_i b_i``; K1 is -a; and K L1 + L K1 is ``2ab - X(X'b) - Y(Y'a)``.
        """
        a, b = self.squares, other.squares
        joint = cross_products(self.own, other.own)
        toward_b = sum(rows.T @ b[part] for part, rows in self.own.blocks())
        toward_a = sum(rows.T @ a[part] for part, rows in other.own.blocks())
        products, crossed = -a * b, 2 * a * b
        for part, rows in self.own.blocks():
            others = other.own.rows(part)
            products[part] += np.einsum("ij,ij->i", rows @ joint, others)
            crossed[part] -= rows @ toward_b + others @ toward_a
        return _hsic(products, crossed, -a, -b)


def prepare(x: np.ndarray) -> Gram | Features:
    """What CKA needs of points ``[n, d]``."""
    return Gram.make(x) if len(x) <= GRAM_IMAGES else Features.make(x)


def cka_of(
    cross: np.ndarray, first: np.ndarray, second: np.ndarray, *, level: float
) -> tuple[float, float, float]:
    """Debiased CKA with its jackknife interval; NaN for a constant embedding.

    Args:
        cross: HSIC of the two models, of all images and without each, ``[n + 1]``.
        first: that of one model with itself.
        second: that of the other.
        level: what the interval covers.
    """
    from scipy.stats import norm

    scale = first * second
    known = (first > 0) & (second > 0)
    ratios = np.divide(cross, np.sqrt(np.abs(scale)), out=np.full(scale.shape, np.nan), where=known)
    value, without = float(ratios[0]), ratios[1:]
    n = len(without)
    error = np.sqrt((n - 1) / n * ((without - without.mean()) ** 2).sum())
    reach = float(norm.ppf((1 + level) / 2) * error)
    return value, value - reach, min(value + reach, max(value, 1.0))


def _hsic(
    products: np.ndarray, crossed: np.ndarray, of_first: np.ndarray, of_second: np.ndarray
) -> np.ndarray:
    """Unbiased HSIC, up to a factor, of all images and then without each one, ``[n + 1]``.

    With K, L without diagonal: tr(KL) + 1'K1 1'L1 / ((n-1)(n-2)) - 2 / (n-2) 1'KL1, over n(n-3).
    Leaving out a row changes each of the three terms by what a product with that row gives.

    Args:
        products: sums of the rows of K * L, ``[n]``.
        crossed: K L1 + L K1, ``[n]``.
        of_first: K1.
        of_second: L1.
    """
    n = len(of_first)
    chain = of_first * of_second
    trace = np.concatenate([[products.sum()], products.sum() - 2 * products])
    sum_first = np.concatenate([[of_first.sum()], of_first.sum() - 2 * of_first])
    sum_second = np.concatenate([[of_second.sum()], of_second.sum() - 2 * of_second])
    chained = np.concatenate([[chain.sum()], chain.sum() - chain - crossed + products])
    m = np.concatenate([[n], np.full(n, n - 1)]).astype(np.float64)
    inner = trace + sum_first * sum_second / ((m - 1) * (m - 2)) - 2 / (m - 2) * chained
    return inner / (m * (m - 3))
