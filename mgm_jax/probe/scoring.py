"""How well predictions fit labels: the measure that each kind of data set is reported in."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal, get_args

import numpy as np

from mgm_jax.errors import InputError
from mgm_jax.intervals import percentile_interval
from mgm_jax.whole_numbers import seeded

ScoreName = Literal["top1", "mean_per_class", "map11", "map", "r2"]
"""Share of right answers; mean of that share over the classes; of several labels an image the mean
over them of the average precision, at 11 points of recall or at all; of real values the share of
their variance that is explained."""

SCORES: tuple[ScoreName, ...] = get_args(ScoreName)

#: Scores of one class an image, of several labels (0 and 1), and of real values.
OF_CLASSES: tuple[ScoreName, ...] = ("top1", "mean_per_class")
OF_SEVERAL: tuple[ScoreName, ...] = ("map11", "map")
OF_VALUES: tuple[ScoreName, ...] = ("r2",)


def score_of(logits: np.ndarray, truth: np.ndarray, *, score: ScoreName) -> float:
    """Score predictions.

    Args:
        logits: ``[n, c]``.
        truth: classes ``[n]``; for ``"map11"`` and ``"map"`` 0 and 1 ``[n, c]``, for ``"r2"``
            real values ``[n, c]``.
        score: which measure. Labels that no row has, and values that never change, say nothing
            and are left out of a mean.

    Returns:
        0 to 1; ``"r2"`` 1 at most, below 0 where the mean of the truth would be nearer.

    Example:
        >>> score_of(np.array([[0.0, 1.0], [1.0, 0.0]]), np.array([1, 1]), score="top1")
        0.5
    """
    if score in OF_SEVERAL:
        columns = np.flatnonzero(truth.any(axis=0))
        precision = average_precision_11 if score == "map11" else average_precision
        values = [precision(logits[:, c], truth[:, c]) for c in columns]
        return float(np.mean(values)) if values else float("nan")
    if score in OF_VALUES:
        return _explained(logits, truth)
    return score_answers(logits.argmax(axis=1) == truth, truth, score=score)


def score_answers(right: np.ndarray, truth: np.ndarray, *, score: ScoreName) -> float:
    """Score answers, which is all that a score of one class an image asks of predictions.

    Args:
        right: whether each answer is right, ``[n]`` bool.
        truth: class of each, ``[n]`` int.
        score: which measure.

    Returns:
        0 to 1.

    Example:
        >>> score_answers(np.array([True, False, True]), np.array([0, 0, 1]), score="top1")
        0.6666666666666666
    """
    if score == "top1":
        return float(right.mean())
    if score == "mean_per_class":
        return _per_class(right, truth)
    raise InputError(f"score must be one of {SCORES}; got {score!r}.")


def average_precision_11(scores: np.ndarray, truth: np.ndarray) -> float:
    """11-point interpolated average precision of one class (VOC 2007).

    ``mean over r in 0, 0.1 .. 1 of max precision at a recall of r or more``.

    Args:
        scores: ``[n]``; images are ranked by them, equal ones in their order.
        truth: ``[n]``, 0 or 1, at least one 1.

    Example:
        >>> average_precision_11(np.array([3.0, 2.0, 1.0]), np.array([1, 0, 1])).__round__(4)
        0.8485
    """
    hits = np.cumsum(truth[np.argsort(-scores, kind="stable")])
    precision = hits / np.arange(1, len(truth) + 1)
    # Counts, not shares: 0.1 steps of recall are compared without rounding.
    points = [precision[10 * hits >= step * hits[-1]].max() for step in range(11)]
    return float(np.mean(points))


def average_precision(scores: np.ndarray, truth: np.ndarray) -> float:
    """Average precision of one class: ``sum over k of (R_k - R_{k-1}) P_k``, not interpolated.

    Recall R_k and precision P_k are those of the rows with the k largest distinct scores, so that
    equal scores count as one step.

    Args:
        scores: ``[n]``.
        truth: ``[n]``, 0 or 1, at least one 1.

    Example:
        >>> average_precision(np.array([3.0, 2.0, 1.0]), np.array([1, 0, 1])).__round__(4)
        0.8333
    """
    order = np.argsort(-scores, kind="stable")
    ranked, hits = scores[order], np.cumsum(truth[order])
    ends = np.append(np.flatnonzero(ranked[1:] != ranked[:-1]), len(ranked) - 1)
    gained = np.diff(hits[ends], prepend=0)
    return float((gained * hits[ends] / (ends + 1)).sum() / hits[-1])


def _explained(predicted: np.ndarray, truth: np.ndarray) -> float:
    """Mean over the columns of ``1 - sum (y - f)^2 / sum (y - mean y)^2``."""
    total = ((truth - truth.mean(axis=0)) ** 2).sum(axis=0)
    known = total > 0
    left = ((truth - predicted) ** 2).sum(axis=0)[known] / total[known]
    return float(1 - left.mean()) if known.any() else float("nan")


def score_interval(
    logits: np.ndarray,
    truth: np.ndarray,
    *,
    score: ScoreName,
    level: float = 0.95,
    resamples: int = 1000,
    seed: int = 0,
) -> tuple[float, float]:
    """Percentile interval of a score over resampled test images.

    Args:
        logits: ``[n, c]``.
        truth: as in :func:`score_of`.
        score: which measure.
        level: coverage, in (0, 1).
        resamples: draws.
        seed: of the draws.
    """
    if score in OF_CLASSES:
        right = logits.argmax(axis=1) == truth
        _, low, high = answer_interval(
            right, truth, score=score, level=level, resamples=resamples, seed=seed
        )
        return low, high
    draws = _drawn_images(len(truth), resamples, seed)
    values = np.array([score_of(logits[rows], truth[rows], score=score) for rows in draws])
    return percentile_interval(values[~np.isnan(values)], level=level)


def answer_interval(
    right: np.ndarray,
    truth: np.ndarray,
    *,
    score: ScoreName,
    level: float = 0.95,
    resamples: int = 1000,
    seed: int = 0,
) -> tuple[float, float, float]:
    """Score of answers, and its percentile interval over resampled test images.

    Args:
        right: whether each answer is right, ``[n]`` bool.
        truth: class of each, ``[n]`` int.
        score: ``"top1"`` or ``"mean_per_class"``.
        level: coverage, in (0, 1).
        resamples: draws.
        seed: of the draws.

    Returns:
        Score, low and high.

    Example:
        >>> answer_interval(np.array([True, True]), np.array([0, 1]), score="top1")
        (1.0, 1.0, 1.0)
    """
    n = len(truth)
    if score == "top1":
        # Resampled answers are right as often as a binomial draw says.
        value = right.mean()
        values = seeded(seed).binomial(n, value, resamples) / n
    else:
        value = _per_class(right, truth)
        draws = _drawn_images(n, resamples, seed)
        values = np.array([_per_class(right[rows], truth[rows]) for rows in draws])
    return float(value), *percentile_interval(values, level=level)


def _drawn_images(n: int, resamples: int, seed: int) -> Iterator[np.ndarray]:
    """Rows ``[n]`` of every resample, drawn with replacement."""
    rng = seeded(seed)
    return (rng.integers(0, n, n) for _ in range(resamples))


def _per_class(right: np.ndarray, truth: np.ndarray) -> float:
    counts = np.bincount(truth)
    hits = np.bincount(truth, weights=right)
    return float((hits[counts > 0] / counts[counts > 0]).mean())
