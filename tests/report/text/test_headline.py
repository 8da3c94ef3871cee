"""The headline says what was found, and colours group what belongs together."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from mgm_jax.report.data.tables import read_tables
from mgm_jax.report.figures.legend import make_legend
from mgm_jax.report.text.headline import find_headline, judge_collapse
from mgm_jax.report.text.losses import failed_images
from mgm_jax.report.text.number_tables import number_tables

Study = Callable[[str], Path]


def test_collapse_makes_the_headline_where_it_was_tested(study: Study):
    tables = read_tables(study("demo"))
    collapse = judge_collapse(tables)
    assert collapse is not None
    assert find_headline(tables, collapse).title == collapse.headline


def test_else_the_largest_gap_in_interval_widths(study: Study):
    tables = read_tables(study("population"))
    headline = find_headline(tables, judge_collapse(tables))
    rows = tables.summary[tables.summary["metric"].isin(tables.key_metrics)]
    rows = rows[~rows["metric"].isin(["nnk_affinity", "knn_distance"])]
    cells = rows.groupby(["setting", "metric"])
    ratios = (
        cells["mean"].agg(np.ptp)
        / (rows["high"] - rows["low"]).groupby([rows["setting"], rows["metric"]]).median()
    )
    assert f"is {ratios.max():.1f} times" in headline.lead
    setting, metric = ratios.idxmax()  # pyright: ignore
    best = rows[(rows["setting"] == setting) & (rows["metric"] == metric)]
    assert best.loc[best["mean"].idxmax(), "model"] in headline.title
    assert headline.title.startswith("The encoders differ most in")


def test_no_separation_is_said(study: Study):
    tables = read_tables(study("population"))
    flat = tables.summary.assign(mean=1.0, low=0.9, high=1.1)
    title = find_headline(replace(tables, summary=flat), None).title
    assert title == "No metric separates the encoders beyond its intervals."


def test_one_encoder_is_described(study: Study):
    title = find_headline(read_tables(study("one")), None).title
    assert title.startswith("resnet50 has an NNK degree of ")
    assert title.endswith(" on semantic manifolds.")


def test_controls_alone_are_described(study: Study):
    tables = read_tables(study("one"))
    alone = replace(tables, summary=tables.summary.assign(family="pixels"))
    assert find_headline(alone, None) == find_headline(tables, None)
    # Beside an encoder they make no headline.
    pixels = alone.summary.assign(model="raw pixels", mean=1e3)
    both = pd.concat([tables.summary, pixels], ignore_index=True)
    assert find_headline(replace(tables, summary=both), None) == find_headline(tables, None)


def test_nothing_measured_is_said(study: Study):
    tables = read_tables(study("one"))
    empty = replace(tables, summary=tables.summary.assign(mean=np.nan))
    assert find_headline(empty, None).title == "No metric could be measured."


def test_colours_follow_family_then_paradigm(study: Study):
    by_family = make_legend(read_tables(study("demo")).models)
    assert by_family.kind == "family"
    names = [entry.name for entry in by_family.entries]
    assert names == ["ResNet-18", "Conv4", "ViT-mini", "raw pixels"]
    assert by_family.entries[-1].colour == "--series-control"
    by_paradigm = make_legend(read_tables(study("population")).models)
    assert by_paradigm.kind == "paradigm"
    assert len({entry.colour for entry in by_paradigm.entries}) == 4


def test_many_families_differ_in_colour_or_marker():
    names = [f"family{i}" for i in range(20)]
    models = pd.DataFrame({"model": names, "family": names, "paradigm": "supervised"})
    entries = make_legend(models).entries
    assert len({(entry.colour, entry.symbol) for entry in entries}) == 20


def test_number_tables_hold_every_model_and_setting(study: Study):
    tables = read_tables(study("hostile"))
    result = number_tables(tables, make_legend(tables.models))
    assert len(result) == 2 * (5 + 1)
    for table in result:
        assert [row.full_name for row in table.rows] == list(tables.models["encoder"].unique())
        assert all(len(row.cells) == len(table.columns) for row in table.rows)
    assert "0.690 – 0.750" in {row.cells[-1].interval for row in result[5].rows}
    missing = result[0].rows[0].cells[0]
    assert (missing.text, missing.value) == ("–", None)


def test_several_taps_of_an_encoder_are_told_apart(study: Study, tmp_path: Path):
    for name in ("summary", "groups", "models", "points"):
        frame = pd.read_parquet(study("one") / f"{name}.parquet")
        both = pd.concat([frame, frame.assign(tap="stem")])
        both.to_parquet(tmp_path / f"{name}.parquet")
    tables = read_tables(tmp_path)
    assert set(tables.models["model"]) == {"resnet50 · pool", "resnet50 · stem"}
    assert set(tables.summary["model"]) == set(tables.models["model"])


@pytest.mark.parametrize(
    ("failures", "counts"),
    [
        ({}, []),
        (None, []),
        ({"digits": 2}, [2]),
        ({"digits": {"count": 3, "images": 9, "examples": [["a", "b"]] * 50}}, [3]),
    ],
)
def test_failures_are_read_as_counts_or_with_examples(failures: object, counts: list[int]):
    result = failed_images({"failures": failures})
    assert [entry.count for entry in result] == counts
    assert all(len(entry.examples) <= 20 for entry in result)
