"""Settings that leave no point two neighbours: no value, no zero, and a report that says so."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from mgm_jax.cli import terminal
from mgm_jax.cli.terminal import print_summary
from mgm_jax.report.data.tables import read_tables
from mgm_jax.report.figures.legend import make_legend
from mgm_jax.report.figures.strengths import strength_figure
from mgm_jax.report.page import render_page
from mgm_jax.sweep import run_study
from tests.report.pages import Page
from tests.sweep.small_study import small_study

UNDEFINED = ("nnk_diameter", "relative_diameter", "nnk_affinity", "nnk_affinity_excess")


@pytest.fixture(scope="module")
def mirrored(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A study with a setting of two views an image, at two strengths."""
    out = tmp_path_factory.mktemp("mirrored")
    augmentation = {
        "settings": ["crop", "hflip"],
        "strengths": [0.5, 1.0],
        "images": 6,
        "views": 8,
    }
    assert not run_study(small_study(augmentation=augmentation), out).failures
    return out


def test_tables_leave_out_what_mirrored_images_do_not_have(mirrored: Path) -> None:
    points = pd.read_parquet(mirrored / "points.parquet")
    flips = points["setting"] == "hflip"
    single = points["nnk_degree"] < 2
    # A view and its mirror image are each other's only neighbour; the eight views may be alike.
    assert single[flips].to_numpy().all() and points["degenerate"][flips].to_numpy().all()
    np.testing.assert_array_equal(points["nnk_diameter"].isna(), single)
    np.testing.assert_array_equal(points["relative_diameter"].isna(), single)
    assert points.loc[flips, "nnk_affinity"].isna().all()
    summary = pd.read_parquet(mirrored / "summary.parquet").set_index(["setting", "metric"])
    for metric in UNDEFINED:
        rows = summary.loc[("hflip", metric)]
        assert rows["mean"].isna().all() and rows["median"].isna().all()
        assert (rows["points"] == 0).all() and (rows["left_out"] == 48).all()
        assert summary.loc[("crop", metric), "mean"].notna().all()
    counted = points.groupby(["encoder", "setting", "strength"])["nnk_diameter"].agg(
        lambda column: column.isna().sum()
    )
    for key, row in summary.xs("nnk_diameter", level="metric").reset_index().iterrows():
        cell = (row["encoder"], row["setting"], row["strength"])
        assert row["left_out"] == counted[cell], key


def test_the_summary_on_the_screen_has_a_dash_there(mirrored: Path, capsys, monkeypatch) -> None:
    monkeypatch.setattr(terminal, "MAX_ROWS", 60)
    print_summary(mirrored)
    lines = capsys.readouterr().out.splitlines()
    flips = [line for line in lines if "hflip@" in line]
    # Diameter, affinity and its excess.
    assert len(flips) == 6 and all(line.split().count("–") == 3 for line in flips)
    assert not any("nan" in line for line in lines)


def test_the_report_draws_no_line_there_and_says_why(mirrored: Path) -> None:
    tables = read_tables(mirrored)
    figure = strength_figure(tables, make_legend(tables.models))
    assert figure is not None
    view = figure.views["digits", "relative_diameter"]
    values = [value for trace in view.data for value in trace["y"]]
    assert 0 not in values and len([value for value in values if value is not None]) == 3 * 2
    assert view.note.endswith("a point needs two neighbours): hflip.")
    drawn = Page(render_page(tables)).figures["strengths"]
    assert view.note in {view["note"] for view in drawn["views"].values()}
