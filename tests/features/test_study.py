"""Features in the place of encoders: aligned, measured, compared, predicted."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import mgm_jax as mgm
from mgm_jax.errors import InputError
from mgm_jax.study import make_study
from mgm_jax.sweep import run_study
from mgm_jax.sweep.plan.features import names_of, open_feature_sets
from mgm_jax.sweep.plan.given_scores import find_scores

LABELS = np.repeat(np.arange(4), 15)
OPTIONS = {"metrics": {"k": 8, "resamples": 100}}


def models(count: int = 7) -> dict[str, np.ndarray]:
    random = np.random.default_rng(0)
    centres = random.normal(size=(4, 16))
    return {
        f"m{i}": ((0.3 + 0.3 * i) * centres[LABELS] + random.normal(size=(60, 16))).astype("f4")
        for i in range(count)
    }


@pytest.fixture(scope="module")
def result(tmp_path_factory: pytest.TempPathFactory) -> mgm.StudyResults:
    scores = pd.DataFrame({"cars": np.linspace(0.2, 0.8, 7)}, index=list(models()))
    return mgm.study(
        features=models(),
        labels=[f"c{label}" for label in LABELS],
        scores=scores,
        probes=["knn"],
        out=tmp_path_factory.mktemp("study"),
        **OPTIONS,
    )


def test_the_metrics_are_those_of_the_arrays(result: mgm.StudyResults) -> None:
    right = mgm.manifold_metrics(models()["m3"], groups=LABELS, k=8).to_pandas()
    points = result.points[result.points["encoder"] == "m3"]
    np.testing.assert_allclose(points["nnk_degree"], right["nnk_degree"])
    np.testing.assert_allclose(points["nnk_diameter"], right["nnk_diameter"])


def test_every_table_is_there_and_shows_itself(result: mgm.StudyResults) -> None:
    wanted = {"summary", "models", "groups", "points", "clusters", "similarity"}
    assert wanted | {"transfer", "prediction"} <= set(result.tables)
    assert result.page.is_file()
    assert set(result.transfer["kind"]) == {"probe", "given"}
    assert {"cars", "images · knn"} <= set(result.prediction["task"])
    assert result.headline in repr(result)
    assert "<table" in result._repr_html_()
    with pytest.raises(AttributeError, match="no table 'nothing'"):
        _ = result.nothing


def test_the_knn_probe_is_that_of_the_arrays(result: mgm.StudyResults) -> None:
    rows = result.transfer[result.transfer["metric"] == "top1"]
    assert list(rows["encoder"]) == list(models())
    assert rows["value"].iloc[-1] > rows["value"].iloc[0]


def test_published_scores_join_by_the_name_of_the_model(tmp_path: Path) -> None:
    result = find_scores("published:ericsson2021", base=tmp_path, models=["SwAV", "byol", "mine"])
    assert list(result.index) == ["SwAV", "byol"]
    assert result.loc["SwAV", "linear · Pets"] == 87.6
    with pytest.raises(InputError, match="encoders are none of them: mine"):
        find_scores("published:ericsson2021", base=tmp_path, models=["mine"])
    with pytest.raises(InputError, match="no published scores are called 'published:x'"):
        find_scores("published:x", base=tmp_path, models=["byol"])


def test_other_orders_are_aligned_by_id(tmp_path: Path) -> None:
    x = models(2)
    order = np.random.default_rng(1).permutation(60)
    np.savez(tmp_path / "a.npz", a=x["m0"], id=np.array([f"i{i}" for i in range(60)]))
    np.savez(tmp_path / "b.npz", a=x["m1"][order], id=np.array([f"i{i}" for i in order]))
    table = "id,label\n" + "\n".join(f"i{i},c{LABELS[i]}" for i in order)
    (tmp_path / "labels.csv").write_text(table)
    entries = [{"source": f"{n}.npz", "key": "a", "labels": "labels.csv"} for n in "ab"]
    study = make_study({"features": entries, "augmentation": None, **OPTIONS})
    run_study(study, tmp_path / "out", base=tmp_path)
    points = pd.read_parquet(tmp_path / "out" / "points.parquet")
    own = points[points["encoder"] == "b"]
    assert list(own["point"]) == [f"i{i}" for i in range(60)]
    right = mgm.manifold_metrics(x["m1"], groups=LABELS, k=8).to_pandas()
    np.testing.assert_allclose(own["nnk_diameter"], right["nnk_diameter"])


@pytest.mark.slow
def test_views_are_augmentation_manifolds(tmp_path: Path) -> None:
    random = np.random.default_rng(2)
    views = random.normal(size=(12, 1, 16)) + 0.1 * random.normal(size=(12, 9, 16))
    result = mgm.study(features={"v": views}, out=tmp_path, **OPTIONS)
    assert set(result.points["setting"]) == {"semantic", "views"}
    flat = views.reshape(-1, 16).astype(np.float32)
    right = mgm.manifold_metrics(flat, groups=np.repeat(np.arange(12), 9), k=8).to_pandas()
    own = result.points[result.points["setting"] == "views"]
    np.testing.assert_allclose(own["nnk_diameter"], right["nnk_diameter"])


@pytest.mark.slow
def test_a_changed_array_is_measured_again_and_others_are_not(tmp_path: Path) -> None:
    x = models(2)
    first = mgm.study(features=x, labels=LABELS, out=tmp_path, **OPTIONS)
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "records").iterdir()}
    changed = x | {"m1": x["m1"] + 1}
    second = mgm.study(features=changed, labels=LABELS, out=tmp_path, **OPTIONS)
    after = {path: path.stat().st_mtime_ns for path in (tmp_path / "records").iterdir()}
    assert before.items() <= after.items()
    assert len(after) > len(before)
    assert not first.models["rankme"].equals(second.models["rankme"])


def test_files_of_one_name_are_told_apart_by_their_folders(tmp_path: Path) -> None:
    for folder in ("[lr=1]", "[lr=2]"):
        (tmp_path / "runs" / folder).mkdir(parents=True)
        np.save(tmp_path / "runs" / folder / "x.npy", models(1)["m0"])
    made = make_study({"features": [{"source": "runs/*/x.npy"}], "augmentation": None})
    (result,) = open_feature_sets(made, base=tmp_path, cache=tmp_path, convert=None)
    assert names_of([result]) == ["[lr=1]-x", "[lr=2]-x"]
    made = make_study({"features": [{"source": "runs/[lr=1]/*.npy"}], "augmentation": None})
    (result,) = open_feature_sets(made, base=tmp_path, cache=tmp_path, convert=None)
    assert names_of([result]) == ["x"]


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"m1": np.ones((50, 16), "f4")}, "50 rows, and images has 60"),
        ({"m1": np.array([["a"]])}, "must hold real numbers"),
        ({"m1": np.ma.masked_equal(np.eye(60, 16), 1)}, "masked values in 16 rows"),
        ({"m1": "absent.npy"}, "does not exist"),
    ],
)
def test_other_images_are_refused(
    change: dict[str, np.ndarray], named: str, tmp_path: Path
) -> None:
    with pytest.raises(mgm.InputError, match=named):
        mgm.study(features=models(2) | change, out=tmp_path, **OPTIONS)


def test_rows_that_are_not_finite_cost_their_model_alone(tmp_path: Path) -> None:
    x = models(3)
    x["m1"][7, 2] = np.nan
    # Offsets that float32 loses are as good as noise, and are not measured either.
    x["m2"] = 1e7 + x["m2"].astype(np.float64)
    with pytest.warns(UserWarning) as told:
        result = mgm.study(features=x, labels=LABELS, out=tmp_path, **OPTIONS)
    assert set(result.summary["encoder"]) == {"m0"}
    said = [str(one.message) for one in told]
    assert any("m1" in one and "rows 7 hold NaN" in one for one in said)
    assert any("m2" in one and "differences float32 loses" in one for one in said)
    account = json.loads((tmp_path / "study.json").read_text())
    assert any("rows 7 hold NaN" in what for _, what in account["failed_cells"])


@pytest.mark.parametrize(
    ("given", "named"),
    [
        ({"features": [np.ones((60, 16))]}, r"names of models to their features.*got list"),
        ({"families": {"m7": "vit"}}, "families must be of models of the study, m0, m1; got also"),
        ({"labels": {"a": 1}}, "labels must hold one value a row; got dict"),
        ({"scores": {"cars": 1}}, "scores must be a data frame"),
        ({"out": __file__}, "out must be a folder"),
        ({"features": {"m0": np.zeros((60, 16))}}, "nothing could be measured; m0 .*only zeros"),
    ],
)
def test_what_no_study_can_be_made_of_is_named(
    given: dict[str, object], named: str, tmp_path: Path
) -> None:
    with pytest.raises(mgm.InputError, match=named):
        mgm.study(**{"features": models(2), "labels": LABELS, "out": tmp_path, **OPTIONS, **given})  # type: ignore[arg-type]


@pytest.mark.slow
def test_the_command_line_takes_files_and_pickles(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    torch = pytest.importorskip("torch")
    pytest.importorskip("safetensors")
    from mgm_jax.cli import app

    x = models(2)
    np.save(tmp_path / "m0.npy", x["m0"])
    torch.save(torch.tensor(x["m1"]), tmp_path / "m1.pt")
    (tmp_path / "labels.csv").write_text("label\n" + "\n".join(f"c{one}" for one in LABELS))
    files = ["--features", str(tmp_path / "*.npy"), "--features", str(tmp_path / "m1.pt")]
    out = tmp_path / "out"
    command = ["run", *files, "--labels", str(tmp_path / "labels.csv"), "-o", str(out)]
    app(command, standalone_mode=False)
    assert str(out) in capsys.readouterr().out
    models_table = pd.read_parquet(out / "models.parquet")
    assert [name[:2] for name in models_table["encoder"]] == ["m0", "m1"]


def test_tensors_of_pytorch_are_unpacked(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    pytest.importorskip("safetensors")
    from mgm_converters.features import unpack_features
    from mgm_jax.features import open_features

    x = models(1)["m0"]
    torch.save({"feats": torch.tensor(x).bfloat16().float(), "epoch": 3}, tmp_path / "x.pt")
    file = open_features([unpack_features(tmp_path / "x.pt", tmp_path / "cache")])
    np.testing.assert_allclose(file.read(0, 60), x, rtol=1e-2)


def test_names_that_are_no_utf8_are_written_as_those_of_files_are(tmp_path: Path) -> None:
    """As ``os.listdir`` gives them: no table could be written."""
    ids = [f"caf\udce9/{row}.png" for row in range(20)]
    labels = [("ant\udce9", "bee\0")[row % 2] for row in range(20)]
    x = np.random.default_rng(0).normal(size=(20, 4))
    options = {"metrics": {"k": 3, "resamples": 100}, "out": tmp_path}
    result = mgm.study(features={"mod\udce9l": x}, labels=labels, ids=ids, **options)
    assert result.models["encoder"].tolist() == ["mod\\xe9l"]
    assert sorted(set(result.groups["group"])) == ["ant\\xe9", "bee\\x00"]
