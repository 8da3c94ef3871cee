"""What the README shows runs as it stands there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

from mgm_jax.images import find_setting, setting_from_config
from mgm_jax.metrics import METRIC_COLUMNS
from mgm_jax.study import make_study, read_study
from tests.launch import ROOT

README = (ROOT / "README.md").read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", README, flags=re.DOTALL)


def test_the_python_example_runs(tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {}
    for block in blocks("python"):
        exec(compile(block, "README.md", "exec"), names)
    assert names["features"].shape == (8, 256)  # type: ignore[attr-defined]
    assert len((tmp_path / "points.csv").read_text().splitlines()) == 601


def test_the_study_example_is_a_study() -> None:
    [block] = blocks("yaml")
    study = make_study(yaml.safe_load(block))
    assert study.augmentation is not None
    for name in study.augmentation.settings:
        if name in study.custom_settings:
            setting_from_config(name, study.custom_settings[name])
        else:
            find_setting(name)


@pytest.mark.parametrize("file", sorted((ROOT / "examples").rglob("*.yaml")), ids=lambda f: f.name)
def test_every_example_study_is_valid(file: Path) -> None:
    assert read_study(file).encoders


def test_every_metric_of_the_table_is_one_that_is_measured() -> None:
    table = README[README.index("| metric |") : README.index("Beside each value")]
    named = {name for row in table.splitlines()[2:] for name in re.findall(r"`(\w+)`", row)}
    panel = {"rankme", "alpha_req", "nesum", "uniformity", "mean_cosine", "typical_distance"}
    assert named - set(METRIC_COLUMNS) <= panel | {"knn_accuracy"}
    assert "nnk_degree" in named
