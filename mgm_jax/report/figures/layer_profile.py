"""Metrics against depth: a panel a setting, a line a network, a band its interval."""

from __future__ import annotations

from itertools import cycle
from typing import Any

import pandas as pd

from mgm_jax.analysis import WHOLE_MODEL
from mgm_jax.analysis.collapse.families import CONTROL_FAMILY
from mgm_jax.report.data.definitions import KEY_METRICS, PANEL_METRICS, define
from mgm_jax.report.data.strengths import at_reference_strength
from mgm_jax.report.data.tables import StudyTables
from mgm_jax.report.figures.facets import (
    Layout,
    Panel,
    axis_names,
    column_counts,
    curve_grid,
    layout_axes,
)
from mgm_jax.report.figures.figure import Figure, View, metric_choices, numbers
from mgm_jax.report.figures.legend import Legend
from mgm_jax.report.text.labels import hover_name, interval, plotly_text

# Pixels.
_PANEL_HEIGHT = 270
_LEFT = 58
_DEPTH = "relative depth (0 = first layer, 1 = last)"
# Lines of one colour are told apart by these.
DASHES = ("solid", "dash", "dot", "dashdot")


def layer_figure(tables: StudyTables, legend: Legend) -> Figure | None:
    """Every metric along the layers; None where no encoder was read layer by layer."""
    if tables.layers is None:
        return None
    shown = at_reference_strength(tables.layers)
    known = set(shown["metric"])
    metrics = [name for name in (*KEY_METRICS, *PANEL_METRICS) if name in known]
    colours = line_colours(shown, legend)
    views = {}
    for images in tables.image_sets:
        for metric in metrics:
            inside = shown.loc[(shown["images"] == images) & (shown["metric"] == metric)]
            views[images, metric] = _view(inside, metric, [*tables.settings, WHOLE_MODEL], colours)
    choices = metric_choices(tables.image_sets, metrics)
    return Figure(name="layers", choices=choices, views=views)


def line_colours(profile: pd.DataFrame, legend: Legend) -> dict[str, tuple[str, str]]:
    """Colour (a custom property of the style sheet) and dash of every line."""
    of_family = dict(profile[["line", "family"]].itertuples(index=False))
    of_model = legend.colour_of
    colours: dict[str, tuple[str, str]] = {}
    dashes: dict[str, Any] = {}
    for line, family in of_family.items():
        # Encoders are the line itself, or the line with the number of a seed.
        models = [m for m in of_model if m == line or m.startswith((f"{line}-s", f"{line} · "))]
        colour = of_model[models[0]] if models else "--series-control"
        dash = next(dashes.setdefault(colour, cycle(DASHES)))
        colours[line] = colour, "dot" if family == CONTROL_FAMILY else dash
    return colours


def _view(
    rows: pd.DataFrame, metric: str, settings: list[str], colours: dict[str, tuple[str, str]]
) -> View:
    present = [setting for setting in settings if setting in set(rows["setting"])]
    traces = []
    for panel, setting in enumerate(present):
        inside = rows.loc[rows["setting"] == setting]
        for line, points in inside.groupby("line", sort=False):
            traces += _traces(points, *colours[str(line)], axis_names(panel))
    definition = define(metric)
    note = f"{definition.label}: {definition.formula}. {definition.reads.capitalize()}."
    layouts = [
        _layout(present, definition.axis, columns) for columns in column_counts(len(present))
    ]
    return View(data=traces, layouts=layouts, note=note)


def _traces(
    points: pd.DataFrame, colour: str, dash: str, axes: dict[str, str]
) -> list[dict[str, Any]]:
    hover = [_hover(row) for row in points.to_dict("records")]
    if len(points) == 1:
        # An encoder of one layer, such as the raw pixels, is a level to compare with.
        level = numbers([points["mean"].iloc[0]] * 2)
        return [_line([0, 1], level, hover * 2, colour, "dot", axes, mode="lines")]
    traces = []
    known = points.loc[points["low"].notna() & points["high"].notna()]
    if len(known) > 1:
        traces.append(
            {
                "type": "scatter",
                "mode": "lines",
                "x": numbers([*known["depth"], *known["depth"][::-1]]),
                "y": numbers([*known["high"], *known["low"][::-1]]),
                "fill": "toself",
                "fillcolor": colour,
                "line": {"width": 0, "color": colour},
                "opacity": 0.22,
                "hoverinfo": "skip",
                **axes,
            }
        )
    depth, mean = numbers(points["depth"]), numbers(points["mean"])
    return [*traces, _line(depth, mean, hover, colour, dash, axes, mode="lines+markers")]


def _line(
    x: list[Any],
    y: list[Any],
    hover: list[str],
    colour: str,
    dash: str,
    axes: dict[str, str],
    *,
    mode: str,
) -> dict[str, Any]:
    return {
        "type": "scatter",
        "mode": mode,
        "x": x,
        "y": y,
        "line": {"color": colour, "width": 1.8, "dash": dash},
        "marker": {"color": colour, "size": 5},
        "hovertext": hover,
        "hoverinfo": "text",
        **axes,
    }


def _hover(row: dict[Any, Any]) -> str:
    over = f", mean of {row['seeds']} seeds" if row["seeds"] > 1 else ""
    value = interval(row["mean"], row["low"], row["high"])
    return f"{hover_name(row['line'])}<br>{plotly_text(row['tap'])}: {value}{over}"


def _layout(settings: list[str], axis: str, columns: int) -> Layout:
    panels = [Panel(heading=setting, axis=_DEPTH) for setting in settings]
    grid = curve_grid(panels, columns, axis=axis, panel_height=_PANEL_HEIGHT, left=_LEFT)
    for index in range(len(panels)):
        layout_axes(grid.layout, index)[1]["range"] = [-0.02, 1.02]
    return grid
