"""Representational similarity: do two models find the same pairs of images far apart?"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mgm_jax.whole_numbers import seeded

MAX_PAIRS = 2**21
"""Most pairs that are compared: all of 2 048 images, a random sample of more."""

# Values of two blocks of points that are gathered together: 32 MiB each of float64.
_GATHERED = 2**22


@dataclass(frozen=True, kw_only=True, eq=False)
class Pairs:
    """Pairs of different images, the same for all models.

    Attributes:
        one: row of one image, ``[p]``.
        other: row of the other, ``[p]``.
        n: number of images.
    """

    one: np.ndarray
    other: np.ndarray
    n: int


def pairs_of(n: int, *, seed: int) -> Pairs:
    """All pairs of n images, or ``MAX_PAIRS`` of them drawn with replacement.

    >>> pairs_of(3, seed=0).other.tolist()
    [1, 2, 2]
    """
    if n * (n - 1) // 2 <= MAX_PAIRS:
        one, other = np.triu_indices(n, 1)
    else:
        rng = seeded(seed)
        one = rng.integers(n, size=MAX_PAIRS)
        other = (one + rng.integers(1, n, size=MAX_PAIRS)) % n
    return Pairs(one=one, other=other, n=n)


def distance_ranks(x: np.ndarray, pairs: Pairs) -> np.ndarray:
    """Ranks of the Euclidean distances of pairs, ``[p]``, less their mean; equal ones share one.

    Args:
        x: points ``[n, d]``.
        pairs: which ones.
    """
    from scipy.stats import rankdata

    squared = np.empty(pairs.one.size)
    step = max(1, _GATHERED // x.shape[1])
    for start in range(0, squared.size, step):
        part = slice(start, start + step)
        # From differences, so that near-duplicates keep their order.
        gap = x[pairs.one[part]].astype(np.float64) - x[pairs.other[part]]
        squared[part] = np.einsum("ij,ij->i", gap, gap)
    return rankdata(squared) - (squared.size + 1) / 2


def rsa_of(
    first: np.ndarray, second: np.ndarray, pairs: Pairs, *, level: float
) -> tuple[float, float, float]:
    """Spearman correlation of two models' distances, with a jackknife interval over images.

    Leaving out an image leaves out its pairs; the ranks are held fixed. NaN where all distances of
    a model are equal.
    """
    from scipy.stats import norm

    sums = []
    for values in (np.ones(first.size), first, second, first**2, second**2, first * second):
        own = np.bincount(pairs.one, weights=values, minlength=pairs.n)
        own += np.bincount(pairs.other, weights=values, minlength=pairs.n)
        sums.append(np.concatenate([[values.sum()], values.sum() - own]))
    count, of_first, of_second, squares_first, squares_second, products = sums
    covariance = products - of_first * of_second / count
    variances = (squares_first - of_first**2 / count) * (squares_second - of_second**2 / count)
    known = variances > 0
    correlations = np.divide(
        covariance, np.sqrt(np.abs(variances)), out=np.full(count.shape, np.nan), where=known
    )
    value, without = float(correlations[0]), correlations[1:]
    n = pairs.n
    error = np.sqrt((n - 1) / n * ((without - without.mean()) ** 2).sum())
    reach = float(norm.ppf((1 + level) / 2) * error)
    return value, value - reach, min(value + reach, max(value, 1.0))
