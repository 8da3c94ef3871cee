"""What features add to k-NN accuracy: found where they add something, and not elsewhere."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import r2_score

from benchmarks.knn_gain import families_of, gain_interval, gains, markdown, profiles, r2
from mgm_jax.errors import InputError


@pytest.fixture(scope="module")
def population() -> tuple[pd.DataFrame, pd.Series, pd.DataFrame]:
    rng = np.random.default_rng(0)
    names = [f"{m}-vit-s0-e{e:02d}" for m in "abcdefgh" for e in (2, 4, 6, 8)]
    features = pd.DataFrame(rng.normal(size=(32, 3)), index=names, columns=["x", "y", "z"])
    knn = pd.Series(rng.normal(size=32), index=names)
    scores = pd.DataFrame({"t": knn + features["x"] + 0.1 * rng.normal(size=32)})
    return features, knn, scores


def test_a_set_that_holds_the_rest_gains_and_noise_does_not(population) -> None:
    features, knn, scores = population
    sets = {"the rest": features[["x"]], "noise": features[["y", "z"]]}
    result = gains(sets, knn, scores, families_of(features.index)).set_index("set")
    assert result.loc["the rest", "low"] > 0.2
    assert result.loc["noise", "low"] < 0 and result.loc["noise", "gain"] < 0.1
    total = result.loc["the rest", "r2_knn"] + result.loc["the rest", "gain"]
    assert total > 0.9
    text = markdown(result.reset_index())
    assert text.splitlines()[3].startswith("| the rest (1) | +")


def test_what_is_known_already_gains_nothing(population) -> None:
    features, knn, scores = population
    known = features[["x"]]
    twin = pd.DataFrame({"w": 2 * features["x"] + 1, "y": features["y"]})
    sets = {"twin": twin, "known": known}
    result = gains(sets, knn, scores, families_of(features.index), known=known).set_index("set")
    assert list(result.index) == ["twin"]
    assert result.loc["twin", "r2_knn"] > 0.9
    assert abs(result.loc["twin", "gain"]) < 0.02


def test_r2_is_scikit_learns() -> None:
    truth, predicted = np.random.default_rng(1).normal(size=(2, 20))
    assert r2(truth, predicted) == pytest.approx(r2_score(truth, predicted))


def test_interval_of_equal_predictions_is_zero() -> None:
    truth, predicted = np.random.default_rng(1).normal(size=(2, 20))
    low, gain, high, share = gain_interval(truth, predicted, predicted, np.arange(20) // 4)
    assert low == gain == high == share == 0.0


def test_profiles_are_read_at_relative_depths() -> None:
    columns = ("rankme", "mean_cosine", "knn_accuracy", "semantic.nnk_degree")
    rows = [
        {"encoder": name, "semantic.nnk_diameter": float(i), **dict.fromkeys(columns, 1.0)}
        for name, layers in (("a", 5), ("b", 9))
        for i in range(layers)
    ]
    result = profiles(pd.DataFrame(rows))
    assert result.loc["a", "semantic.nnk_diameter@0.5"] == 2.0
    assert result.loc["b", "semantic.nnk_diameter@0.25"] == 2.0


def test_other_names_are_refused() -> None:
    with pytest.raises(InputError, match="got resnet50"):
        families_of(pd.Index(["resnet50"]))
