"""What `mgm demo` asks for is there, and what the zoo's files say reaches the tables."""

from __future__ import annotations

from importlib import resources
from pathlib import Path

import pandas as pd
import pytest
from typer.testing import CliRunner

from mgm_jax import cli
from mgm_jax.conversion import convert_entry
from mgm_jax.study import Study, make_study, read_study
from mgm_jax.sweep import run_study
from mgm_jax.sweep.plan.targets import open_images, open_targets


@pytest.fixture(scope="module")
def study() -> Study:
    with resources.as_file(resources.files("mgm_jax") / "demo.yaml") as file:
        return read_study(file)


def test_the_demo_needs_no_files(study: Study, tmp_path: Path) -> None:
    images = [open_images(entry, base=tmp_path) for entry in study.images]
    assert study.transfer is not None
    targets = open_targets(study.transfer, images, base=tmp_path)
    assert [one.name for one in images] == ["digits", "photo-patches"]
    # Targets are the image sets themselves, so that nothing is embedded twice.
    assert [one.images.stored_as for one in targets] == [one.name for one in images]
    assert [entry.source for entry in study.encoders] == ["zoo:all"]


@pytest.mark.slow
def test_paradigms_of_the_zoo_reach_the_tables(small_zoo: Path, tmp_path: Path) -> None:
    made = make_study(
        {
            "encoders": [{"source": "zoo:*-resnet"}],
            "images": [{"source": "photo-patches", "classes": ["china *"], "per_class": 4}],
            "augmentation": None,
        }
    )
    run_study(made, tmp_path / "out", base=tmp_path, convert=convert_entry, until="measure")
    models = pd.read_parquet(tmp_path / "out" / "models.parquet").set_index("encoder")
    assert models["paradigm"].to_dict() == {
        "simclr-resnet": "contrastive",
        "untrained-resnet": "untrained",
    }


def test_models_lists_the_zoo(small_zoo: Path) -> None:
    said = CliRunner().invoke(cli.app, ["models"]).stdout
    row = next(line for line in said.splitlines() if line.startswith("zoo:simclr-resnet"))
    assert row.split()[1:] == ["SimCLR", "contrastive", "resnet", "12", "25.0", "%"]
