"""How well predictions agree with what was measured: three scores, many samples at once.

All functions work along the last axis, so that thousands of resamples or permutations are scored
in one call. Undefined scores (a constant sample, for example) are NaN.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from mgm_jax.intervals import percentile_interval

#: Name of each score to its function of (measured, predicted).
Score = Callable[[np.ndarray, np.ndarray], np.ndarray]

# Pair tables [samples, n, n] are built for so many values at once, 512 KB: they stay in the cache.
_PAIRS_AT_ONCE = 2**16


def r2(measured: np.ndarray, predicted: np.ndarray) -> np.ndarray:
    """Coefficient of determination, ``1 - |y - f|^2 / |y - mean(y)|^2``, at most 1.

    0 is what predicting the mean of these very values reaches; what is held out cannot know that
    mean, so the mean of the *other* models scores below 0.

    Args:
        measured: values y, ``[..., n]``.
        predicted: predictions f, ``[..., n]``.

    Returns:
        One score a sample, ``[...]``; NaN where the measured values are all equal.
    """
    error = ((measured - predicted) ** 2).sum(-1)
    spread = ((measured - measured.mean(-1, keepdims=True)) ** 2).sum(-1)
    return _ratio(spread - error, spread)


def spearman(measured: np.ndarray, predicted: np.ndarray) -> np.ndarray:
    """Spearman's rank correlation, -1 to 1, equal values at their mean rank.

    Args:
        measured: ``[..., n]``.
        predicted: ``[..., n]``.

    Returns:
        One score a sample, ``[...]``; NaN where either side is constant.
    """
    from scipy.stats import rankdata

    first = rankdata(measured, axis=-1)
    second = rankdata(predicted, axis=-1)
    first = first - first.mean(-1, keepdims=True)
    second = second - second.mean(-1, keepdims=True)
    scale = np.sqrt((first**2).sum(-1) * (second**2).sum(-1))
    return _ratio((first * second).sum(-1), scale)


def weighted_kendall(measured: np.ndarray, predicted: np.ndarray) -> np.ndarray:
    """Weighted Kendall's tau, -1 to 1: what happens among the best models weighs most.

    A swap of ranks r and s (0 for the largest value) weighs 1/(r + 1) + 1/(s + 1); the score is
    the mean of ranking by the one side and by the other, as ``scipy.stats.weightedtau`` has it.

    Args:
        measured: ``[..., n]``.
        predicted: ``[..., n]``.

    Returns:
        One score a sample, ``[...]``; NaN where either side is constant.

    Reference: Vigna, "A weighted correlation index for rankings with ties", WWW 2015.
    """
    measured, predicted = np.broadcast_arrays(measured, predicted)
    shape, n = measured.shape[:-1], measured.shape[-1]
    first = np.reshape(measured, (-1, n))
    second = np.reshape(predicted, (-1, n))
    at_once = max(1, _PAIRS_AT_ONCE // max(1, n * n))
    parts = [
        (_ranked_by(first[at], second[at]) + _ranked_by(second[at], first[at])) / 2
        for at in (slice(i, i + at_once) for i in range(0, len(first), at_once))
    ]
    return np.concatenate(parts).reshape(shape) if parts else np.empty(shape)


SCORES: dict[str, Score] = {"r2": r2, "spearman": spearman, "kendall": weighted_kendall}


def score_with_intervals(
    measured: np.ndarray,
    predicted: np.ndarray,
    *,
    resamples: int,
    level: float,
    generator: np.random.Generator,
) -> dict[str, float]:
    """All scores of n models, each with its percentile bootstrap interval over the models.

    The predictions stay what they are and pairs (measured, predicted) are drawn with replacement:
    a model fitted again on a resample would have copies of the model it is tested on.

    Args:
        measured: ``[n]``.
        predicted: held-out predictions, ``[n]``.
        resamples: number of bootstrap resamples.
        level: coverage of the intervals, between 0 and 1.
        generator: of the resamples.

    Returns:
        ``r2, r2_low, r2_high``, and so on for ``spearman`` and ``kendall``.
    """
    drawn = generator.integers(0, len(measured), (resamples, len(measured)))
    scores: dict[str, float] = {}
    for name, score in SCORES.items():
        low, high = percentile_interval(score(measured[drawn], predicted[drawn]), level=level)
        value = float(score(measured, predicted))
        # Resamples of an R^2 lie lower than it does, so far that it can be the largest of all.
        # Where it is undefined so is its interval, which minima and maxima with it say.
        low, high = np.minimum(low, value), np.maximum(high, value)
        scores |= {name: value, f"{name}_low": float(low), f"{name}_high": float(high)}
    return scores


def holm(p_values: np.ndarray) -> np.ndarray:
    """Holm's step-down correction of p-values, at most 1; NaN stays NaN and does not count.

    Args:
        p_values: one a test, ``[m]``.

    Returns:
        The smallest family-wise error rate at which each test is rejected, ``[m]``.

    Reference: Holm, "A simple sequentially rejective multiple test procedure", 1979.

    >>> holm(np.array([0.01, 0.04, 0.03])).tolist()
    [0.03, 0.06, 0.06]
    """
    p_values = np.asarray(p_values, np.float64)
    corrected = np.full(p_values.shape, np.nan)
    known = np.flatnonzero(np.isfinite(p_values))
    order = known[np.argsort(p_values[known], kind="stable")]
    factors = np.arange(len(order), 0, -1)
    corrected[order] = np.minimum(1, np.maximum.accumulate(factors * p_values[order]))
    return corrected


def _ranked_by(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Weighted tau [s] of samples [s, n] whose ranks are those of ``first``, ties by ``second``."""
    order = np.lexsort((-second, -first), axis=-1)
    rank = np.argsort(order, axis=-1)
    weight = 1 / (1.0 + rank)
    pair = weight[:, :, None] + weight[:, None, :]
    one = np.sign(first[:, :, None] - first[:, None, :])
    other = np.sign(second[:, :, None] - second[:, None, :])
    product = (pair * one * other).sum((1, 2))
    scale = np.sqrt((pair * one**2).sum((1, 2)) * (pair * other**2).sum((1, 2)))
    return _ratio(product, scale)


def _ratio(above: np.ndarray, below: np.ndarray) -> np.ndarray:
    above, below = np.broadcast_arrays(above, below)
    return np.divide(above, below, out=np.full(below.shape, np.nan), where=below > 0)
