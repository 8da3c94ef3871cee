"""The comparison stage: from a real run, and from tables whose answer is known."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import adjusted_rand_score

from mgm_jax.analysis import cluster_models
from mgm_jax.sweep import run_study
from mgm_jax.sweep.run import comparison
from mgm_jax.sweep.run.prediction import MGM, mgm_columns, prediction_tables, task_scores
from tests.sweep.small_study import small_study

HEAD = ("task", "predictors", "held_out")


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Pixels and three untrained Conv4 on 50 digits."""
    out = tmp_path_factory.mktemp("compared")
    encoders = [
        {"source": "pixels", "size": 8},
        {"source": "conv4", "size": 32, "seeds": [0, 1, 2]},
    ]
    run_study(small_study(encoders=encoders), out)
    return out


def test_a_run_ends_with_clusters_and_similarity(finished: Path) -> None:
    clusters = pd.read_parquet(finished / "clusters.parquet")
    models = pd.read_parquet(finished / "models.parquet").set_index("encoder")
    assert set(clusters["encoder"]) == set(models.index)
    tree = pd.read_parquet(finished / "cluster_tree.parquet")
    expected = cluster_models(models[mgm_columns(models)])
    np.testing.assert_allclose(tree["height"], expected.linkage[:, 2])
    assert clusters.sort_values("position")["encoder"].tolist() == list(expected.order)
    agreement = pd.read_parquet(finished / "cluster_agreement.parquet")
    chosen = agreement[agreement["chosen"]]
    assert set(chosen["groups"]) == {clusters["group"].nunique()}
    labels = models.loc[clusters["encoder"], "architecture"].to_numpy()
    groups = clusters["group"].to_numpy()
    ari = chosen.set_index("against").loc["architecture", "ari"]
    assert ari == pytest.approx(adjusted_rand_score(labels, groups))
    assert not agreement.duplicated(["images", "against", "groups"]).any()
    assert {"architecture", "family"} <= set(agreement["against"])
    similarity = pd.read_parquet(finished / "similarity.parquet")
    assert len(similarity) == 2 * 6 and (similarity["images"] == "digits").all()
    of_cka = similarity[similarity["measure"] == "cka"]
    pixels = (of_cka["encoder_a"] == "pixels") | (of_cka["encoder_b"] == "pixels")
    # Two draws of one network see images more alike than either does what the pixels say.
    assert of_cka["value"][~pixels].mean() > of_cka["value"][pixels].mean()
    assert not (finished / "prediction.parquet").exists()


@pytest.mark.slow
def test_a_second_run_writes_the_same_bytes_and_takes_old_tables_away(
    finished: Path, tmp_path: Path
) -> None:
    names = ("clusters", "cluster_tree", "cluster_agreement", "similarity")
    before = {name: (finished / f"{name}.parquet").read_bytes() for name in names}
    run_study(small_study(encoders=[{"source": "pixels", "size": 8}]), tmp_path)
    assert not any((tmp_path / f"{name}.csv").exists() for name in comparison.TABLES)
    for suffix in ("parquet", "csv"):
        (tmp_path / f"clusters.{suffix}").write_text("left by an earlier run")
    run_study(small_study(encoders=[{"source": "pixels", "size": 8}]), tmp_path)
    assert not list(tmp_path.glob("clusters.*"))
    encoders = [
        {"source": "pixels", "size": 8},
        {"source": "conv4", "size": 32, "seeds": [0, 1, 2]},
    ]
    run_study(small_study(encoders=encoders), finished)
    assert before == {name: (finished / f"{name}.parquet").read_bytes() for name in names}


def study_tables(encoders: int = 12) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Tables ``models`` and ``transfer``: the degree under crop decides the linear probe."""
    generator = np.random.default_rng(0)
    names = [f"encoder{i}" for i in range(encoders)]
    head = {
        "encoder": names,
        "family": "conv4",
        "architecture": "conv4",
        "paradigm": [("contrastive", "supervised", "none")[i % 3] for i in range(encoders)],
        "images": "caltech",
        "tap": "pool",
    }
    models = pd.DataFrame(head)
    for setting in ("semantic", "crop", "crop@0.5"):
        for metric in (*MGM, "nnk_residual"):
            models[f"{setting}.{metric}"] = generator.normal(size=encoders)
    models["rankme"] = generator.normal(size=encoders)
    models["width"] = 64
    degree = models["crop.nnk_degree"]
    rows = []
    for target in ("cifar", "mnist"):
        measures = {
            ("probe", "linear"): 0.5 + 0.1 * degree + 0.01 * generator.normal(size=encoders),
            ("probe", "knn"): 0.4 + 0.1 * degree + 0.03 * generator.normal(size=encoders),
            ("score", "logme"): generator.normal(size=encoders),
        }
        for (kind, measure), value in measures.items():
            block = pd.DataFrame(head).assign(images=target, kind=kind, measure=measure)
            rows.append(block.assign(metric="top1", value=value))
    return models, pd.concat(rows, ignore_index=True)


def test_columns_are_the_properties_of_the_graph_at_one_strength() -> None:
    models, _ = study_tables()
    names = mgm_columns(models)
    assert names == [f"{setting}.{metric}" for setting in ("semantic", "crop") for metric in MGM]
    only_half = models.drop(columns=[name for name in names if name.startswith("crop.")])
    assert "crop@0.5.nnk_degree" in mgm_columns(only_half)


def test_transfer_is_predicted_beside_every_baseline_at_hand() -> None:
    models, transfer = study_tables()
    study = small_study()
    tables = prediction_tables(models, transfer, study=study)
    prediction = tables["prediction"].set_index(list(HEAD))
    task = "cifar · linear"
    assert prediction.loc[(task, "mgm", "model"), "r2"] > 0.3
    assert prediction.loc[(task, "mgm", "model"), "p_value"] < 0.05
    assert set(prediction.index.get_level_values("predictors")) == {
        "mgm",
        "rankme",
        "k-NN on the target",
        "logme",
        "all baselines",
        "mgm + all baselines",
        "mean of the other tasks",
        "mean of the other models",
    }
    assert prediction.loc[(task, "k-NN on the target", "model"), "r2"] > 0.8
    # All share one family, so the paradigms take its place.
    assert set(prediction.xs("family", level="held_out")["families"]) == {"paradigm"}
    features = tables["features"]
    own = features[features["task"] == task].set_index("feature")
    assert own["coefficient"].abs().idxmax() == "crop.nnk_degree"
    assert set(HEAD) | {"model", "measured", "predicted"} == set(tables["predictions"].columns)


def test_knn_is_the_score_where_no_probe_was_run_and_then_no_baseline() -> None:
    models, transfer = study_tables()
    transfer = transfer[transfer["measure"] != "linear"]
    assert list(task_scores(transfer).columns) == ["cifar · knn", "mnist · knn"]
    prediction = prediction_tables(models, transfer, study=small_study())["prediction"]
    assert "k-NN on the target" not in set(prediction["predictors"])


def test_without_ground_there_is_no_prediction() -> None:
    models, transfer = study_tables()
    few, of_few = study_tables(encoders=5)
    study = small_study()
    assert prediction_tables(few, of_few, study=study) == {}
    assert prediction_tables(models, transfer.iloc[:0], study=study) == {}
    assert prediction_tables(models.iloc[:0], transfer, study=study) == {}
    assert prediction_tables(models.filter(regex=r"^[^.]*$"), transfer, study=study) == {}
    assert prediction_tables(models, transfer.assign(value=0.5), study=study) == {}
    # Where scores were handed over for it, that is said.
    given = transfer[transfer["measure"] == "linear"].assign(kind="given", measure="given")
    cifar = given["images"] == "cifar"
    names = models["encoder"].tolist()
    some = given[~cifar | given["encoder"].isin(names[:4])].copy()
    some.loc[some["images"] == "mnist", "value"] = 0.5
    said = rf"cifar \(4 models have a score, not {names[4]}, .*mnist \(all scores are the same"
    with pytest.warns(UserWarning, match=said):
        assert prediction_tables(models, some, study=study) == {}
