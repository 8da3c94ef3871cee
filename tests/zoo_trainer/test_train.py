"""Runs: what they write, how they go on, what they refuse."""

from __future__ import annotations

import json
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from safetensors import safe_open
from safetensors.numpy import load_file

import benchmarks.zoo.train as training
from benchmarks.zoo.export import export_zoo, raw_pixels, table
from benchmarks.zoo.images import Images, epoch_order, read_images, two_views
from benchmarks.zoo.networks.backbones import ViT
from benchmarks.zoo.recipe import Recipe
from benchmarks.zoo.train import Run, train
from mgm_jax.errors import InputError
from mgm_jax.images import image_key, open_source

RECIPE = Recipe(epochs=3, per_class=8, batch=8)


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """A ViT that compiles fast."""
    tiny = partial(ViT, patch=32, width=12, layers=1, heads=2)
    monkeypatch.setattr(training, "BACKBONES", {"vit": tiny})


def subset(seed: int, *, per_class: int = 8) -> Images:
    rng = np.random.default_rng(seed)
    n = 2 * per_class
    return Images(
        name="noise",
        pixels=rng.integers(0, 256, (n, 64, 64, 3), dtype=np.uint8),
        labels=np.repeat([0, 1], per_class).astype(np.int32),
        keys=np.array([image_key(str(i)) for i in range(n)]),
    )


def run_in(folder: Path, method: str = "byol", recipe: Recipe = RECIPE) -> Run:
    return Run(method=method, backbone="vit", recipe=recipe, folder=folder)


def test_a_run_that_was_cut_off_ends_as_one_that_was_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    images, unseen = subset(0), subset(1)
    whole = train(run_in(tmp_path / "whole"), images, unseen)
    assert [entry["epoch"] for entry in whole] == [0, 1, 2, 3]

    cut = run_in(tmp_path / "cut")
    calls = iter(range(100))

    def failing(*args: object, **kwargs: object) -> object:
        if next(calls) == 3:  # In the second of three epochs of two steps.
            raise KeyboardInterrupt
        return two_views(*args, **kwargs)  # type: ignore[arg-type]

    monkeypatch.setattr(training, "two_views", failing)
    with pytest.raises(KeyboardInterrupt):
        train(cut, images, unseen)
    monkeypatch.undo()
    small_again = partial(ViT, patch=32, width=12, layers=1, heads=2)
    monkeypatch.setattr(training, "BACKBONES", {"vit": small_again})
    assert len((cut.folder / "log.jsonl").read_text().splitlines()) == 2
    train(cut, images, unseen)
    one, other = (load_file(run_in(tmp_path / name).weights(3)) for name in ("whole", "cut"))
    assert one.keys() == other.keys()
    for name in one:
        np.testing.assert_array_equal(one[name], other[name])
    # The monitor's history goes on where it stopped, and measures what the log says.
    history = [pd.read_csv(tmp_path / name / "geometry.csv") for name in ("whole", "cut")]
    pd.testing.assert_frame_equal(*history)
    assert list(history[0]["step"]) == [0, 1, 2, 3]
    np.testing.assert_allclose(history[0]["rankme"], [one["rankme"] for one in whole], rtol=1e-3)
    # One state is left, that of the last epoch.
    assert [p.name for p in cut.folder.glob("state*")] == ["state-e03.msgpack"]


def test_log_weights_and_export(tmp_path: Path) -> None:
    images, unseen = subset(0), subset(1)
    for method in ("simclr", "untrained"):
        name = f"{method}-vit-s0"
        log = train(run_in(tmp_path / name, method), images, unseen)
    assert [entry["epoch"] for entry in log] == [0]
    entries = [json.loads(line) for line in (tmp_path / "simclr-vit-s0/log.jsonl").open()]
    for entry in entries:
        assert 0 <= entry["knn_accuracy"] <= 1
        assert -1 <= entry["mean_cosine"] <= 1
        assert 1 <= entry["rankme"] <= 12
    assert all(np.isfinite(entry["loss"]) for entry in entries[1:])
    # An unfinished run is not shipped.
    half = tmp_path / "moco-vit-s0"
    half.mkdir()
    (half / "recipe.json").write_text(json.dumps(RECIPE.to_dict()))
    (half / "log.jsonl").write_text("{}\n{}\n")
    written = export_zoo(tmp_path, tmp_path / "out", seed=0, unseen=[unseen])
    assert [file.stem for file in written] == ["simclr-vit", "untrained-vit"]
    rows = table(tmp_path / "out", [unseen]).splitlines()[2:]
    assert rows[0].startswith(f"| raw pixels | | | | | | | {raw_pixels(unseen).accuracy:.3f} |")
    assert rows[1].startswith("| simclr-vit | SimCLR | contrastive | 3 | 0.002 | 64 |")
    assert rows[2].startswith("| untrained-vit | Untrained | untrained | 0 | | |")
    trained, twin = ([cell.strip() for cell in row.split("|")[8:-1]] for row in rows[1:])
    above = float(trained[0]) - float(twin[0])
    assert float(trained[2].split()[0]) == pytest.approx(above, abs=2e-3)
    assert twin[2] == ""
    # What a run saw of its encoder is what the converted file gives.
    stated = read_stated_training(written[0])["knn"]["noise"]
    assert stated == pytest.approx(entries[-1]["knn_accuracy"], abs=0.07)
    # The control is what the others started from.
    start = load_file(tmp_path / "simclr-vit-s0" / "simclr-vit-s0-e00.safetensors")
    control = load_file(tmp_path / "out" / "untrained-vit.safetensors")
    for name in control:
        np.testing.assert_array_equal(start[name], control[name])


def read_stated_training(file: Path) -> dict:
    with safe_open(file, "numpy") as opened:
        return json.loads(opened.metadata()["mgm_training"])


def test_a_folder_of_another_recipe_is_refused(tmp_path: Path) -> None:
    train(run_in(tmp_path, "untrained"), subset(0), subset(1))
    other = run_in(tmp_path, "untrained", replace(RECIPE, epochs=4))
    with pytest.raises(InputError, match="another recipe"):
        train(other, subset(0), subset(1))


def test_too_few_images_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="batch: 64"):
        train(run_in(tmp_path, recipe=Recipe()), subset(0), subset(1))


def test_views_depend_on_seed_epoch_and_image_alone() -> None:
    images = subset(0)
    rows = np.array([3, 0, 9])
    views = partial(two_views, images, policy=Recipe().policy)
    one = views(rows, seed=0, epoch=1)
    assert one.shape == (2, 3, 64, 64, 3)
    np.testing.assert_array_equal(one[:, ::-1], views(rows[::-1], seed=0, epoch=1))
    for other in (dict(seed=1, epoch=1), dict(seed=0, epoch=2)):
        assert np.abs(one - views(rows, **other)).max() > 0.1
    assert np.abs(one[0] - one[1]).max() > 0.1


def test_orders_are_permutations_and_differ() -> None:
    first, second = (epoch_order(50, seed=0, epoch=e) for e in (0, 1))
    assert sorted(first) == sorted(second) == list(range(50))
    assert (first != second).any()


def test_images_are_read_class_by_class(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    for name, count in (("a", 3), ("b", 2)):
        (tmp_path / name).mkdir()
        for i in range(count):
            pixels = rng.integers(0, 256, (70, 90, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(tmp_path / name / f"{i}.png")
    images = read_images(open_source(tmp_path), per_class=2)
    assert images.pixels.shape == (4, 64, 64, 3)
    assert images.labels.tolist() == [0, 0, 1, 1]
    with pytest.raises(InputError, match=r"per_class: b .* only 2 images, 3"):
        read_images(open_source(tmp_path), per_class=3)


def test_images_without_classes_are_refused(tmp_path: Path) -> None:
    Image.fromarray(np.zeros((70, 70, 3), np.uint8)).save(tmp_path / "one.png")
    with pytest.raises(InputError, match="a folder of images for each class"):
        read_images(open_source(tmp_path))
