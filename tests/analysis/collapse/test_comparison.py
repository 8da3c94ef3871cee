"""Intervals over seeds and groups: coverage, missing values, pairing."""

from __future__ import annotations

import numpy as np
import pytest

from mgm_jax.analysis.collapse.comparison import FamilyComparison


def interval_of(values: np.ndarray, seed: int, resamples: int = 800) -> tuple[float, float]:
    estimate = compare({"one": values}, seed=seed, resamples=resamples).estimate("one")
    return estimate.low, estimate.high


def compare(
    values: dict[str, np.ndarray], *, seed: int = 0, resamples: int = 50, level: float = 0.95
) -> FamilyComparison:
    return FamilyComparison.make(
        values, bounds=(-np.inf, np.inf), resamples=resamples, seed=seed, level=level
    )


def test_three_seeds_are_covered_as_promised():
    generator = np.random.default_rng(0)
    trials = 600
    covered = 0
    for trial in range(trials):
        low, high = interval_of(generator.normal(size=(3, 1)), trial)
        covered += low <= 0 <= high
    # Three standard errors of a share of 0.95 over the trials.
    assert abs(covered / trials - 0.95) < 3 * np.sqrt(0.95 * 0.05 / trials)


def test_one_seed_is_the_plain_bootstrap_over_groups():
    values = np.random.default_rng(1).normal(size=(1, 200))
    low, high = interval_of(values, 0, resamples=4000)
    error = values.std() / np.sqrt(values.size)
    assert low == pytest.approx(values.mean() - 1.96 * error, abs=0.1 * error + 0.01)
    assert high == pytest.approx(values.mean() + 1.96 * error, abs=0.1 * error + 0.01)


def test_seed_spread_and_group_spread_both_widen():
    generator = np.random.default_rng(2)
    groups = generator.normal(size=(1, 30))
    calm = np.repeat(groups, 4, axis=0)
    restless = calm + np.array([[-1.0], [-0.3], [0.3], [1.0]])
    width = np.subtract(*interval_of(calm, 0)[::-1])
    assert np.subtract(*interval_of(restless, 0)[::-1]) > 1.5 * width > 0


def test_missing_values_are_left_out():
    values = np.array([[1.0, 3.0, np.nan], [np.nan, 5.0, 7.0]])
    result = compare({"one": values}, level=0.9).estimate("one")
    assert result.value == (2 + 6) / 2
    assert np.isfinite([result.low, result.high]).all()
    assert (result.seeds, result.groups) == (2, 3)


def test_an_interval_moves_and_scales_with_its_values():
    values = np.random.default_rng(4).normal(size=(3, 20))
    values[1, 5] = np.nan
    low, high = interval_of(values, 0)
    for shift, scale in ((1e6, 1.0), (0.0, 2.0**60), (0.0, 2.0**-60)):
        moved = np.array(interval_of(scale * values + shift, 0))
        np.testing.assert_allclose((moved - shift) / scale, (low, high), rtol=1e-9, atol=1e-8)


def test_a_single_value_has_no_interval():
    result = compare({"one": np.array([[0.7]])}).estimate("one")
    assert result.value == 0.7
    assert np.isnan([result.low, result.high]).all()


def test_shared_draws_pair_the_groups():
    first = np.random.default_rng(3).normal(size=(1, 40))
    (row,) = compare({"one": first + 0.5, "other": first}, resamples=300).differences()
    assert (row["family"], row["other"]) == ("one", "other")
    np.testing.assert_allclose([row["difference"], row["low"], row["high"]], 0.5, atol=1e-12)


def test_all_missing_is_nan_without_a_warning(recwarn: pytest.WarningsRecorder):
    comparison = compare({"one": np.full((2, 3), np.nan)})
    result = comparison.estimate("one")
    assert np.isnan([result.value, result.low, result.high]).all()
    assert comparison.seed_values("one") is None
    assert not recwarn.list
