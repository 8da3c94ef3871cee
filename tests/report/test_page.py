"""The whole page: self-contained, harmless names, every part present, whole or not at all."""

from __future__ import annotations

import functools
import json
import os
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

from mgm_jax.errors import InputError
from mgm_jax.report import page as page_module
from mgm_jax.report import write_report
from tests.report.pages import Page

Study = Callable[[str], Path]


@pytest.fixture(scope="module")
def rendered(page_of: Study) -> Callable[[str], Page]:
    return functools.cache(lambda case: Page(page_of(case).read_text(encoding="utf-8")))


TRANSFER = {"prediction_scores", "prediction_scatter", "features", "probes", "similarity"}
ALL_FIGURES = {"collapse", "dots", "heatmap", "map", "distribution", "strengths"} | TRANSFER


@pytest.mark.slow
@pytest.mark.parametrize(
    ("case", "absent"),
    [
        ("one", {"collapse", "heatmap", "map", "strengths"} | TRANSFER),
        ("demo", {"strengths"} | TRANSFER),
        ("sweep", {"collapse"} | TRANSFER),
        ("single group", {"collapse", "strengths"} | TRANSFER),
        ("hostile", {"collapse", "strengths"}),
        ("transfer", {"strengths"}),
        ("forty", TRANSFER),
    ],
)
def test_every_case_has_its_figures(rendered: Callable[[str], Page], case: str, absent: set[str]):
    assert set(rendered(case).figures) == ALL_FIGURES - absent


@pytest.mark.slow
def test_nothing_is_fetched(rendered: Callable[[str], Page]):
    for tag, attributes in rendered("hostile").tags:
        assert tag not in ("link", "iframe", "object", "embed", "img", "base"), tag
        for name in ("src", "srcset", "action", "data"):
            assert name not in attributes
        # Links lead into the page, to the tables beside it, or to copies within it.
        link = attributes.get("href") or "#"
        assert re.fullmatch(r"#\w+|#|\w+\.(csv|parquet)", link)
    templates = (Path(page_module.__file__).parent / "templates").rglob("*.*")
    for template in templates:
        assert not re.search(r"https?://|@import|url\(|fetch\(|import\(", template.read_text())


def test_markup_in_names_stays_text(rendered: Callable[[str], Page], study: Study):
    page = rendered("hostile")
    assert "{{ 7 * 7 }} ${x} %s" in page.words
    assert "<b>bold</b> & \"quoted\" 'name'" in page.words
    # Plotly, the script of the page, and one a figure: none came from a name.
    scripts = [tag for tag, _ in page.tags if tag == "script"]
    assert len(scripts) == 2 + len(page.figures)
    assert "<i>other</i> set" in page.words
    # Plotly reads a little HTML in labels, so names reach it escaped.
    for view in page.figures["dots"]["views"].values():
        layout = page.figures["dots"]["layouts"][view["layouts"][0]]["layout"]
        for label in layout["yaxis"]["ticktext"]:
            assert "<" not in label
        for trace in view["data"]:
            assert not re.search(r"<(?!/?b>|br>)", "".join(trace["hovertext"]))


def test_long_names_are_cut_in_sight_and_whole_in_the_title(rendered: Callable[[str], Page]):
    page = rendered("hostile")
    longest = max(len(label) for label in _row_labels(page))
    assert longest <= 60
    titles = [attributes.get("title") or "" for tag, attributes in page.tags if tag == "th"]
    assert any(len(title) > 290 for title in titles)


def _row_labels(page: Page) -> list[str]:
    return page.figures["dots"]["layouts"][0]["layout"]["yaxis"]["ticktext"]


def test_headline_and_statement_come_first(rendered: Callable[[str], Page]):
    words = rendered("demo").words
    assert "Untrained ResNet-18 is collapsed, Conv4 and ViT-mini are not" in words
    assert words.index("Untrained ResNet-18 is collapsed") < words.index("Manifold graph metrics")


def test_failures_and_missing_points_are_counted(rendered: Callable[[str], Page]):
    words = rendered("hostile").words
    assert "14 unreadable images" in words
    assert "7 of 1,500 images could not be read." in words
    assert "class_0/img<0>.jpg truncated file" in words
    assert "NNK degree 2,400 of 14,400" in words
    assert "Nothing: every image was read" in rendered("demo").words


def test_definitions_cover_every_metric(rendered: Callable[[str], Page], study: Study):
    words = rendered("demo").words
    for metric in pd.read_parquet(study("demo") / "summary.parquet")["metric"].unique():
        assert metric in words
    assert "the formula is our reconstruction" in words


def test_unknown_metrics_are_listed_too(study: Study, tmp_path: Path):
    folder = _copy(study("one"), tmp_path)
    summary = pd.read_parquet(folder / "summary.parquet")
    extra = summary[summary["metric"] == "nnk_degree"].assign(metric="my_metric")
    pd.concat([summary, extra]).to_parquet(folder / "summary.parquet")
    words = Page(write_report(folder).read_text(encoding="utf-8")).words
    assert "my metric my_metric not described in this report" in words


@pytest.mark.slow
def test_page_stays_small(page_of: Study):
    assert page_of("forty").stat().st_size < 3e6


def test_same_tables_give_the_same_page(study: Study):
    first = write_report(study("one")).read_bytes()
    assert write_report(study("one")).read_bytes() == first


def test_a_failed_write_leaves_the_old_page(
    study: Study, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    folder = _copy(study("one"), tmp_path)
    (folder / "report.html").write_text("old")

    def fail(*_: object) -> None:
        raise OSError("disk full")

    monkeypatch.setattr(os, "replace", fail)
    with pytest.raises(OSError, match="disk full"):
        write_report(folder)
    assert (folder / "report.html").read_text() == "old"
    assert not list(folder.glob(".*"))


def test_study_facts_are_optional(study: Study, tmp_path: Path):
    folder = _copy(study("one"), tmp_path)
    (folder / "study.json").unlink()
    words = Page(write_report(folder).read_text(encoding="utf-8")).words
    assert "1 encoder" in words
    (folder / "study.json").write_text(
        json.dumps(
            {
                "failures": {"digits": 3},
                "failed_cells": [["vit · digits", "too few views"]],
                "study": {"metrics": {"level": 0.9}},
            }
        )
    )
    words = Page(write_report(folder).read_text(encoding="utf-8")).words
    assert "3 unreadable images" in words
    assert "1 part of the study could not be measured" in words
    assert "vit · digits too few views" in words
    assert "with 90 % intervals" in words


def test_origins_guesses_and_small_manifolds_are_said(study: Study, tmp_path: Path):
    folder = _copy(study("population"), tmp_path)
    name = str(pd.read_parquet(folder / "models.parquet")["encoder"].iloc[0])
    account = {
        "encoders": [
            {
                "name": name,
                "architecture": "resnet50",
                "paradigm": "contrastive",
                "method": "MoCo",
                "guessed": True,
                "source": "model.pth",
                "weights": "[state_dict] module.encoder_q.*",
                "doubt": "<heads>",
            },
            {"name": "other", "paradigm": "supervised", "guessed": False},
        ],
        "small_manifolds": ["digits: 3 points left out, of 2 manifolds (<ant>, bee)"],
    }
    (folder / "study.json").write_text(json.dumps(account))
    # The table counts the points of manifolds that are too small, the page says why.
    summary = pd.read_parquet(folder / "summary.parquet")
    summary["left_out"] = 3 * (summary["setting"] == "semantic")
    summary.to_parquet(folder / "summary.parquet")
    words = Page(write_report(folder).read_text(encoding="utf-8")).words
    assert "contrastive, MoCo (a guess) model.pth [state_dict] module.encoder_q.* <heads>" in words
    assert words.count("(a guess)") == 1
    assert f"stated by no file: the paradigm of {name}." in words
    assert "3 points left out, of 2 manifolds (<ant>, bee): of two points" in words
    assert "flagged as degenerate" not in words and "Nothing: every image" not in words


def test_unusable_folders_are_refused(study: Study, tmp_path: Path):
    with pytest.raises(InputError, match="no such folder"):
        write_report(tmp_path / "nowhere")
    with pytest.raises(InputError, match=r"summary\.parquet: the table is missing"):
        write_report(tmp_path)
    folder = _copy(study("one"), tmp_path / "copy")
    (folder / "groups.parquet").write_bytes(b"PAR1 damaged")
    with pytest.raises(InputError, match=r"groups\.parquet: cannot be read"):
        write_report(folder)
    pd.DataFrame({"encoder": ["a"]}).to_parquet(folder / "groups.parquet")
    with pytest.raises(InputError, match="missing images, setting, strength, tap, group"):
        write_report(folder)
    pd.read_parquet(study("one") / "groups.parquet").iloc[:0].to_parquet(folder / "groups.parquet")
    with pytest.raises(InputError, match="has no rows"):
        write_report(folder)


def _copy(source: Path, target: Path) -> Path:
    return Path(shutil.copytree(source, target, dirs_exist_ok=True))
