"""A study runs, resumes, redoes only what changed, and survives being killed."""

from __future__ import annotations

import errno
import fcntl
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from mgm_jax.errors import InputError
from mgm_jax.images import open_source
from mgm_jax.metrics import METRIC_COLUMNS
from mgm_jax.sweep import run_study
from mgm_jax.sweep.output.hold import holder
from mgm_jax.sweep.plan.cells import spread_over_classes
from tests.launch import ROOT
from tests.sweep.small_study import small_study
from tests.sweep.tables import TABLES, table_bytes


def test_the_tables_hold_every_cell_with_its_intervals(finished: Path) -> None:
    points = pd.read_parquet(finished / "points.parquet")
    # 50 images as they are, 6 images x 8 views under each of two settings, three encoders.
    assert len(points) == 3 * (50 + 2 * 6 * 8)
    assert points.groupby(["encoder", "setting"]).size().unique().tolist() == [48, 50]
    summary = pd.read_parquet(finished / "summary.parquet")
    assert set(summary["metric"]) <= set(METRIC_COLUMNS)
    counted = summary[summary["setting"] == "semantic"]
    assert (counted["groups"] == 10).all()
    known = summary[summary["metric"] == "nnk_degree"]
    assert (known["low"] <= known["mean"]).all() and (known["mean"] <= known["high"]).all()
    models = pd.read_parquet(finished / "models.parquet")
    assert models["encoder"].tolist() == ["pixels", "conv4-s0", "conv4-s1"]
    assert {"semantic.nnk_degree", "crop.nnk_diameter", "rankme", "knn_accuracy"} <= set(models)


def test_models_hold_what_all_views_of_a_setting_say(finished: Path) -> None:
    models = pd.read_parquet(finished / "models.parquet").set_index("encoder")
    assert not {"lidar", "alignment", "whitened_invariance"} & set(models)
    for setting in ("crop", "colorjitter"):
        lidar = models[f"{setting}.lidar"]
        # Six images have five directions between them.
        assert (lidar >= 1).all() and (lidar <= 5 + 1e-3).all()
        assert models[f"{setting}.alignment"].between(0, 4).all()
        assert models[f"{setting}.whitened_invariance"].between(-1 / 7, 1).all()
    assert "semantic.lidar" not in models
    # Raw pixels move more under a crop than under a change of brightness.
    pixels = models.loc["pixels"]
    assert pixels["crop.alignment"] > pixels["colorjitter.alignment"]
    assert pixels["crop.whitened_invariance"] < pixels["colorjitter.whitened_invariance"]


@pytest.mark.slow
def test_one_more_encoder_costs_that_encoder_alone(finished: Path, tmp_path: Path) -> None:
    out = shutil.copytree(finished, tmp_path / "out")

    def results() -> dict[Path, int]:
        files = [*out.glob("embeddings/**/*"), *out.glob("records/**/*")]
        return {file: file.stat().st_mtime_ns for file in files if file.is_file()}

    before = results()
    encoders = [
        {"source": "pixels", "size": 8},
        {"source": "conv4", "size": 32, "seeds": [0, 1, 2]},
    ]
    run_study(small_study(encoders=encoders), out)
    after = results()
    # Nothing that was there is touched, and what is new belongs to the new encoder.
    assert {file: after[file] for file in before} == before
    records = {file for file in after if file.suffix == ".parquet"}
    assert len(records - set(before)) == len(records & set(before)) / 3
    old = pd.read_parquet(finished / "points.parquet")
    new = pd.read_parquet(out / "points.parquet")
    shared = new[new["encoder"].isin(old["encoder"])].reset_index(drop=True)
    pd.testing.assert_frame_equal(shared, old, check_categorical=False)


def test_parquet_and_csv_say_the_same(finished: Path) -> None:
    for name in TABLES:
        parquet = pd.read_parquet(finished / f"{name}.parquet")
        text = pd.read_csv(finished / f"{name}.csv")
        assert list(parquet.columns) == list(text.columns)
        numbers = parquet.select_dtypes("number").columns
        np.testing.assert_allclose(
            parquet[numbers].astype(float), text[numbers].astype(float), rtol=1e-6
        )


def test_group_means_follow_from_the_points(finished: Path) -> None:
    points = pd.read_parquet(finished / "points.parquet")
    groups = pd.read_parquet(finished / "groups.parquet")
    keys = ["encoder", "setting", "group"]
    expected = points.groupby(keys)["nnk_diameter"].mean()
    got = groups.set_index(keys)["nnk_diameter"]
    np.testing.assert_allclose(got.sort_index(), expected.sort_index(), rtol=1e-6)


def test_a_second_run_changes_no_byte_and_embeds_nothing(finished: Path) -> None:
    before = table_bytes(finished)
    stamps = {p: p.stat().st_mtime_ns for p in finished.glob("embeddings/**/commits/*.json")}
    assert stamps
    run_study(small_study(), finished)
    assert table_bytes(finished) == before
    assert {p: p.stat().st_mtime_ns for p in stamps} == stamps


@pytest.mark.slow
def test_only_what_changed_is_done_again(finished: Path, tmp_path: Path) -> None:
    run_study(small_study(), tmp_path)
    old = set(tmp_path.glob("records/*.parquet"))
    more = [*small_study().model_dump()["encoders"], {"source": "conv4", "size": 32, "seeds": [2]}]
    more[-1]["name"] = "another"
    run_study(small_study(encoders=more), tmp_path)
    new = set(tmp_path.glob("records/*.parquet")) - old
    assert len(new) == 3  # one encoder: as they are, crop, colorjitter
    points = pd.read_parquet(tmp_path / "points.parquet")
    same = points[points["encoder"] != "another"].reset_index(drop=True)
    pd.testing.assert_frame_equal(same, pd.read_parquet(finished / "points.parquet"))


@pytest.mark.nightly
def test_killed_at_any_moment_it_ends_with_the_same_tables(finished: Path, tmp_path: Path) -> None:
    study = tmp_path / "study.yaml"
    study.write_text(small_study().to_yaml())
    out = tmp_path / "out"
    command = [sys.executable, "-m", "mgm_jax", "run", str(study), "-o", str(out)]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    # Moments told by what is on disk: after so many committed chunks, after so many records.
    for pattern, count in (("embeddings/**/commits/*.json", 2), ("records/*.parquet", 3)):
        process = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL)
        while len(list(out.glob(pattern))) < count and process.poll() is None:
            time.sleep(0.002)
        process.send_signal(signal.SIGKILL)
        assert process.wait() == -signal.SIGKILL
        assert not (out / "summary.parquet").exists()
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert table_bytes(out) == table_bytes(finished)


@pytest.mark.slow
def test_interrupting_by_hand_says_how_to_go_on(tmp_path: Path) -> None:
    study = tmp_path / "study.yaml"
    study.write_text(small_study().to_yaml())
    out = tmp_path / "out"
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    # A suite that a shell started in the background ignores the signal, and so would its children.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    process = subprocess.Popen(
        [sys.executable, "-m", "mgm_jax", "run", str(study), "-o", str(out)],
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    signal.signal(signal.SIGINT, before)
    while not list(out.glob("embeddings/**/commits/*.json")) and process.poll() is None:
        time.sleep(0.002)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate()
    assert process.returncode == 130
    assert "goes on from here" in errors and "Traceback" not in errors


def test_a_second_run_on_the_same_folder_is_told(
    finished: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with (finished / ".lock").open("a+") as held:
        fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
        with pytest.raises(InputError, match="another run"):
            run_study(small_study(), finished)
        assert holder(finished)
    assert holder(finished) is None

    def no_locks(*_: object) -> None:
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr(fcntl, "flock", no_locks)
    # Not that another run had it.
    with pytest.raises(InputError, match="files cannot be locked"):
        run_study(small_study(), finished)
    assert holder(finished) is None


@pytest.mark.slow
def test_a_damaged_chunk_is_found_and_done_again(tmp_path: Path) -> None:
    study = small_study()
    run_study(study, tmp_path)
    before = table_bytes(tmp_path)
    chunk = next(
        p for p in tmp_path.glob("embeddings/conv4-s0/*/embeddings.zarr/c/**/*") if p.is_file()
    )
    content = bytearray(chunk.read_bytes())
    content[100] ^= 0xFF
    chunk.write_bytes(content)
    for record in tmp_path.glob("records/*"):
        record.unlink()
    run_study(study, tmp_path)
    assert table_bytes(tmp_path) == before


def test_unknown_names_are_refused_before_anything_is_done(tmp_path: Path) -> None:
    wrong = [
        small_study(encoders=[{"source": "resnet81"}]),
        small_study(images=[{"source": "no/such/folder"}]),
        small_study(augmentation={"settings": ["cropp"]}),
        small_study(encoders=[{"source": "conv4", "taps": ["block9"]}]),
        small_study(encoders=[{"source": "pixels"}, {"source": "pixels"}]),
    ]
    for study in wrong:
        with pytest.raises(InputError):
            run_study(study, tmp_path)
    assert not list(tmp_path.glob("embeddings/*"))


def test_an_unreadable_image_is_named_and_the_rest_goes_on(tmp_path: Path) -> None:
    from PIL import Image

    rng = np.random.default_rng(0)
    folder = tmp_path / "images"
    for name in ("cats", "dogs"):
        (folder / name).mkdir(parents=True)
        for number in range(5):
            pixels = rng.integers(0, 255, (40, 40, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(folder / name / f"{number}.png")
    (folder / "dogs" / "4.png").write_bytes(b"not an image")
    study = small_study(images=[{"source": str(folder)}], augmentation=None, on_error="skip")
    result = run_study(study, tmp_path / "out")
    assert len(result.failures) == 1 and "dogs/4.png" in result.failures[0].where
    points = pd.read_parquet(tmp_path / "out" / "points.parquet")
    assert len(points) == 3 * 9
    account = json.loads((tmp_path / "out" / "study.json").read_text())
    [unread] = account["failures"].values()
    assert (unread["count"], unread["images"]) == (1, 10)
    with pytest.raises(InputError, match=r"4\.png"):
        run_study(study.model_copy(update={"on_error": "raise"}), tmp_path / "strict")


def test_images_are_spread_evenly_and_nested() -> None:
    source = open_source("digits")
    labels = np.asarray(source.labels)
    few, many = (spread_over_classes(source, n, seed=3) for n in (20, 45))
    assert set(few) <= set(many)
    assert np.bincount(labels[few]).tolist() == [2] * 10
    assert np.ptp(np.bincount(labels[many])) <= 1
    assert np.array_equal(few, np.sort(few))
