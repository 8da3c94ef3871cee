"""Intervals against what they must cover, and against SciPy."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from mgm_jax.intervals import (
    bootstrap_interval,
    bootstrap_intervals,
    percentile_interval,
    student_reach,
)


def test_the_interval_covers_the_mean_as_often_as_it_says():
    random = np.random.default_rng(0)
    intervals = [
        bootstrap_interval(random.normal(size=40), resamples=400, seed=0, level=0.9)
        for _ in range(300)
    ]
    covered = np.mean([low <= 0 <= high for low, high in intervals])
    assert 0.84 <= covered <= 0.94


def test_the_interval_is_as_wide_as_the_standard_error_says():
    observed = np.random.default_rng(1).normal(size=400)
    low, high = bootstrap_interval(observed, resamples=4000, seed=0, level=0.95)
    assert (high - low) / 2 == pytest.approx(1.96 * observed.std() / 20, rel=0.07)


@pytest.mark.parametrize("limit", [1000, 10])
def test_columns_together_are_what_each_is_alone(limit: int, monkeypatch: pytest.MonkeyPatch):
    # Both ways of summing, and several blocks of draws.
    monkeypatch.setattr("mgm_jax.intervals._GATHERED_GROUPS", limit)
    monkeypatch.setattr("mgm_jax.intervals._VALUES_AT_ONCE", 700)
    random = np.random.default_rng(3)
    columns = [random.normal(size=size) for size in (60, 33, 60, 1)]
    result = bootstrap_intervals(columns, resamples=50, seed=4, level=0.9)
    for column, ends in zip(columns, result, strict=True):
        if column.size == 1:
            assert np.isnan(ends).all()
            continue
        drawn = np.random.default_rng(4).integers(column.size, size=(50, column.size))
        expected = np.quantile(column[drawn].mean(axis=1), [0.05, 0.95])
        np.testing.assert_allclose(ends, expected, rtol=1e-12)


def test_students_t_reaches_as_far_as_scipy_says():
    values = np.random.default_rng(2).normal(size=5)
    reach = student_reach(values.std(ddof=1), 5, level=0.9)
    ends = stats.t.interval(0.9, 4, loc=values.mean(), scale=stats.sem(values))
    np.testing.assert_allclose((values.mean() - reach, values.mean() + reach), ends, rtol=1e-12)


def test_what_is_undefined_is_no_draw(recwarn: pytest.WarningsRecorder):
    draws = np.array([np.nan, 3.0, 1.0, np.nan, 2.0])
    assert percentile_interval(draws, level=0.5) == (1.5, 2.5)
    assert np.isnan(percentile_interval(np.full(5, np.nan), level=0.95)).all()
    assert not recwarn.list
