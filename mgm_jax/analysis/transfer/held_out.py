"""Held-out predictions of a set of predictors, their scores, and what chance would reach."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from mgm_jax.analysis.transfer.agreement import r2, score_with_intervals
from mgm_jax.analysis.transfer.folds import Fold, hold_out, permuted_scores

# Permuted scores equal to the measured one up to rounding count as equal.
_ROUNDING = 1e-9


class Regression(Protocol):
    """What :class:`~mgm_jax.analysis.transfer.ridge.Ridge` and ``Sparse`` have in common."""

    def predict(
        self, train: np.ndarray, held: np.ndarray, targets: np.ndarray, *, inner: np.ndarray
    ) -> np.ndarray: ...

    def coefficients(
        self, x: np.ndarray, targets: np.ndarray, *, inner: np.ndarray
    ) -> np.ndarray: ...


@dataclass(frozen=True, kw_only=True)
class Effort:
    """How many random draws go into intervals, p-values and the reach of random features.

    Attributes:
        resamples: bootstrap resamples of the models, and subsamples for the stability.
        permutations: of the scores.
        random_sets: sets of random features.
        level: coverage of the intervals.
        seed: of every draw.
    """

    resamples: int
    permutations: int
    random_sets: int
    level: float
    seed: int


def predict_held_out(
    features: np.ndarray,
    scores: np.ndarray,
    *,
    folds: Sequence[Fold],
    regression: Regression,
    ranks: bool,
) -> np.ndarray:
    """Predict every row from the others; nothing of the held-out rows enters a fit.

    Args:
        features: ``[s, n, p]``: s sets of p features.
        scores: ``[n, c]``, one column a target.
        folds: from :func:`~mgm_jax.analysis.transfer.folds.hold_out`.
        regression: how to fit.
        ranks: replace features and scores by their ranks among the training rows.

    Returns:
        ``[s, n, c]``; with ``ranks``, predicted ranks between 0 (worst) and 1.
    """
    predicted = np.empty((features.shape[0], *scores.shape))
    for fold in folds:
        train, held, targets = features[:, fold.train], features[:, fold.held], scores[fold.train]
        if ranks:
            train, held = among(train, train, own=True), among(held, train)
            targets = among(targets[None], targets[None], own=True)[0]
        predicted[:, fold.held] = regression.predict(train, held, targets, inner=fold.inner)
    return predicted


def predict_mean(scores: np.ndarray, *, folds: Sequence[Fold], ranks: bool) -> np.ndarray:
    """Mean of the training rows, ``[n, c]``: what is known without any feature."""
    predicted = np.empty(scores.shape)
    for fold in folds:
        predicted[fold.held] = 0.5 if ranks else scores[fold.train].mean(0)
    return predicted


def among(values: np.ndarray, others: np.ndarray, *, own: bool = False) -> np.ndarray:
    """Rank of each value among others, from 0 (below all) to 1 (above all), ties in the middle.

    Args:
        values: ``[s, h, c]``, ranked column by column.
        others: ``[s, t, c]``.
        own: the values are these very rows, so that each equals itself.
    """
    from scipy.stats import rankdata

    if own:
        return (rankdata(values, axis=1) - 0.5) / values.shape[1]
    gaps = values[:, :, None] - others[:, None]
    return ((gaps > 0) + 0.5 * (gaps == 0)).mean(2)


def measured_scale(scores: np.ndarray, *, ranks: bool) -> np.ndarray:
    """Scores as the predictions are on: themselves, or ranks between 0 and 1, column by column."""
    return among(scores[None], scores[None], own=True)[0] if ranks else scores


def permutation_p_values(
    features: np.ndarray,
    scores: np.ndarray,
    observed: np.ndarray,
    *,
    codes: np.ndarray,
    regression: Regression,
    ranks: bool,
    effort: Effort,
) -> np.ndarray:
    """Share of permutations whose held-out R^2 is at least the observed one.

    Everything is done anew for each permutation, the choice of the penalty included. The observed
    order counts as one permutation (Phipson and Smyth 2010), so no p-value is 0.

    Args:
        features: ``[n, p]``.
        scores: ``[n, c]``.
        observed: held-out R^2 of each column, ``[c]``.
        codes: rows of one code are held out, and permuted, together.
        regression: how to fit.
        ranks: as for :func:`predict_held_out`.
        effort: number of permutations and seed.

    Returns:
        ``[c]``.
    """
    permuted = permuted_scores(
        scores,
        codes,
        permutations=effort.permutations,
        generator=np.random.default_rng([effort.seed, 1]),
    )
    flat = permuted.transpose(1, 0, 2).reshape(len(scores), -1)
    folds = list(hold_out(codes))
    predicted = predict_held_out(
        features[None], flat, folds=folds, regression=regression, ranks=ranks
    )[0]
    reached = r2(measured_scale(flat, ranks=ranks).T, predicted.T)
    at_least = reached.reshape(effort.permutations, -1) >= observed - _ROUNDING
    return (1 + at_least.sum(0)) / (1 + effort.permutations)


def random_reach(
    scores: np.ndarray,
    width: int,
    *,
    codes: np.ndarray,
    regression: Regression,
    ranks: bool,
    effort: Effort,
) -> np.ndarray:
    """Held-out R^2 of sets of independent Gaussian features that know nothing, ``[sets, c]``."""
    generator = np.random.default_rng([effort.seed, 2, width])
    features = generator.normal(size=(effort.random_sets, len(scores), width))
    folds = list(hold_out(codes))
    predicted = predict_held_out(features, scores, folds=folds, regression=regression, ranks=ranks)
    measured = measured_scale(scores, ranks=ranks)
    return r2(measured.T[None], predicted.swapaxes(1, 2))


def largest_error(
    models: Sequence[str], measured: np.ndarray, predicted: np.ndarray
) -> dict[str, str | float]:
    """Model that is missed most, and its share of the squared error of all.

    R^2 has no lower bound, so a single model unlike all others (raw pixels among networks) can
    make it as low as one likes; the share tells that from features that say nothing.

    Args:
        models: names, ``[n]``.
        measured: ``[n]``.
        predicted: ``[n]``.

    Returns:
        ``worst_model`` and ``worst_share``, from 1/n to 1; an empty name and NaN without error.
    """
    squares = (measured - predicted) ** 2
    if not squares.sum() > 0:
        return {"worst_model": "", "worst_share": float("nan")}
    worst = int(squares.argmax())
    return {"worst_model": models[worst], "worst_share": float(squares[worst] / squares.sum())}


def scores_of(measured: np.ndarray, predicted: np.ndarray, *, effort: Effort) -> dict[str, float]:
    """Scores with intervals of one task; equal seeds draw equal resamples for all predictors."""
    return score_with_intervals(
        measured,
        predicted,
        resamples=effort.resamples,
        level=effort.level,
        generator=np.random.default_rng([effort.seed, 3]),
    )
