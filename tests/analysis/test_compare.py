"""Two models over the same manifolds: differences, their intervals, and what is refused."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from mgm_jax.analysis import compare_models
from mgm_jax.errors import InputError
from mgm_jax.metrics.manifold import manifold_metrics
from tests.analysis.clusters.test_stability import METRICS, manifolds


def test_differences_are_those_of_the_paired_manifolds():
    groups = manifolds(kinds=2, models=3, noise=0.2)
    result = compare_models(groups, "model00", "model01").table
    assert len(result) == 3 * len(METRICS)
    for row in result.itertuples():
        block = groups[groups["setting"] == row.setting].pivot(
            index="group", columns="encoder", values=str(row.metric)
        )
        gaps = block["model00"] - block["model01"]
        assert row.difference == pytest.approx(gaps.mean())
        assert row.difference == pytest.approx(row.first - row.second)
        assert row.share == pytest.approx((gaps > 0).mean())
        assert row.low <= row.difference <= row.high and row.groups == 20
        # A percentile interval of 20 pairs is close to the normal one.
        reach = 1.96 * gaps.std(ddof=0) / np.sqrt(20)
        assert row.high - row.low == pytest.approx(2 * reach, rel=0.25)


def test_pairing_takes_out_what_is_common():
    groups = manifolds(kinds=3, models=6, noise=0.2)
    result = compare_models(groups, "model00", "model03").table
    own = groups[groups["encoder"] == "model00"]
    alone = own.groupby("setting")["nnk_degree"].std() / np.sqrt(20)
    of_pairs = result[result["metric"] == "nnk_degree"].set_index("setting")
    assert ((of_pairs["high"] - of_pairs["low"]) / 4 < 0.6 * alone[of_pairs.index]).all()


def test_undefined_values_leave_their_pair_out():
    groups = manifolds(kinds=2, models=2)
    groups.loc[(groups["encoder"] == "model00") & (groups["group"] == "4"), "nnk_degree"] = np.nan
    result = compare_models(groups, "model00", "model01").table.set_index(["setting", "metric"])
    assert (result.xs("nnk_degree", level="metric")["groups"] == 19).all()
    row = result.loc[("crop", "nnk_degree")]
    assert row["difference"] == pytest.approx(row["first"] - row["second"])


def test_what_cannot_be_compared_is_refused():
    groups = manifolds(kinds=2, models=2)
    with pytest.raises(InputError, match="two models of the table"):
        compare_models(groups, "model00", "model00")
    with pytest.raises(InputError, match="it has model00, model01"):
        compare_models(groups, "model00", "other")
    with pytest.raises(InputError, match="missing the column\\(s\\) tap"):
        compare_models(groups.drop(columns="tap"), "model00", "model01")
    apart = groups.assign(images=groups["encoder"])
    with pytest.raises(InputError, match="share no image set"):
        compare_models(apart, "model00", "model01")
    with pytest.raises(InputError, match="'model01' was not measured at 'cls'; it has pool"):
        compare_models(groups, "model00", "model01", taps=("pool", "cls"))
    with pytest.raises(InputError, match="got a str"):
        compare_models("groups", "model00", "model01")  # type: ignore[arg-type]


def test_models_whose_taps_have_other_names_are_compared_each_at_its_default():
    groups = manifolds(kinds=2, models=2)
    same = compare_models(groups, "model00", "model01").table
    other = groups["encoder"] == "model01"
    deeper = groups[other].assign(tap="blocks.3", nnk_degree=0.0)
    apart = pd.concat([groups.assign(tap=np.where(other, "cls", "pool")), deeper])
    result = compare_models(apart, "model00", "model01").table
    assert set(result["tap"]) == {"pool | cls"}
    pd.testing.assert_frame_equal(result.drop(columns="tap"), same.drop(columns="tap"))
    chosen = compare_models(apart, "model00", "model01", taps=("pool", "blocks.3")).table
    assert (chosen.set_index("metric").loc["nnk_degree", "second"] == 0).all()


@pytest.mark.slow
def test_metrics_in_memory_are_compared_group_by_group():
    generator = np.random.default_rng(0)
    x, labels = generator.normal(size=(48, 6)), np.repeat(list("abcd"), 12)
    one, other = (manifold_metrics(y, groups=labels, k=8) for y in (x, x * [9, 9, 1, 1, 1, 1]))
    result = compare_models(one, other, names=("plain", "flat"))
    assert (result.first, result.second) == ("plain", "flat")
    row = result.table.set_index("metric").loc["nnk_degree"]
    means = [pd.Series(m.nnk_degree).groupby(labels).mean() for m in (one, other)]
    assert row["difference"] == pytest.approx((means[0] - means[1]).mean()) and row["groups"] == 4
    with pytest.raises(InputError, match="ManifoldMetrics"):
        compare_models(one, "other")
