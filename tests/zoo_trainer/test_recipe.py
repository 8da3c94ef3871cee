"""The recipe's options: what they change, and that the command line hands them on."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

import benchmarks.zoo.__main__ as commands
from benchmarks.zoo.recipe import Recipe
from benchmarks.zoo.train import Run
from mgm_jax.images import SETTINGS, image_key, make_views
from mgm_jax.images.operations import Blur

SCALED = Recipe(blur_at=224)


def test_a_scaled_blur_is_narrower_and_nothing_else() -> None:
    usual, scaled = SETTINGS["augs"].operations, SCALED.policy.operations
    assert scaled[:-1] == usual[:-1] and SCALED.policy.name == "augs"
    before, after = usual[-1], scaled[-1]
    assert isinstance(before, Blur) and isinstance(after, Blur)
    np.testing.assert_allclose(after.sigma, np.array(before.sigma) / 3.5)
    assert after.probability == before.probability


def test_views_that_are_not_blurred_stay_as_they_were() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (8, 16, 16, 3), dtype=np.uint8)
    keys = [image_key(str(i)) for i in range(8)]
    usual, scaled = (
        np.asarray(make_views(pixels, keys, range(8), setting=one.policy, size=16))
        for one in (Recipe(), SCALED)
    )
    same = (usual == scaled).all(axis=(2, 3, 4))
    # Half of 64 views: within four deviations of that.
    assert 16 <= same.sum() <= 48
    # What is blurred less keeps more of the noise.
    rough = [np.abs(np.diff(views[~same], axis=1)).mean() for views in (usual, scaled)]
    assert rough[1] > 1.2 * rough[0]


@pytest.mark.parametrize("command", [["train", "byol", "resnet"], ["train-all"]])
def test_the_command_line_hands_the_recipe_on(
    command: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    runs: list[Run] = []
    monkeypatch.setattr(commands, "open_source", lambda source: source)
    monkeypatch.setattr(commands, "read_images", lambda source, per_class=None: source)
    monkeypatch.setattr(commands, "train", lambda run, seen, other: runs.append(run) or [{}])
    told = [
        "--epochs",
        "16",
        "--rate",
        "0.001",
        "--blur-at",
        "224",
        "--images",
        "a",
        "--unseen",
        "b",
    ]
    only = ["--only", "byol-resnet"] if command == ["train-all"] else []
    done = CliRunner().invoke(commands.app, [*command, *told, *only, "--out", str(tmp_path)])
    assert done.exit_code == 0, done.output
    [run] = runs
    assert (run.method, run.backbone) == ("byol", "resnet")
    assert run.recipe == Recipe(epochs=16, rate=0.001, blur_at=224)
