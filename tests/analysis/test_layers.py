"""Metrics against depth: lines, order, intervals over seeds."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from mgm_jax.analysis import WHOLE_MODEL, layer_profile
from mgm_jax.errors import InputError

TAPS = {"pool": 1.0, "stem": 0.0, "layer1": 0.5, "side": np.nan}


def tables(seeds: int) -> tuple[pd.DataFrame, pd.DataFrame]:
    """A network of so many seeds, a trained one, and the pixels."""
    rng = np.random.default_rng(seeds)
    names = [(f"net-s{i}" if seeds > 1 else "net", i) for i in range(seeds)]
    summary, models = [], []
    for encoder, seed in [*names, ("trained-s0", None), ("pixels", None)]:
        for tap, depth in ({"flatten": 1.0} if encoder == "pixels" else TAPS).items():
            head = {"encoder": encoder, "family": "f", "images": "i", "tap": tap}
            models.append(head | {"seed": seed, "mean_cosine": rng.uniform(0.99, 1)})
            for setting in ("semantic", "augs"):
                mean = rng.normal()
                facts = {"setting": setting, "strength": 1.0, "metric": "nnk_degree"}
                ends = {"depth": depth, "mean": mean, "low": mean - 1, "high": mean + 2}
                summary.append(head | facts | ends)
    return pd.DataFrame(summary), pd.DataFrame(models).astype({"seed": "Int64"})


@pytest.mark.parametrize("seeds", [2, 10])
def test_seeds_are_one_line_with_students_interval(seeds: int) -> None:
    summary, models = tables(seeds)
    profile = layer_profile(summary, models, level=0.9)
    line = profile[(profile["line"] == "net") & (profile["setting"] == "augs")]
    assert line["tap"].tolist() == ["stem", "layer1", "pool"]
    assert line["seeds"].tolist() == [seeds] * 3
    for row in line.to_dict("records"):
        own = (summary["tap"] == row["tap"]) & (summary["setting"] == "augs")
        values = summary.loc[own & summary["encoder"].str.startswith("net"), "mean"].to_numpy()
        low, high = stats.t.interval(0.9, seeds - 1, values.mean(), stats.sem(values))
        np.testing.assert_allclose(
            [row["mean"], row["low"], row["high"]], [values.mean(), low, high]
        )


def test_one_encoder_keeps_its_interval_over_groups_and_its_name() -> None:
    summary, models = tables(1)
    profile = layer_profile(summary, models).set_index(["line", "setting", "tap"])
    # The trained encoder has no seed: the end of its name is a part of it.
    assert set(profile.index.get_level_values("line")) == {"net", "trained-s0", "pixels"}
    for row in summary[summary["depth"].notna()].to_dict("records"):
        got = profile.loc[(row["encoder"], row["setting"], row["tap"])]
        assert (got["mean"], got["low"], got["high"]) == (row["mean"], row["low"], row["high"])


def test_metrics_of_the_model_join_with_their_bounds() -> None:
    summary, models = tables(2)
    metrics = ("mean_cosine", "absent")
    profile = layer_profile(summary, models, model_metrics=metrics)
    whole = profile[profile["setting"] == WHOLE_MODEL]
    assert set(whole["metric"]) == {"mean_cosine"}
    assert len(whole) == 3 + 3 + 1, "layers of both networks and the pixels, taps beside left out"
    seeded = whole[whole["line"] == "net"]
    assert (seeded["high"] <= 1).all() and (seeded["low"] < seeded["mean"]).all()
    # With two seeds Student's interval reaches far above what a cosine can be.
    assert (seeded["high"] == 1).any()
    assert whole.loc[whole["line"] == "pixels", "low"].isna().all()


def test_missing_values_do_not_enter() -> None:
    summary, models = tables(3)
    gone = (summary["encoder"] == "net-s1") & (summary["tap"] == "stem")
    summary.loc[gone, "mean"] = np.nan
    profile = layer_profile(summary, models)
    line = profile[(profile["line"] == "net") & (profile["tap"] == "stem")]
    assert line["seeds"].tolist() == [2, 2]


def test_a_table_without_depth_is_refused() -> None:
    summary, models = tables(1)
    with pytest.raises(InputError, match=r"summary_df: .*missing depth"):
        layer_profile(summary.drop(columns="depth"), models)
