"""What is wrong with images, or with their folders, in a whole study."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from typer.testing import CliRunner

from mgm_jax.cli import app
from mgm_jax.errors import InputError
from mgm_jax.report import write_report
from mgm_jax.sweep import run_study
from mgm_jax.sweep.plan.cells import Failure
from mgm_jax.sweep.run import study as study_module
from mgm_jax.sweep.run.executors.local import LocalExecutor
from tests.images.pictures import random_pixels, write_picture
from tests.sweep.small_study import small_study
from tests.sweep.tables import table_bytes

LOST_VIEW = Failure(images="pets", where="cat/0.png", what="view 1", is_image=True)
PIXELS = {"encoders": [{"source": "pixels", "size": 8}], "augmentation": None}


@pytest.fixture
def pets(tmp_path: Path) -> Path:
    folder = tmp_path / "pets"
    for c in ("cat", "dog"):
        for i in range(5):
            write_picture(folder / c / f"{i}.png", random_pixels(10 * len(c) + i + ord(c[0])))
    return folder


@pytest.mark.slow
def test_images_replaced_during_a_run_never_reach_its_results(
    pets: Path, tmp_path: Path, monkeypatch
) -> None:
    victim, before = pets / "dog" / "3.png", (pets / "dog" / "3.png").read_bytes()
    write_layout = study_module.write_layout

    def replace_after_opening(*args, **options):
        write_picture(victim, random_pixels(500))
        return write_layout(*args, **options)

    expected: dict[str, object] = {}
    for on_error in ("raise", "skip"):
        study = small_study(images=[{"source": str(pets)}], on_error=on_error, **PIXELS)
        with monkeypatch.context() as patch:
            patch.setattr(study_module, "write_layout", replace_after_opening)
            with pytest.raises(InputError, match=r"dog/3\.png is not the image that it was"):
                run_study(study, tmp_path / on_error)
        # As it is now: another set, measured as such.
        run_study(study, tmp_path / on_error)
        new = table_bytes(tmp_path / on_error)
        victim.write_bytes(before)
        # The image is back: what a run finds that never saw another.
        run_study(study, tmp_path / on_error)
        expected = expected or run_and_read(study, tmp_path / "fresh")
        assert table_bytes(tmp_path / on_error) == expected != new


class Second(LocalExecutor):
    """The second of two processes, when the first has done all."""

    writes = False

    def of_writer(self, failures: Sequence[Failure]) -> list[Failure]:
        return [*failures, LOST_VIEW]


def run_and_read(study, out: Path) -> dict[str, object]:
    run_study(study, out)
    return table_bytes(out)


@pytest.mark.slow
def test_what_is_wrong_with_one_image_costs_that_image(pets: Path, tmp_path: Path) -> None:
    Image.new("RGB", (12, 10)).save(pets / "cat" / "2.png")
    (pets / "dog" / "0.png").unlink()
    (pets / "dog" / "0.png").symlink_to("gone.png")
    (pets / "dog" / "1.png").write_bytes(b"")
    transfer = {"targets": [{"source": str(pets)}], "probes": ["knn", "ridge"], "scores": []}
    study = small_study(
        images=[{"source": str(pets)}], transfer=transfer, on_error="skip", **PIXELS
    )
    result = run_study(study, tmp_path / "out")
    named = {failure.where: failure.what for failure in result.failures}
    assert set(named) == {"cat/2.png", "dog/0.png", "dog/1.png"}
    assert "only zeros at flatten" in named["cat/2.png"] and "empty" in named["dog/1.png"]
    points = pd.read_parquet(tmp_path / "out" / "points.parquet")
    assert len(points) == 7 and not set(points["point"]) & set(named)
    account = json.loads((tmp_path / "out" / "study.json").read_text())
    assert account["failures"]["pets"]["count"] == 3
    assert not account["failed_cells"]
    assert "cat/2.png" in json.dumps(account["transfer"]["left_out"])
    # Found again in what is on the disk.
    again = run_study(study, tmp_path / "out")
    assert set(again.failures) == set(result.failures)
    # A process that does not write knows what the one that does has found in the records.
    elsewhere = run_study(study, tmp_path / "out", executor=Second())
    assert set(elsewhere.failures) == {*result.failures, LOST_VIEW}
    # Without skipping, the image is named, not its row; skipping then tries again.
    for name in ("0", "1"):
        write_picture(pets / "dog" / f"{name}.png", random_pixels(int(name)))
    strict = study.model_copy(update={"on_error": "raise"})
    failures = run_study(strict, tmp_path / "other").failures
    assert failures and all("cat/2.png" in failure.what for failure in failures)
    skipped = run_study(study, tmp_path / "other").failures
    assert [failure.where for failure in skipped] == ["cat/2.png"]


def test_an_encoder_that_gives_zeros_alone_is_to_blame_itself(pets: Path, tmp_path: Path) -> None:
    for path in pets.rglob("*.png"):
        Image.new("RGB", (12, 10)).save(path)
    study = small_study(images=[{"source": str(pets)}], on_error="skip", **PIXELS)
    failures = run_study(study, tmp_path / "out").failures
    assert failures and not any(failure.is_image for failure in failures)
    assert "only zeros at flatten" in failures[0].what and "10 of 10" in failures[0].what


@pytest.mark.slow
def test_what_is_passed_over_stands_in_the_summary_and_the_report(
    pets: Path, tmp_path: Path
) -> None:
    for split in ("train", "val"):
        for c in ("cat", "dog"):
            for i in range(4):
                source = pets / c / f"{i}.png"
                target = tmp_path / "set" / split / c / f"{i}.png"
                target.parent.mkdir(parents=True, exist_ok=True)
                pixels = np.asarray(Image.open(source)) ^ np.uint8(split == "val")
                write_picture(target, pixels)
    (tmp_path / "set" / "val" / "cat" / "phone.heic").write_bytes(b"x")
    (tmp_path / "study.yaml").write_text(
        "encoders: [{source: pixels, size: 8}]\naugmentation: null\nmetrics: {k: 3}\n"
        "images: [{source: set}, {source: set, split: validation}]\n"
    )
    args = ["run", str(tmp_path / "study.yaml"), "-o", str(tmp_path / "out")]
    done = CliRunner().invoke(app, args, catch_exceptions=False)
    assert done.exit_code == 0, done.output
    assert "set: passed over 1 HEIF" in done.output and "taken as splits" in done.output
    groups = pd.read_parquet(tmp_path / "out" / "groups.parquet")
    assert groups.groupby("images")["group"].apply(list).to_dict() == {
        "set": ["cat", "dog"],
        "set/validation": ["cat", "dog"],
    }
    account = json.loads((tmp_path / "out" / "study.json").read_text())
    [passed] = account["passed_over"]["set"]
    assert passed["count"] == 1 and passed["examples"] == ["val/cat/phone.heic"]
    page = write_report(tmp_path / "out").read_text()
    assert "val/cat/phone.heic" in page and "taken as splits of one set" in page


@pytest.mark.slow
def test_a_split_on_the_command_line(pets: Path, tmp_path: Path) -> None:
    pets.rename(tmp_path / "test")
    write_picture(tmp_path / "both" / "train" / "cat" / "0.png", random_pixels(0))
    (tmp_path / "test").rename(tmp_path / "both" / "test")
    args = ["run", "--encoder", "pixels", "--images", str(tmp_path / "both"), "--split", "test"]
    args += ["--setting", "hflip", "--views", "3", "--count", "4", "-o", str(tmp_path / "out")]
    done = CliRunner().invoke(app, args, catch_exceptions=False)
    assert done.exit_code == 0, done.output
    assert "split: test" in (tmp_path / "out" / "study.yaml").read_text()
    points = pd.read_parquet(tmp_path / "out" / "points.parquet")
    assert (points["setting"] == "semantic").sum() == 10
    with pytest.raises(InputError, match="--split goes with --images"):
        CliRunner().invoke(
            app,
            ["run", str(tmp_path / "out" / "study.yaml"), "--split", "a"],
            catch_exceptions=False,
        )
