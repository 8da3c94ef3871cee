"""Two models over the same manifolds: differences, their intervals, and what is refused."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from mgm_jax.analysis import compare_models
from mgm_jax.errors import InputError
from tests.analysis.clusters.test_stability import METRICS, manifolds


def test_differences_are_those_of_the_paired_manifolds():
    groups = manifolds(kinds=2, models=3, noise=0.2)
    found = compare_models(groups, "model00", "model01").table
    assert len(found) == 3 * len(METRICS)
    for row in found.itertuples():
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
    found = compare_models(groups, "model00", "model03").table
    own = groups[groups["encoder"] == "model00"]
    alone = own.groupby("setting")["nnk_degree"].std() / np.sqrt(20)
    of_pairs = found[found["metric"] == "nnk_degree"].set_index("setting")
    assert ((of_pairs["high"] - of_pairs["low"]) / 4 < 0.6 * alone[of_pairs.index]).all()


def test_undefined_values_leave_their_pair_out():
    groups = manifolds(kinds=2, models=2)
    groups.loc[(groups["encoder"] == "model00") & (groups["group"] == "4"), "nnk_degree"] = np.nan
    found = compare_models(groups, "model00", "model01").table.set_index(["setting", "metric"])
    assert (found.xs("nnk_degree", level="metric")["groups"] == 19).all()
    row = found.loc[("crop", "nnk_degree")]
    assert row["difference"] == pytest.approx(row["first"] - row["second"])


def test_what_cannot_be_compared_is_refused():
    groups = manifolds(kinds=2, models=2)
    with pytest.raises(InputError, match="two models of the table"):
        compare_models(groups, "model00", "model00")
    with pytest.raises(InputError, match="it has model00, model01"):
        compare_models(groups, "model00", "other")
    with pytest.raises(InputError, match="missing the column\\(s\\) tap"):
        compare_models(groups.drop(columns="tap"), "model00", "model01")
    apart = groups.assign(tap=groups["encoder"])
    with pytest.raises(InputError, match="share no image set"):
        compare_models(apart, "model00", "model01")
    assert "model00 minus model01" in compare_models(groups, "model00", "model01")._repr_html_()


def test_a_row_a_condition_even_with_several_image_sets():
    groups = manifolds(kinds=2, models=2)
    both = pd.concat([groups, groups.assign(images="more")])
    assert len(compare_models(both, "model00", "model01").table) == 2 * 3 * len(METRICS)
