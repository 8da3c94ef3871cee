"""Stability of clusters and their agreement with labels, on groups that are known."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from scipy.cluster import hierarchy
from sklearn.metrics import adjusted_rand_score

from mgm_jax.analysis import (
    agreement_over_cuts,
    cluster_models,
    cluster_stability,
    label_agreement,
)
from mgm_jax.analysis.clusters.manifold_draws import ManifoldDraws
from mgm_jax.analysis.clusters.stability import adjusted_rand
from mgm_jax.errors import InputError

SETTINGS = ("semantic", "crop", "rotation")
METRICS = ("nnk_degree", "nnk_diameter")


def manifolds(*, kinds: int, models: int = 12, noise: float = 1.0, seed: int = 0) -> pd.DataFrame:
    """Table ``groups``: models of a few kinds on 20 manifolds under three settings."""
    generator = np.random.default_rng(seed)
    rows = []
    for setting in SETTINGS:
        centres = 4 * generator.normal(size=(kinds, len(METRICS)))
        hardness = generator.normal(size=(20, len(METRICS)))
        for model in range(models):
            own = centres[model % kinds] + 0.3 * generator.normal(size=len(METRICS))
            for group in range(20):
                values = own + hardness[group] + noise * generator.normal(size=len(METRICS))
                rows.append(
                    {
                        "encoder": f"model{model:02d}",
                        "images": "digits",
                        "setting": setting,
                        "strength": 0.0 if setting == "semantic" else 1.0,
                        "tap": "pool",
                        "group": str(group),
                        **dict(zip(METRICS, values, strict=True)),
                    }
                )
    return pd.DataFrame(rows)


def metrics_of(groups: pd.DataFrame) -> pd.DataFrame:
    """The columns of the table ``models``, by pandas."""
    means = groups.groupby(["encoder", "setting"])[list(METRICS)].mean().unstack("setting")
    means.columns = [f"{setting}.{metric}" for metric, setting in means.columns]
    return means


@pytest.mark.slow
@pytest.mark.parametrize("kinds", [2, 3, 4])
def test_the_number_of_kinds_is_found(kinds: int):
    groups = manifolds(kinds=kinds, seed=kinds)
    result = cluster_stability(metrics_of(groups), manifolds=groups, resamples=60)
    assert result.groups == kinds
    assert adjusted_rand_score(np.arange(12) % kinds, result.clusters.labels) == 1.0
    table = result.to_pandas().set_index("groups")
    assert table["stability"].idxmax() == kinds and result.stability > 0.95
    assert table.index.tolist() == list(range(2, 9))


def test_without_kinds_no_number_is_stable():
    groups = manifolds(kinds=12, noise=6.0)
    result = cluster_stability(metrics_of(groups), manifolds=groups, resamples=60)
    assert result.to_pandas()["stability"].max() < 0.8


@pytest.mark.slow
def test_noise_of_manifolds_lowers_the_stability():
    clean, noisy = (
        cluster_stability(
            metrics_of(groups), manifolds=groups, resamples=60, share=1.0, leave_out_settings=False
        ).to_pandas()["stability"]
        for groups in (manifolds(kinds=3, noise=0.05), manifolds(kinds=3, noise=8.0))
    )
    assert clean.mean() > noisy.mean() + 0.1


def test_a_setting_that_disagrees_is_noticed():
    """Two settings carry one partition, the third another: without it the cuts change."""
    metrics = metrics_of(manifolds(kinds=2, noise=0.01))
    other = np.where(np.arange(12) < 6, 30.0, -30.0)
    metrics["rotation.nnk_degree"] = other + np.arange(12) / 100
    metrics["rotation.nnk_diameter"] = -other
    options = {"resamples": 30, "share": 1.0, "most_groups": 3}
    kept = cluster_stability(metrics, leave_out_settings=False, **options)
    left = cluster_stability(metrics, **options)
    assert kept.to_pandas()["stability"].tolist() == [1.0, 1.0]
    assert left.settings_left_out and left.to_pandas()["stability"].iloc[0] < 0.9


def test_means_of_all_manifolds_are_the_metrics():
    """Drawing each manifold once gives the table back, also where a value is undefined."""
    groups = manifolds(kinds=3)
    groups.loc[7, "nnk_degree"] = np.nan

    class Each:
        def integers(self, low: int, high: int, size: int) -> np.ndarray:
            return np.arange(size)

    metrics = metrics_of(groups).assign(rankme=1.5)
    drawn = ManifoldDraws.make(groups, metrics).draw(Each())  # type: ignore[arg-type]
    pd.testing.assert_frame_equal(drawn, metrics, rtol=1e-12)


def test_equal_seeds_give_equal_results_and_few_models_are_served():
    groups = manifolds(kinds=3)
    metrics = metrics_of(groups)
    first, second = (
        cluster_stability(metrics, manifolds=groups, resamples=20, seed=3) for _ in range(2)
    )
    pd.testing.assert_frame_equal(first.to_pandas(), second.to_pandas())
    three = cluster_stability(metrics.iloc[:3])
    assert three.groups == cluster_models(metrics.iloc[:3]).groups and np.isnan(three.stability)
    assert "models" in first._repr_html_()


def test_unusable_manifolds_are_refused():
    groups = manifolds(kinds=3)
    metrics = metrics_of(groups)
    with pytest.raises(InputError, match="no rows for the model\\(s\\) model00"):
        cluster_stability(metrics, manifolds=groups[groups["encoder"] != "model00"])
    with pytest.raises(InputError, match="twice under semantic"):
        cluster_stability(metrics, manifolds=pd.concat([groups, groups.iloc[:1]]))
    with pytest.raises(InputError, match="missing the column\\(s\\) group"):
        cluster_stability(metrics, manifolds=groups.drop(columns="group"))
    with pytest.raises(InputError, match="resamples must be at least 2"):
        cluster_stability(metrics, resamples=1)


@settings(max_examples=50, deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 3), st.integers(0, 4)), min_size=1, max_size=15),
)
def test_adjusted_rand_is_that_of_scikit_learn(pairs: list[tuple[int, int]]):
    first, second = np.array(pairs).T
    expected = adjusted_rand_score(first, second)
    assert adjusted_rand(first[None], second[None])[0] == pytest.approx(expected, abs=1e-12)


def test_labels_that_explain_the_groups_are_told_from_those_that_do_not():
    groups = np.repeat([1, 2, 3], 5)
    same = label_agreement(groups, np.repeat(["a", "b", "c"], 5))
    assert same.ari == 1.0 and same.p_value < 0.005
    crossed = label_agreement(groups, np.tile(["a", "b", "c", "d", "e"], 3))
    assert crossed.ari < 0 and crossed.p_value > 0.9
    assert np.isnan(label_agreement(groups, ["a"] * 15).p_value)
    with pytest.raises(InputError, match="got 15 and 2"):
        label_agreement(groups, ["a", "b"])


def test_p_values_of_unrelated_labels_are_valid():
    """At most a share p of unrelated labels has a p-value of p or less."""
    generator = np.random.default_rng(0)
    groups = np.repeat([1, 2, 3], 8)
    p_values = [
        label_agreement(groups, generator.integers(0, 3, 24), permutations=199, seed=i).p_value
        for i in range(200)
    ]
    # One-sided: equal indices count as at least as large, so values lie high, never low.
    assert stats.kstest(p_values, "uniform", alternative="greater").pvalue > 0.01
    assert np.mean(np.array(p_values) <= 0.5) > 0.3


def three_clouds() -> np.ndarray:
    """Tree of 15 points: two close clouds of five and a far one."""
    generator = np.random.default_rng(1)
    centres = np.repeat([[0.0, 0.0], [3.0, 0.0], [40.0, 0.0]], 5, axis=0)
    return hierarchy.linkage(centres + generator.normal(0, 0.2, (15, 2)), "ward")


def test_each_cut_agrees_with_labels_as_scikit_learn_says():
    tree, labels = three_clouds(), np.repeat(["a", "b", "c"], 5)
    table = agreement_over_cuts(tree, labels, groups=[2, 3, 4, 6]).set_index("groups")
    for count, row in table.iterrows():
        cut = hierarchy.fcluster(tree, count, "maxclust")
        assert row["ari"] == pytest.approx(adjusted_rand_score(labels, cut), abs=1e-12)
    assert table["ari"].idxmax() == 3 and table.loc[3, "ari"] == 1.0
    assert (table["p_any"] >= table["p_value"]).all() and table.loc[3, "p_any"] < 0.005
    with pytest.raises(InputError, match="from 2 to the 15 leaves"):
        agreement_over_cuts(tree, labels, groups=[1])
    with pytest.raises(InputError, match="for each of 15 leaves"):
        agreement_over_cuts(tree, labels[:4], groups=[2])


@pytest.mark.slow
def test_the_search_over_cuts_is_allowed_for():
    """The best cut of unrelated labels is rarely significant by p_any, often by p_value."""
    tree, generator = three_clouds(), np.random.default_rng(0)
    best = []
    for seed in range(150):
        labels = generator.integers(0, 3, 15)
        table = agreement_over_cuts(tree, labels, groups=range(2, 9), permutations=99, seed=seed)
        best.append(table.loc[table["ari"].idxmax(), ["p_value", "p_any"]].to_numpy(float))
    alone, allowed = np.array(best).T
    assert np.mean(allowed <= 0.2) < 0.3 < np.mean(alone <= 0.2)


def test_a_label_that_is_missing_is_named():
    with pytest.raises(InputError, match=r"labels .* no label in 1 rows \(rows 1\)"):
        label_agreement([1, 1, 2, 2], ["a", None, "b", "b"])
