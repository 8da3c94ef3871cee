"""Metrics along the strength of the views, a panel a setting, a line a model."""

from __future__ import annotations

from math import isnan
from typing import Any, NamedTuple

import pandas as pd

from mgm_jax.errors import name_some
from mgm_jax.report.data.definitions import define
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
from mgm_jax.report.figures.intervals import error_bars
from mgm_jax.report.figures.legend import Entry, Legend
from mgm_jax.report.text.labels import hover_name, interval, points_counted

# Pixels.
_PANEL_HEIGHT = 230
_LEFT = 58

_MAX_COLUMNS = 6

# Lines of one panel that are still told apart with their intervals.
_MAX_INTERVALS = 12


class _Value(NamedTuple):
    """A mean at one strength, with its interval and the points with and without a value."""

    strength: float
    mean: float
    low: float
    high: float
    points: int
    left_out: int


def strength_figure(tables: StudyTables, legend: Legend) -> Figure | None:
    """Key metrics along the strength; None where no setting was run at two strengths."""
    strengths = {
        setting: set(rows["strength"]) for setting, rows in tables.summary.groupby("setting")
    }
    settings = [name for name in tables.settings if len(strengths[name]) > 1]
    if not settings:
        return None
    views = {
        (images, metric): _view(
            tables.summary.loc[
                (tables.summary["images"] == images) & (tables.summary["metric"] == metric)
            ],
            metric,
            settings,
            legend,
        )
        for images in tables.image_sets
        for metric in tables.key_metrics
    }
    choices = metric_choices(tables.image_sets, tables.key_metrics)
    return Figure(name="strengths", choices=choices, views=views)


def _view(rows: pd.DataFrame, metric: str, settings: list[str], legend: Legend) -> View:
    lines: dict[tuple[str, str], list[_Value]] = {}
    columns = ["setting", "model", "strength", "mean", "low", "high", "points", "left_out"]
    counted = rows if "left_out" in rows else rows.assign(left_out=0)
    for setting, model, *value in counted.sort_values("strength")[columns].itertuples(index=False):
        lines.setdefault((setting, model), []).append(_Value(*value))
    blank = {key for key, line in lines.items() if all(isnan(value.mean) for value in line)}
    # Many lines on top of each other: let the crowd show through, without its intervals.
    few = len(legend.models) <= _MAX_INTERVALS
    traces = [
        _trace(lines[setting, model], model, entry, panel, few=few)
        for panel, setting in enumerate(settings)
        for entry in legend.entries
        for model in entry.models
        if (setting, model) in lines and (setting, model) not in blank
    ]
    drawn = {trace["xaxis"] for trace in traces}
    empty = [panel for panel in range(len(settings)) if axis_names(panel)["xaxis"] not in drawn]
    # A panel is drawn only where a trace names it.
    traces += [{"type": "scatter", "x": [0], "y": [None], **axis_names(panel)} for panel in empty]
    axis = define(metric).axis
    layouts = [_layout(settings, axis, columns, empty) for columns in _columns(len(settings))]
    note = _note(blank, set(lines), metric, settings)
    return View(data=traces, layouts=layouts, note=note)


def _note(
    blank: set[tuple[str, str]], lines: set[tuple[str, str]], metric: str, settings: list[str]
) -> str:
    """Which lines are not there because no point has a value; empty where all are there."""
    parts = []
    for setting in settings:
        without = sorted(model for name, model in blank if name == setting)
        several = len(without) < sum(name == setting for name, _ in lines)
        if without:
            parts.append(f"{setting} ({name_some(without)})" if several else setting)
    if not parts:
        return ""
    definition = define(metric)
    why = f" ({definition.label}: a point needs {definition.needs})" if definition.needs else ""
    return f"No line where no point has a value{why}: {', '.join(parts)}."


def _columns(panels: int) -> list[int]:
    """Panels a line: more than six would be too small on the widest window.

    >>> _columns(18)
    [6, 4, 3, 2, 1]
    """
    if panels <= _MAX_COLUMNS:
        return column_counts(panels)
    return [_MAX_COLUMNS, 4, 3, 2, 1]


def _trace(
    line: list[_Value], model: str, entry: Entry, panel: int, *, few: bool
) -> dict[str, Any]:
    name = hover_name(model)
    values = [(value.mean, value.low, value.high) for value in line]
    intervals = error_bars(values, entry.colour, thickness=1)
    return {
        "type": "scatter",
        "mode": "lines+markers",
        "x": numbers([value.strength for value in line]),
        "y": numbers([value.mean for value in line]),
        "line": {"color": entry.colour, "width": 1.6},
        "marker": {"color": entry.colour, "size": 5, "symbol": entry.symbol},
        "opacity": 0.9 if few else 0.5,
        **({"error_y": intervals} if few else {}),
        "hovertext": [
            f"{name}<br>strength {value.strength:g}: {interval(value.mean, value.low, value.high)}"
            f"<br>{points_counted(value.points, value.left_out)}"
            for value in line
        ],
        "hoverinfo": "text",
        **axis_names(panel),
    }


def _layout(settings: list[str], axis: str, columns: int, empty: list[int]) -> Layout:
    panels = [Panel(heading=setting, axis="strength (1 = protocol)") for setting in settings]
    grid = curve_grid(panels, columns, axis=axis, panel_height=_PANEL_HEIGHT, left=_LEFT)
    for index in range(1, len(panels)):
        # Also where nothing is drawn: an axis of its own would run from -1 to 1.
        layout_axes(grid.layout, index)[1]["matches"] = "x"
    for panel in empty:
        names = axis_names(panel)
        middle = {"x": 0.5, "y": 0.5, "showarrow": False}
        domains = {"xref": f"{names['xaxis']} domain", "yref": f"{names['yaxis']} domain"}
        grid.layout["annotations"].append({"text": "not defined", **middle, **domains})
    return grid
