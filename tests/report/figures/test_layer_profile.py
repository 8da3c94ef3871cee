"""The figure of metrics against depth, and the other figures beside it."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from mgm_jax.analysis import WHOLE_MODEL
from mgm_jax.report import write_report
from mgm_jax.report.data.tables import read_tables
from mgm_jax.report.figures.layer_profile import layer_figure
from mgm_jax.report.figures.legend import make_legend
from tests.report.pages import Page

# The feature stands first, as in a study.
TAPS = {"pool": 1.0, "stem": 0.0, "layer1.0": 0.25, "layer2.0": 0.5, "layer3.0": 0.75}


@pytest.fixture(scope="module")
def layered(study: Callable[[str], Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The study of three untrained families, read at five layers; the pixels at one."""
    folder = tmp_path_factory.mktemp("layered") / "out"
    shutil.copytree(study("demo"), folder)
    for name in ("points", "groups", "summary", "models"):
        table = pd.read_parquet(folder / f"{name}.parquet")
        # As a study names them.
        table["encoder"] = table["encoder"].str.replace(":seed=", "-s")
        parts = []
        for tap, depth in TAPS.items():
            part = table.assign(tap=tap)
            values = "mean" if name == "summary" else "mean_cosine"
            if values in part:
                part[values] *= 0.8 + 0.2 * depth
            if name == "summary":
                part["depth"] = depth
            parts.append(
                part
                if tap == "pool"
                else part[part["family"] != "pixels"]
                if "family" in part
                else part[part["encoder"] != "pixels"]
            )
        pd.concat(parts, ignore_index=True).to_parquet(folder / f"{name}.parquet", index=False)
    return folder


def test_other_tables_hold_the_feature_alone(layered: Path, study: Callable[[str], Path]) -> None:
    tables, plain = read_tables(layered), read_tables(study("demo"))
    assert plain.layers is None and tables.layers is not None
    for name in ("summary", "groups", "models", "points"):
        assert len(getattr(tables, name)) == len(getattr(plain, name))
        assert set(getattr(tables, name)["tap"]) == {"pool"}
    assert set(tables.models["model"]) == set(tables.models["encoder"])


def test_every_line_band_and_level_is_in_every_view(layered: Path) -> None:
    tables = read_tables(layered)
    assert tables.layers is not None
    figure = layer_figure(tables, make_legend(tables.models))
    assert figure is not None
    lines = {"resnet18", "conv4", "vit_mini"}
    assert set(tables.layers["line"]) == lines | {"pixels"}
    view = figure.views["digits", "nnk_degree"]
    panels = len(tables.settings)
    drawn = [t for t in view.data if t["mode"] == "lines+markers"]
    assert len(drawn) == len(lines) * panels
    assert all(t["x"] == [0, 0.25, 0.5, 0.75, 1] for t in drawn)
    assert len({t["line"]["color"] for t in drawn}) == len(lines)
    bands = [t for t in view.data if t.get("fill") == "toself"]
    assert len(bands) == len(drawn) and all(len(t["x"]) == 10 for t in bands)
    levels = [t for t in view.data if t["mode"] == "lines" and "fill" not in t]
    assert len(levels) == panels and all(t["x"] == [0, 1] for t in levels)
    # The values are those of the tables: mean over the three seeds of a family.
    summary = pd.read_parquet(layered / "summary.parquet")
    own = summary["encoder"].str.startswith("conv4") & (summary["tap"] == "layer2.0")
    own &= (summary["setting"] == "semantic") & (summary["metric"] == "nnk_degree")
    first = next(t for t in drawn if "conv4" in t["hovertext"][0])
    np.testing.assert_allclose(first["y"][2], summary.loc[own, "mean"].mean(), rtol=1e-4)
    whole = figure.views["digits", "mean_cosine"]
    assert len([t for t in whole.data if t["mode"] == "lines+markers"]) == len(lines)


@pytest.mark.slow
def test_the_page_has_the_figure_once_there_are_layers(
    layered: Path, page_of: Callable[[str], Path]
) -> None:
    page = write_report(layered).read_text()
    assert 'href="#layers"' in page and 'data-figure="layers"' in page
    content = Page(page).figures["layers"]
    assert [choice["label"] for choice in content["choices"]] == ["Images", "Metric"]
    assert WHOLE_MODEL in json.dumps(content)
    assert 'data-figure="layers"' not in page_of("demo").read_text()


def test_lines_of_one_family_differ_in_their_dash(layered: Path) -> None:
    tables = read_tables(layered)
    assert tables.layers is not None
    same = {"conv4": "resnet", "resnet18": "resnet"}
    layers = tables.layers.replace({"family": same})
    models = tables.models.replace({"family": {"conv4": "resnet", "resnet18": "resnet"}})
    from mgm_jax.report.figures.layer_profile import line_colours

    colours = line_colours(layers, make_legend(models))
    assert colours["conv4"][0] == colours["resnet18"][0] != colours["vit_mini"][0]
    assert colours["conv4"][1] != colours["resnet18"][1]


@pytest.mark.slow
def test_the_picture_shows_panels_lines_and_units(layered: Path, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    from benchmarks.pictures.depth import draw_depth
    from benchmarks.pictures.intervals import draw_intervals

    path = tmp_path / "picture.svg"
    draw_depth(layered, path, metrics=["mean_cosine", "semantic.nnk_degree", "augs.nnk_diameter"])
    text = path.read_text()
    for word in ("relative depth", "resnet18", "vit_mini", "NNK degree", "mean cosine", "3 seeds"):
        assert word in text
    draw_intervals(layered, path)
    text = path.read_text()
    for word in ("semantic manifolds", "augs manifolds", "vit_mini-s2", "affinity excess"):
        assert word in text
