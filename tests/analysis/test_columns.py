"""Which columns enter clusters and predictions, and in which form tables come."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from mgm_jax.analysis import cluster_models, cluster_stability, predict_transfer
from mgm_jax.analysis.columns import usable_columns
from mgm_jax.errors import InputError

MODELS = list("abcdef")
SPLIT = pd.DataFrame({"crop.nnk_degree": [1.0, 1.1, 1.2, 5.0, 5.1, 5.2]}, index=MODELS)
NOISE = np.array([3.0, -1.0, 2.0, -2.0, 1.0, 0.5])


def test_columns_of_rounding_noise_do_not_enter() -> None:
    noisy = SPLIT.assign(nothing=1e-16 * NOISE)
    result = cluster_models(noisy)
    assert result.groups == 2 and result.labels.tolist() == [1, 1, 1, 2, 2, 2]
    assert result.left_out == {"nothing": "rounding noise (all within 5e-16)"}
    assert "rounding noise" in result._repr_html_()
    # A table of small numbers throughout is in units of its own.
    assert usable_columns(1e-20 * SPLIT)[0] == ("crop.nnk_degree",)
    assert cluster_models(1e-20 * SPLIT).groups == 2


def test_diagnostics_enter_only_where_they_are_asked_for() -> None:
    table = SPLIT.assign(
        **{"crop.nnk_kkt": NOISE, "crop.nnk_residual": -NOISE, "width": 2 * NOISE, "r_low": NOISE}
    )
    for call in (cluster_models, lambda t: cluster_stability(t, resamples=10).clusters):
        result = call(table)
        assert result.columns == ("crop.nnk_degree",) and result.groups == 2
        assert set(result.left_out.values()) == {"a diagnostic, no property of the model"}
    assert len(cluster_models(table, diagnostics=True).columns) == 5
    scores = pd.Series(NOISE, index=MODELS)
    options = {"permutations": 9, "random_sets": 5, "resamples": 20}
    predicted = predict_transfer(table, scores, **options)
    assert set(predicted.left_out) == {"crop.nnk_kkt", "crop.nnk_residual", "width", "r_low"}
    with pytest.raises(InputError, match="diagnostics=True"):
        cluster_models(table[["width"]])


def test_a_series_is_a_table_of_one_column() -> None:
    series = SPLIT["crop.nnk_degree"]
    np.testing.assert_array_equal(cluster_models(series).linkage, cluster_models(SPLIT).linkage)
    assert cluster_stability(series, resamples=10).groups == 2
    options = {"permutations": 9, "random_sets": 5, "resamples": 20}
    scores = pd.Series(NOISE, index=MODELS, name="task")
    one, other = (predict_transfer(t, s, **options) for t, s in ((series, scores), (SPLIT, scores)))
    pd.testing.assert_frame_equal(one.table, other.table)
    nullable = SPLIT.astype("Float64")
    assert cluster_models(nullable).groups == 2
    nullable.iloc[2, 0] = pd.NA
    with pytest.raises(InputError, match="missing for c"):
        cluster_models(nullable)
    with pytest.raises(InputError, match="got list"):
        cluster_models([1.0, 2.0])  # type: ignore[arg-type]


@pytest.mark.slow
def test_where_two_functions_name_different_numbers_of_groups_the_reason_is_told() -> None:
    generator = np.random.default_rng(0)
    told = []
    for _ in range(40):
        values = generator.normal(size=(9, 2)) + 2 * generator.integers(0, 3, (9, 1))
        table = pd.DataFrame(values, columns=["x", "y"], index=[f"m{i}" for i in range(9)])
        by_silhouette, result = cluster_models(table), cluster_stability(table, resamples=10)
        same = by_silhouette.groups == result.groups
        assert (result.why_not_silhouette == "") == same
        assert (by_silhouette.chosen_by, result.clusters.chosen_by) == ("silhouette", "stability")
        if not same:
            assert f"largest for {by_silhouette.groups} groups" in result._repr_html_()
        told.append(same)
    assert 0 < sum(told) < 40


def test_columns_of_one_name_are_refused_and_objects_are_numbers() -> None:
    """Of two columns of one name only the last would be looked at."""
    twice = pd.concat([SPLIT, SPLIT], axis=1)
    for call in (cluster_models, lambda t: cluster_stability(t, resamples=10)):
        with pytest.raises(InputError, match=r"given twice: crop\.nnk_degree"):
            call(twice)
    assert cluster_models(SPLIT.astype(object)).labels.tolist() == [1, 1, 1, 2, 2, 2]
    with pytest.raises(InputError, match="got text in name"):
        cluster_models(SPLIT.assign(name=list("uvwxyz")))


@pytest.mark.parametrize("unit", [1e200, 1e-200])
def test_spreads_that_have_no_square_do_not_enter(unit: float) -> None:
    """They overflowed to infinity, and Ward's tree or the predictions were of zeros."""
    table = SPLIT.assign(wild=unit * NOISE)
    if unit > 1:
        assert "has no square" in cluster_models(table).left_out["wild"]
    with pytest.raises(InputError, match="no column is finite"):
        cluster_models(table[["wild"]])
    with pytest.raises(InputError, match=r"squares float64 holds; those of 'wild'.*constant"):
        predict_transfer(SPLIT, table["wild"])


def test_names_that_are_numbers_in_one_table_are_named() -> None:
    numbered = SPLIT.set_axis(range(6))
    with pytest.raises(InputError, match=r"int in metrics and str in scores: take index.map"):
        predict_transfer(numbered, pd.Series(NOISE, index=list("012345")))
