"""Statistics over groups against plain formulas, and intervals against what they must cover."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mgm_jax.errors import InputError
from mgm_jax.metrics.summary import (
    group_means,
    paired_difference,
    summarise,
)

GROUPS = np.array(["b", "a", "b", "c", "a", "c", "c"])
VALUES = np.array([1.0, 2.0, np.nan, np.nan, 4.0, 5.0, 7.0])


def test_group_means_leave_undefined_points_out():
    means = group_means({"m": VALUES, "flag": GROUPS == "a"}, GROUPS)
    assert means.index.tolist() == ["a", "b", "c"] and means.index.name == "group"
    assert means.m.tolist() == [3.0, 1.0, 6.0]
    assert means.flag.tolist() == [1.0, 0.0, 0.0]


def test_a_group_without_a_value_has_no_mean_and_does_not_count():
    values = np.where(GROUPS == "c", np.nan, VALUES)
    assert np.isnan(group_means({"m": values}, GROUPS).m["c"])
    row = summarise({"m": values}, GROUPS).loc["m"]
    assert (row.groups, row.points, row.left_out, row["mean"]) == (2, 3, 4, 2.0)


def test_statistics_are_those_of_the_group_means():
    row = summarise({"m": VALUES}, GROUPS, resamples=400).loc["m"]
    means = np.array([3.0, 1.0, 6.0])
    expected = [means.mean(), means.std(ddof=1), *np.quantile(means, [0.5, 0.25, 0.75])]
    assert row[["mean", "std", "median", "q25", "q75"]].tolist() == pytest.approx(expected)
    assert (row.groups, row.points, row.left_out) == (3, 5, 2)
    assert means.min() <= row.low <= row["mean"] <= row.high <= means.max()


def test_one_group_has_no_interval():
    row = summarise({"m": np.array([1.0, 2.0])}, np.array([0, 0])).loc["m"]
    assert row["mean"] == 1.5 and np.isnan([row["std"], row.low, row.high]).all()


@settings(max_examples=20, deadline=None)
@given(
    values=st.lists(st.floats(-1e3, 1e3), min_size=4, max_size=30),
    shift=st.floats(-100, 100),
    seed=st.integers(0, 100),
)
def test_order_of_points_does_not_matter_and_a_shift_only_shifts(values, shift, seed):
    column = np.array(values)
    groups = np.arange(column.size) % 3
    order = np.random.default_rng(seed).permutation(column.size)
    table = summarise({"m": column}, groups, resamples=50)
    mixed = summarise({"m": column[order]}, groups[order], resamples=50)
    pd.testing.assert_frame_equal(table, mixed)
    moved = summarise({"m": column + shift}, groups, resamples=50).loc["m"]
    for name in ("mean", "median", "q25", "q75", "low", "high"):
        assert moved[name] == pytest.approx(table.loc["m", name] + shift, abs=1e-8)


def test_equal_seeds_draw_equal_resamples():
    values = {"m": np.random.default_rng(2).normal(size=30)}
    groups = np.arange(30)
    tables = [summarise(values, groups, seed=seed, resamples=100) for seed in (1, 1, 2)]
    pd.testing.assert_frame_equal(tables[0], tables[1])
    assert tables[0].loc["m", "low"] != tables[2].loc["m", "low"]


def test_paired_differences_take_out_what_groups_share():
    random = np.random.default_rng(3)
    groups = np.arange(20)
    shared = 10 * random.normal(size=20)
    first = group_means({"m": shared + 0.5 + 0.01 * random.normal(size=20)}, groups)
    second = group_means({"m": shared, "other": shared}, groups).iloc[::-1]
    row = paired_difference(first, second, resamples=200).loc["m"]
    assert row.groups == 20
    assert row["mean"] == pytest.approx(0.5, abs=0.01)
    assert 0.48 < row.low < row.high < 0.52


def test_only_common_groups_are_paired():
    first = group_means({"m": np.array([1.0, 2.0, 3.0])}, np.array([0, 1, 2]))
    second = group_means({"m": np.array([1.0, 1.0])}, np.array([2, 5]))
    row = paired_difference(first, second).loc["m"]
    assert (row["mean"], row.groups) == (2.0, 1)
    with pytest.raises(InputError, match="share 0 groups"):
        paired_difference(first.iloc[:1], second)


@pytest.mark.parametrize(
    ("values", "groups", "options", "message"),
    [
        ({"m": np.ones(3)}, np.zeros(4), {}, r"shape \(4,\), values .*\(3,\)"),
        ({}, np.zeros(0), {}, "at least one point"),
        ({"m": np.ones(3)}, np.zeros(3), {"resamples": 0}, "resamples"),
        ({"m": np.ones(3)}, np.zeros(3), {"level": 1.0}, "level"),
    ],
)
def test_impossible_requests_are_refused(values, groups, options, message):
    with pytest.raises(InputError, match=message):
        summarise(values, groups, **options)
