"""A monitor keeps what it measured, goes on with what it has, and warns in words."""

from __future__ import annotations

import csv
import warnings
from pathlib import Path

import numpy as np
import pytest

from mgm_jax import InputError, Monitor
from mgm_jax.training.monitor import CollapseWarning

IMAGES = np.random.default_rng(0).normal(size=(40, 16)).astype(np.float32)


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def monitor(folder: Path | None = None, **options: object) -> Monitor:
    return Monitor(every=10, reference_images=IMAGES, folder=folder, k=5, **options)  # type: ignore[arg-type]


@pytest.mark.slow
def test_only_steps_that_are_due_are_measured(tmp_path: Path) -> None:
    watch = monitor(tmp_path)
    results = [watch(step, lambda images: images @ np.eye(16)) for step in range(25)]
    assert [step for step, result in enumerate(results) if result is not None] == [0, 10, 20]
    assert list(watch.to_pandas().index) == [0, 10, 20]
    assert [int(float(row["step"])) for row in rows(tmp_path / "geometry.csv")] == [0, 10, 20]


def test_a_run_that_goes_on_from_a_checkpoint_keeps_one_row_a_step(tmp_path: Path) -> None:
    before = monitor(tmp_path)
    for step in (0, 10, 20, 30):
        before(step, lambda images: images)
    after = monitor(tmp_path)
    after(20, lambda images: 2 * images)
    again = monitor(tmp_path)
    assert [row["step"] for row in again.history] == [0, 10, 20]
    assert again.history == after.history


def test_collapse_is_said_once_and_again_after_recovery() -> None:
    watch = monitor()

    def collapsed(images: np.ndarray) -> np.ndarray:
        return 1 + 1e-4 * images

    with pytest.warns(CollapseWarning) as said:
        watch(10, collapsed)
    first = str(said[0].message)
    assert first.startswith("step 10: all images point in nearly one direction")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        watch(20, collapsed)
        watch(30, lambda images: images)
    with pytest.warns(CollapseWarning, match="step 40"):
        watch(40, collapsed)


def test_a_rank_that_falls_is_said() -> None:
    watch = monitor()
    watch(0, lambda images: images)
    low = IMAGES[:, :1] * np.ones((1, 16), np.float32)
    low += 1e-4 * IMAGES
    with pytest.warns(CollapseWarning) as said:
        watch.log(10, low)
    assert any("RankMe 1.0" in str(one.message) for one in said)
    assert any("the effective rank fell to 1.0 from 1" in str(one.message) for one in said)


def test_torch_tensors_are_taken() -> None:
    torch = pytest.importorskip("torch")
    features = torch.tensor(IMAGES, requires_grad=True)
    watch = monitor()
    of_torch, of_numpy = watch.log(0, features.bfloat16().float()), watch.log(1, IMAGES)
    assert of_torch["rankme"] == pytest.approx(of_numpy["rankme"], rel=1e-2)


def test_events_for_tensorboard(tmp_path: Path) -> None:
    pytest.importorskip("tensorboardX")
    with monitor(tmp_path, tensorboard=True) as watch:
        watch(10, lambda images: images)
    (events,) = tmp_path.glob("events.*")
    assert b"geometry/rankme" in events.read_bytes()


@pytest.mark.parametrize(
    ("options", "named"),
    [({"every": 0}, "every"), ({"tensorboard": True}, "folder")],
)
def test_bad_options_are_named(options: dict[str, object], named: str) -> None:
    with pytest.raises(InputError, match=named):
        Monitor(**options)  # type: ignore[arg-type]


def test_another_file_under_the_name_is_named(tmp_path: Path) -> None:
    (tmp_path / "geometry.csv").write_text("step,rankme\n1,many\n")
    with pytest.raises(InputError, match=r"geometry\.csv"):
        monitor(tmp_path)
