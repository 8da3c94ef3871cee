"""Scores and corrections against SciPy, scikit-learn and definitions."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from sklearn.metrics import r2_score

from mgm_jax.analysis.transfer.agreement import (
    holm,
    r2,
    score_with_intervals,
    spearman,
    weighted_kendall,
)


def pairs(seed: int, *, levels: int) -> tuple[np.ndarray, np.ndarray]:
    """Seven samples of 12 related pairs, rounded to a few levels so that many are equal."""
    generator = np.random.default_rng(seed)
    measured = generator.normal(size=(7, 12))
    predicted = measured + generator.normal(size=(7, 12))
    return np.round(measured * levels) / levels, np.round(predicted * levels) / levels


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 2**31), levels=st.sampled_from([1, 3, 1000]))
def test_scores_are_those_of_scipy_and_scikit_learn(seed: int, levels: int):
    measured, predicted = pairs(seed, levels=levels)
    for y, f, own_r2, own_rho, own_tau in zip(
        measured,
        predicted,
        r2(measured, predicted),
        spearman(measured, predicted),
        weighted_kendall(measured, predicted),
        strict=True,
    ):
        assert own_r2 == pytest.approx(r2_score(y, f), abs=1e-12)
        assert own_rho == pytest.approx(stats.spearmanr(y, f).statistic, abs=1e-12)
        assert own_tau == pytest.approx(stats.weightedtau(y, f).statistic, abs=1e-12)


def test_constant_sides_have_no_score():
    flat, rising = np.zeros(5), np.arange(5.0)
    assert np.isnan(r2(flat, rising))
    assert np.isnan(spearman(rising, flat)) and np.isnan(spearman(flat, rising))
    assert np.isnan(weighted_kendall(rising, flat))


@settings(max_examples=25, deadline=None)
@given(st.lists(st.floats(1e-6, 1), min_size=1, max_size=12))
def test_holm_controls_as_the_closed_test_does(p_values: list[float]):
    """A hypothesis falls when every intersection that holds it falls by Bonferroni."""
    given_values = np.array(p_values)
    corrected = holm(given_values)
    for index, value in enumerate(given_values):
        # The worst intersection joins it with all hypotheses of larger or equal p-values, or
        # with those of a smaller one that stands at its head.
        heads = given_values[given_values <= value]
        worst = max(head * (given_values >= head).sum() for head in heads)
        assert corrected[index] == pytest.approx(min(1, worst), rel=1e-12)


def test_holm_leaves_out_what_is_unknown():
    corrected = holm(np.array([0.01, np.nan, 0.02]))
    assert corrected[[0, 2]].tolist() == [0.02, 0.02] and np.isnan(corrected[1])


def test_intervals_cover_a_correlation_as_often_as_they_promise():
    """Spearman's correlation of a bivariate normal with correlation r is 6/pi arcsin(r/2)."""
    generator = np.random.default_rng(0)
    truth = 6 / np.pi * np.arcsin(0.6 / 2)
    covered = 0
    for _ in range(100):
        y = generator.normal(size=40)
        f = 0.6 * y + 0.8 * generator.normal(size=40)
        scores = score_with_intervals(y, f, resamples=150, level=0.9, generator=generator)
        covered += scores["spearman_low"] <= truth <= scores["spearman_high"]
        assert scores["r2_low"] <= scores["r2"] <= scores["r2_high"]
    # Binomial(100, 0.9) lies within 82 .. 97 in 99 % of cases; the bootstrap adds its own error.
    assert 80 <= covered <= 98
