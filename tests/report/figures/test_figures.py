"""Figures: valid for Plotly, faithful to the tables, readable at every width."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import plotly.graph_objects as go
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mgm_jax.report.data.strengths import at_reference_strength
from mgm_jax.report.data.tables import StudyTables, read_tables
from mgm_jax.report.figures.collapse import collapse_figure, difference_rows
from mgm_jax.report.figures.distribution import density, distribution_figure
from mgm_jax.report.figures.dots import dot_figure
from mgm_jax.report.figures.facets import Panel, axis_names, facet_layouts
from mgm_jax.report.figures.figure import Figure, numbers
from mgm_jax.report.figures.legend import make_legend
from mgm_jax.report.figures.likeness.heatmap import heatmap_figure
from mgm_jax.report.figures.strengths import strength_figure
from mgm_jax.report.text.headline import judge_collapse
from tests.report.pages import with_colours

Study = Callable[[str], Path]


def figures_of(tables: StudyTables) -> Iterator[Figure]:
    legend = make_legend(tables.models)
    collapse = judge_collapse(tables)
    result = (
        dot_figure(tables, legend),
        strength_figure(tables, legend),
        heatmap_figure(tables, legend),
        distribution_figure(tables, legend),
        collapse_figure(collapse, legend) if collapse else None,
    )
    return (figure for figure in result if figure is not None)


@pytest.mark.slow
@pytest.mark.parametrize("case", ["single group", "demo", "sweep", "mirrored"])
def test_plotly_accepts_every_view(study: Study, case: str):
    for figure in figures_of(read_tables(study(case))):
        # Plotly's checks are slow: the first and the last view stand for all.
        content = json.loads(figure.to_json())
        views = list(content["views"].values())
        for view in views[:: max(1, len(views) - 1)]:
            data = with_colours(view["data"])
            for entry in (content["layouts"][position] for position in view["layouts"]):
                layout = {k: v for k, v in entry["layout"].items() if k != "minimum_width"}
                go.Figure(data=data, layout=with_colours(layout))


@pytest.mark.slow
@pytest.mark.parametrize("case", ["demo", "sweep", "hostile"])
def test_every_choice_has_a_view(study: Study, case: str):
    for figure in figures_of(read_tables(study(case))):
        keys = [()]
        for choice in figure.choices:
            keys = [(*key, value) for key in keys for value, _ in choice.options]
        assert set(keys) == set(figure.views)


@pytest.mark.slow
@pytest.mark.parametrize("case", ["sweep", "hostile"])
def test_layouts_are_in_the_page_once_and_each_view_has_its_own(study: Study, case: str):
    for figure in figures_of(read_tables(study(case))):
        content = json.loads(figure.to_json())
        texts = [json.dumps(layout) for layout in content["layouts"]]
        assert len(set(texts)) == len(texts)
        for view, result in zip(figure.views.values(), content["views"].values(), strict=True):
            own = [json.loads(json.dumps(layout.to_json())) for layout in view.layouts]
            assert [content["layouts"][position] for position in result["layouts"]] == own


@pytest.mark.slow
def test_dots_are_the_means_and_intervals_of_the_table(study: Study):
    tables = read_tables(study("demo"))
    legend = make_legend(tables.models)
    view = dot_figure(tables, legend).views["digits", "nnk_diameter"]
    panel = tables.settings.index("crop")
    drawn = {}
    for trace in view.data:
        if trace["xaxis"] == axis_names(panel)["xaxis"]:
            errors = trace["error_x"]
            for x, y, up, down in zip(
                trace["x"], trace["y"], errors["array"], errors["arrayminus"], strict=True
            ):
                drawn[legend.models[y]] = (x, x - down, x + up)
    rows = tables.summary.query("setting == 'crop' and metric == 'nnk_diameter'")
    assert set(drawn) == set(rows["model"])
    for row in rows.itertuples():
        assert drawn[row.model] == pytest.approx((row.mean, row.low, row.high), rel=1e-3)


@pytest.mark.slow
def test_missing_values_leave_a_gap_not_a_zero(study: Study):
    tables = read_tables(study("hostile"))
    legend = make_legend(tables.models)
    view = dot_figure(tables, legend).views["digits", "nnk_degree"]
    rows = {row for trace in view.data for row in trace["y"]}
    assert rows == set(range(1, 6))
    text = dot_figure(tables, legend).to_json()
    assert "NaN" not in text
    assert "Infinity" not in text


def test_one_group_draws_a_dot_without_an_interval(study: Study):
    tables = read_tables(study("single group"))
    view = dot_figure(tables, make_legend(tables.models)).views["digits", "nnk_degree"]
    assert all(value is None for trace in view.data for value in trace["error_x"]["array"])
    assert all(value is not None for trace in view.data for value in trace["x"])


@settings(max_examples=25, deadline=None)
@given(panels=st.integers(1, 9), rows=st.integers(1, 60), letters=st.integers(1, 300))
def test_panels_never_overlap_and_the_narrowest_layout_always_fits(
    panels: int, rows: int, letters: int
):
    names = ["x" * letters + str(row) for row in range(rows)]
    layouts = facet_layouts([Panel(heading="h", axis="a")] * panels, names, same_scale=True)
    widths = [entry.min_width for entry in layouts]
    assert widths == sorted(widths, reverse=True)
    assert widths[-1] == 0
    for entry in layouts:
        boxes = []
        for panel in range(panels):
            axes = axis_names(panel)
            horizontal = entry.layout["xaxis" + axes["xaxis"][1:]]["domain"]
            vertical = entry.layout["yaxis" + axes["yaxis"][1:]]["domain"]
            assert 0 <= horizontal[0] < horizontal[1] <= 1
            assert 0 <= vertical[0] < vertical[1] <= 1
            boxes.append((*horizontal, *vertical))
        for i, (a, b, c, d) in enumerate(boxes):
            for e, f, g, h in boxes[i + 1 :]:
                assert b <= e or f <= a or d <= g or h <= c
        # A row is never lower than its label.
        assert entry.layout["height"] >= 18 * rows


def test_heat_map_is_standardised_and_ordered_by_the_tree(study: Study):
    tables = read_tables(study("demo"))
    legend = make_legend(tables.models)
    view = heatmap_figure(tables, legend).views[("digits",)]  # pyright: ignore
    cells, strip, *tree = view.data
    assert strip["y"] == list(range(10))
    z = np.array(cells["z"], dtype=float)
    filled = z[:, ~np.isnan(z).all(axis=0)]
    np.testing.assert_allclose(filled.mean(axis=0), 0, atol=5e-3)
    np.testing.assert_allclose(filled.std(axis=0), 1, atol=5e-3)
    # The branches, of one colour or more, and the line of the cut.
    assert ["dash" in lines["line"] for lines in tree] == [False] * (len(tree) - 1) + [True]
    labels = view.layouts[0].layout["yaxis"]["ticktext"]
    assert labels[0].split(":")[0] == labels[2].split(":")[0]
    assert "nnk_kkt" not in json.dumps(cells)
    assert len(cells["x"]) == z.shape[1] + 1


def test_tree_leaves_meet_their_rows(study: Study):
    tables = read_tables(study("demo"))
    view = heatmap_figure(tables, make_legend(tables.models)).views[("digits",)]  # pyright: ignore
    leaves = {
        y for lines in view.data[2:] for x, y in zip(lines["x"], lines["y"], strict=True) if x == 0
    }
    assert leaves == set(range(10))


@settings(max_examples=25, deadline=None)
@given(st.lists(st.floats(-1e3, 1e3), min_size=1, max_size=300))
def test_density_is_a_closed_outline_of_height_one(values: list[float]):
    positions, heights = density(np.array(values))
    assert (heights[0], heights[-1]) == (0.0, 0.0)
    assert heights.max() == pytest.approx(1.0)
    assert (np.diff(positions) > 0).all()
    assert positions[0] <= np.median(values) <= positions[-1]


def test_density_counts_whole_numbers_one_by_one():
    positions, heights = density(np.repeat([3.0, 4.0, 6.0], [10, 20, 5]))
    np.testing.assert_allclose(positions, [2, 3, 4, 5, 6, 7])
    np.testing.assert_allclose(heights, [0, 0.5, 1, 0, 0.25, 0])


def test_strength_lines_run_along_the_strengths(study: Study):
    tables = read_tables(study("sweep"))
    figure = strength_figure(tables, make_legend(tables.models))
    assert figure is not None
    for trace in figure.views["digits", "nnk_diameter"].data:
        assert trace["x"] == [0.5, 1, 2]
    assert strength_figure(read_tables(study("demo")), make_legend(tables.models)) is None


def test_an_undefined_cell_has_no_line_and_a_note(study: Study):
    tables = read_tables(study("mirrored"))
    figure = strength_figure(tables, make_legend(tables.models))
    assert figure is not None
    for metric in ("nnk_diameter", "relative_diameter"):
        view = figure.views["digits", metric]
        of_panel = {axis: [t for t in view.data if t["xaxis"] == axis] for axis in ("x", "x2")}
        assert len(of_panel["x"]) == 3 and all(None not in t["y"] for t in of_panel["x"])
        # A trace without a value keeps the panel in place.
        assert [t["y"] for t in of_panel["x2"]] == [[None]]
        assert "needs two neighbours" in view.note and view.note.endswith(": hflip.")
        texts = [[a["text"] for a in layout.layout["annotations"]] for layout in view.layouts]
        assert all(result.count("not defined") == 1 for result in texts)
        assert all(layout.layout["xaxis2"]["matches"] == "x" for layout in view.layouts)
    degree = figure.views["digits", "nnk_degree"]
    assert degree.note == "" and len(degree.data) == 6
    one = tables.summary["setting"].eq("crop") & tables.summary["model"].eq(_first_model(tables))
    tables.summary.loc[one & tables.summary["metric"].eq("nnk_degree"), "mean"] = np.nan
    partly = strength_figure(tables, make_legend(tables.models))
    assert partly is not None
    view = partly.views["digits", "nnk_degree"]
    assert len(view.data) == 5
    assert view.note == f"No line where no point has a value: crop ({_first_model(tables)})."


def _first_model(tables: StudyTables) -> str:
    return str(tables.models["model"].iloc[0])


def test_points_without_a_value_are_counted_where_a_mean_is_read(study: Study):
    tables = read_tables(study("sweep"))
    chosen = tables.summary["metric"].eq("nnk_diameter") & tables.summary["strength"].eq(0.5)
    tables.summary.loc[chosen, ["points", "left_out"]] = [1000, 20]
    figure = strength_figure(tables, make_legend(tables.models))
    assert figure is not None
    for trace in figure.views["digits", "nnk_diameter"].data:
        assert "1,000 points (20 without a value left out)" in trace["hovertext"][0]
        assert "left out" not in trace["hovertext"][1]


def test_reference_strength_is_one_or_the_largest():
    table = pd.DataFrame(
        {"setting": ["a", "a", "b", "b"], "strength": [1.0, 2.0, 0.25, 0.5], "row": range(4)}
    )
    assert list(at_reference_strength(table)["row"]) == [0, 3]


def test_differences_name_both_families(study: Study):
    collapse = judge_collapse(read_tables(study("demo")))
    assert collapse is not None
    rows = difference_rows(collapse)
    assert len(rows) == 2 * 6
    assert any(row["pair"] == "ResNet-18 − ViT-mini" for row in rows)
    assert all(" to " in row["interval"] for row in rows)


def test_numbers_are_short_and_valid_json():
    assert numbers([1.0, 0.123456789, np.nan, np.inf, 1e-9]) == [1, 0.12346, None, None, 1e-9]
