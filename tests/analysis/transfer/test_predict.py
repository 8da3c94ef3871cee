"""Prediction of transfer on planted data, where the answer is known."""

from __future__ import annotations

import doctest

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from sklearn.metrics import r2_score

import mgm_jax as mgm
from mgm_jax.analysis.transfer import predictors
from mgm_jax.analysis.transfer.predict import predict_transfer
from mgm_jax.analysis.transfer.predictors import MEAN_OF_MODELS, MEAN_OF_TASKS
from mgm_jax.errors import InputError

QUICK = {"resamples": 200, "permutations": 99, "random_sets": 40}


def models(count: int) -> list[str]:
    return [f"model{i:02d}" for i in range(count)]


def study(count: int = 24, features: int = 15, seed: int = 0) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Noise features but for f0, which the first two tasks depend on; the third is noise."""
    generator = np.random.default_rng(seed)
    metrics = pd.DataFrame(
        generator.normal(size=(count, features)),
        index=models(count),
        columns=[f"f{i}" for i in range(features)],
    )
    noise = generator.normal(size=(count, 3))
    scores = pd.DataFrame(
        {
            "easy": 70 + 5 * metrics["f0"] + noise[:, 0],
            "hard": 40 - 5 * metrics["f0"] + 2 * noise[:, 1],
            "noise": 50 + noise[:, 2],
        }
    )
    return metrics, scores


@pytest.fixture(scope="module")
def result() -> mgm.TransferPrediction:
    metrics, scores = study()
    baselines = {"known": scores["easy"], "unknown": pd.Series(np.arange(24.0) % 7, models(24))}
    return predict_transfer(metrics, scores, baselines=baselines, **QUICK)


def test_a_planted_feature_is_found_and_noise_is_not(result: mgm.TransferPrediction):
    table = result.to_pandas()
    assert list(table.index) == ["easy", "hard", "noise"]
    assert table.loc["easy", "r2"] > 0.7 and table.loc["hard", "r2"] > 0.3
    assert (table.loc[["easy", "hard"], "p_holm"] <= 0.05).all()
    assert table.loc["noise", "r2"] < 0.1 and table.loc["noise", "p_value"] > 0.05
    assert (table["random_r2"] < 0).all()
    assert (table.loc[["easy", "hard"], "r2"] > table.loc[["easy", "hard"], "random_r2_high"]).all()
    of = result.features.set_index(["task", "feature"])
    for task, sign in (("easy", 1), ("hard", -1)):
        own = of.loc[task]
        assert own["coefficient"].abs().idxmax() == "f0"
        assert np.sign(own.loc["f0", "coefficient"]) == sign
        assert own.loc["f0", ["selected", "sign"]].tolist() == [1.0, 1.0]
        assert own["selected"].drop("f0").max() < 1


def test_one_model_unlike_all_others_is_named():
    metrics, scores = study()
    metrics.loc["model07"] *= 1000.0
    table = predict_transfer(metrics, scores[["easy"]], **QUICK).to_pandas()
    assert table.loc["easy", "r2"] < 0
    assert table.loc["easy", "worst_model"] == "model07"
    assert table.loc["easy", "worst_share"] > 0.9


def test_scores_are_those_of_the_predictions_that_are_handed_out(result: mgm.TransferPrediction):
    keys = ["task", "predictors", "held_out"]
    for key, block in result.predictions.groupby(keys, sort=False):
        row = result.table.set_index(keys).loc[key]
        squares = (
            block.set_index("model")["measured"] - block.set_index("model")["predicted"]
        ) ** 2
        assert row["worst_model"] == squares.idxmax()
        assert row["worst_share"] == pytest.approx(squares.max() / squares.sum())
        assert row["r2"] == pytest.approx(r2_score(block["measured"], block["predicted"]))
        assert row["models"] == len(block)
        if np.isfinite(row["spearman"]):
            rho = stats.spearmanr(block["measured"], block["predicted"]).statistic
            tau = stats.weightedtau(block["measured"], block["predicted"]).statistic
            assert row["spearman"] == pytest.approx(rho) and row["kendall"] == pytest.approx(tau)


def test_baselines_stand_beside(result: mgm.TransferPrediction):
    names = ["mgm", "known", "unknown", "all baselines", "mgm + all baselines"]
    names += [MEAN_OF_TASKS, MEAN_OF_MODELS]
    assert list(result.table["predictors"].unique()) == names
    wide = result.to_pandas()
    assert wide.loc["easy", "r2 of known"] > 0.99 and wide.loc["easy", "baseline"] == "known"
    of_mean = result.table[result.table["predictors"] == MEAN_OF_MODELS]
    # Leaving one out moves the mean away from it: exactly 1 - (n / (n - 1))^2.
    np.testing.assert_allclose(of_mean["r2"], 1 - (24 / 23) ** 2, rtol=1e-12)
    assert of_mean[["spearman", "kendall", "p_value", "p_holm"]].isna().all(axis=None)


@pytest.mark.slow
def test_what_features_add_to_a_baseline_is_told_from_what_they_repeat():
    """Scores are a feature plus a baseline: neither alone, both together predict them."""
    metrics, _ = study(features=3)
    other = pd.Series(np.random.default_rng(9).normal(size=24), metrics.index)
    both = pd.DataFrame({"t": metrics["f0"] + other})
    results = predict_transfer(metrics, both, baselines={"other": other}, **QUICK)
    row = results.to_pandas().loc["t"]
    assert row["with_baselines_r2"] > 0.95
    assert max(row["r2"], row["r2 of other"]) < 0.8
    joint = results.table[results.table["predictors"] == "mgm + other"].iloc[0]
    assert joint["features"] == 4
    # A baseline without a value for a model does not cost the joint fit that model.
    gaps = pd.DataFrame({"other": other, "gaps": other.where(other.index != "model03")})
    table = predict_transfer(metrics, both, baselines=gaps, **QUICK).table
    of = table.set_index("predictors")
    assert of.loc["mgm + all baselines", ["models", "features"]].tolist() == [24, 4]
    assert of.loc["gaps", "models"] == 23


def test_baselines_of_each_task_are_used_for_it_alone():
    metrics, scores = study()
    by_task = pd.DataFrame({"easy": scores["easy"], "noise": scores["noise"]})
    table = predict_transfer(metrics, scores, baselines={"oracle": by_task}, **QUICK).table
    of = table[table["predictors"] == "oracle"].set_index("task")
    assert list(of.index) == ["easy", "noise"]
    assert (of["r2"] > 0.99).all()


@pytest.mark.slow
def test_pure_noise_has_uniform_p_values_and_no_skill():
    """p-values of 80 independent noise tasks, with and without families of equal size."""
    metrics, _ = study(count=16, features=8)
    generator = np.random.default_rng(5)
    scores = pd.DataFrame(generator.normal(size=(16, 80)), index=metrics.index)
    results = predict_transfer(
        metrics,
        scores,
        families=[f"family{i // 2}" for i in range(16)],
        resamples=10,
        permutations=99,
        random_sets=10,
    )
    own = results.table[results.table["predictors"] == "mgm"]
    for _, block in own.groupby("held_out"):
        assert block["r2"].median() < 0
        assert stats.kstest(block["p_value"], "uniform").pvalue > 0.01
        # The tasks share the features; Holm over 80 of them must not find any.
        assert block["p_holm"].min() > 0.05
        assert block["r2"].median() == pytest.approx(block["random_r2"].median(), abs=0.1)


def test_leaving_families_out_uncovers_what_only_families_carry():
    """Features that tell families apart predict scores that are one value a family."""
    generator = np.random.default_rng(2)
    codes = np.repeat(np.arange(8), 4)
    centres = generator.normal(size=(8, 10))
    metrics = pd.DataFrame(
        centres[codes] + 0.05 * generator.normal(size=(32, 10)), index=models(32)
    )
    level = generator.normal(size=8)
    scores = pd.DataFrame({"t": level[codes] + 0.05 * generator.normal(size=32)}, models(32))
    families = dict(zip(metrics.index, codes.astype(str), strict=True))
    results = predict_transfer(metrics, scores, families=families, **QUICK)
    of_model = results.to_pandas(held_out="model").loc["t"]
    of_family = results.to_pandas(held_out="family").loc["t"]
    assert of_model["r2"] > 0.7 and of_model["p_value"] <= 0.01
    assert of_family["r2"] < 0.3 and of_family["p_value"] > 0.05


@pytest.mark.slow
def test_models_are_joined_by_name_whatever_their_order():
    metrics, scores = study()
    shuffled = scores.sample(frac=1, random_state=1)
    shuffled.loc["someone else"] = 1.0
    first = predict_transfer(metrics, scores, **QUICK)
    second = predict_transfer(metrics, shuffled, **QUICK)
    pd.testing.assert_frame_equal(first.table, second.table)


@pytest.mark.slow
def test_a_model_without_a_score_is_left_out_of_that_task_alone():
    metrics, scores = study()
    scores.loc["model03", "hard"] = np.nan
    results = predict_transfer(metrics, scores, **QUICK)
    assert results.to_pandas()["models"].tolist() == [24, 23, 24]
    hard = predict_transfer(
        metrics.drop(index="model03"), scores[["hard"]].drop(index="model03"), **QUICK
    )
    pd.testing.assert_series_equal(
        results.to_pandas().loc["hard", ["r2", "p_value", "random_r2"]],
        hard.to_pandas().loc["hard", ["r2", "p_value", "random_r2"]],
    )


@pytest.mark.slow
@pytest.mark.parametrize("method", ["lasso", "elastic-net"])
def test_sparse_methods_choose_the_planted_feature(method: str):
    metrics, scores = study(features=8)
    results = predict_transfer(
        metrics,
        scores[["easy"]],
        method=method,
        resamples=100,
        permutations=3,
        random_sets=1,
    )
    assert results.to_pandas().loc["easy", "r2"] > 0.8
    of = results.features.set_index("feature")
    assert of.loc["f0", "selected"] == 1.0 and of["selected"].drop("f0").mean() < 0.7


def test_ranks_survive_a_bent_relation():
    metrics, scores = study()
    scores = pd.DataFrame({"bent": np.exp(3 * metrics["f0"])})
    by_rank = predict_transfer(metrics, scores, ranks=True, **QUICK).to_pandas().loc["bent"]
    by_value = predict_transfer(metrics, scores, **QUICK).to_pandas().loc["bent"]
    assert by_rank["spearman"] > 0.8 and by_rank["r2"] > by_value["r2"] + 0.3


@pytest.mark.slow
def test_equal_seeds_give_equal_tables_and_unusable_columns_are_named():
    metrics, scores = study()
    metrics = metrics.assign(same=1.0, gaps=[np.nan] + [1.0] * 23)
    first, second = (predict_transfer(metrics, scores, seed=7, **QUICK) for _ in range(2))
    pd.testing.assert_frame_equal(first.table, second.table)
    pd.testing.assert_frame_equal(first.features, second.features)
    assert first.left_out == {"same": "constant", "gaps": "missing for model00"}
    assert "R" not in first.left_out and "easy" in first._repr_html_() and "easy" in repr(first)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"metrics": study()[0].iloc[:4]}, "at least 5 models with both, got 4"),
        ({"scores": study()[1].assign(flat=1.0)}, "different scores for 'flat'"),
        ({"scores": study()[1].iloc[:, :0]}, "at least one column"),
        ({"families": ["a", "b"] * 12}, "at least 3"),
        ({"families": ["a", "b"]}, "one for each of the 24 rows"),
        ({"families": {"model00": "a"}}, "no family for model01"),
        ({"baselines": {"mgm": study()[1]["easy"]}}, "names must differ from mgm"),
        ({"baselines": {"text": pd.Series(["a"] * 24, models(24))}}, "numbers in 'text'"),
        ({"method": "forest"}, "ridge, lasso, elastic-net"),
        ({"permutations": 0}, "permutations must be at least 1"),
        ({"level": 1.0}, "between 0 and 1"),
    ],
)
def test_what_cannot_be_used_is_refused(change: dict[str, object], message: str):
    metrics, scores = study()
    with pytest.raises(InputError, match=message):
        predict_transfer(**({"metrics": metrics, "scores": scores} | change))  # type: ignore[arg-type]


def test_examples_run() -> None:
    result = doctest.testmod(predictors)
    assert (result.attempted, result.failed) == (1, 0)
