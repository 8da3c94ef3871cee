"""Intrinsic dimension against scale: the generalised ratios of Denti et al. (2022), "Gride".

TwoNN looks at the two nearest neighbours, where noise is what a cloud mostly shows. The ratio of
the distances to the n1-th and the n2-th neighbour looks farther, and n2 = 2 n1 with n1 doubled
again and again gives one dimension a scale: a plateau is the dimension of the manifold, a fall with
scale is noise fading or a bend coming in.

Under a density that is constant as far as the n2-th neighbour, the ratio mu has the density

    f(mu) = d (mu^d - 1)^(n2-n1-1) / (B(n2 - n1, n1) mu^((n2-1) d + 1)),   mu > 1,

of which the dimension d is found by maximum likelihood.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np


class ScaleFit(NamedTuple):
    """A dimension at one scale.

    Attributes:
        dimension: above 0; NaN where all ratios are 1.
        influence: how far each point moves it, ``[n]``: their sum is 0, and the sum of their
            products over points that share neighbours is the variance.
    """

    dimension: float
    influence: np.ndarray


def ratio_fit(nearer: np.ndarray, farther: np.ndarray, *, n1: int, n2: int) -> ScaleFit:
    """Maximum-likelihood dimension from distances to the n1-th and the n2-th neighbour.

    With ``L = log mu``, the score ``n / d + (n2-n1-1) sum L / (1 - mu^-d) - (n2-1) sum L`` falls
    all the way in d, so that its root is the one maximum.

    Args:
        nearer: distances ``[n]`` float64 to the n1-th neighbour, above 0.
        farther: to the n2-th, ``[n]``, at least as large.
        n1: at least 1.
        n2: above n1.

    Example:
        >>> fit = ratio_fit(np.ones(3), np.full(3, np.e), n1=1, n2=2)
        >>> round(fit.dimension, 6)  # of neighbours one and two, one over the mean of log mu
        1.0
    """
    logs = np.log(farther / nearer)
    mean = logs.mean()
    if not mean > 0:
        return ScaleFit(float("nan"), np.full(logs.shape, np.nan))
    between = n2 - n1 - 1
    # In units of the mean, so that the bracket holds for clouds of any dimension.
    unit = logs / mean
    dimension = _root(unit, between=between, n2=n2) if between else 1.0
    share = _share(unit, dimension)
    score = 1 / dimension + between * share - (n2 - 1) * unit
    # d/dd of L / (1 - exp(-d L)) is -exp(-d L) (L / (1 - exp(-d L)))^2.
    information = np.sum(1 / dimension**2 + between * np.exp(-dimension * unit) * share**2)
    return ScaleFit(float(dimension / mean), score / information / mean)


def _root(unit: np.ndarray, *, between: int, n2: int) -> float:
    from scipy.optimize import brentq

    def score(dimension: float) -> float:
        return 1 / dimension + between * _share(unit, dimension).mean() - (n2 - 1)

    # The share lies between L and L + 1 / d, and the mean of L is 1: the root is at least 1 / n1
    # and at most (n2 - n1) / n1.
    n1 = n2 - 1 - between
    low, high = 1 / n1, (n2 - n1) / n1
    root: Any = brentq(score, low / 2, 2 * high, xtol=1e-12)
    return float(root)


def _share(unit: np.ndarray, dimension: float) -> np.ndarray:
    """``L / (1 - exp(-d L))``, which is 1 / d where L is 0."""
    positive = unit > 0
    safe = np.where(positive, unit, 1.0)
    return np.where(positive, safe / -np.expm1(-dimension * safe), 1 / dimension)
