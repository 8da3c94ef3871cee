"""Predicted against measured transfer, held out: a panel a task, a dot a model."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd

from mgm_jax.report.data.tables import StudyTables
from mgm_jax.report.figures.facets import (
    Layout,
    Panel,
    axis_names,
    column_counts,
    layout_axes,
    panel_grid,
)
from mgm_jax.report.figures.figure import Choice, Figure, View, numbers, task_pages
from mgm_jax.report.figures.legend import Entry, Legend
from mgm_jax.report.text.labels import hover_name, number, plotly_text, shorten
from mgm_jax.report.text.names import (
    held_out_name,
    ordered_predictors,
    ordered_ways,
    predictors_name,
)

# Pixels: width, height and gap of a panel in wide windows, and on a phone.
_WIDE, _PHONE = (205, 215, 46), (112, 128, 44)
_LEFT = 58
_TASKS_A_PAGE = 9
# Where a label in the lower right corner ends, as shares of the panel's width and height.
_CORNER = (0.3, 0.85)
_BETWEEN = "   "


def scatter_figure(tables: StudyTables, legend: Legend) -> Figure | None:
    """Held-out predictions of every task; None where the study has none."""
    rows = tables.optional.predictions
    rows = rows.loc[np.isfinite(rows["measured"]) & np.isfinite(rows["predicted"])]
    if rows.empty:
        return None
    tasks = list(dict.fromkeys(rows["task"]))
    page_choice, pages = task_pages(tasks, size=_TASKS_A_PAGE)
    predictors = ordered_predictors(rows)
    ways = ordered_ways(rows["held_out"])
    legend = legend.of(rows["model"])
    scores = tables.optional.prediction.drop_duplicates(["task", "predictors", "held_out"])
    scores = scores.set_index(["task", "predictors", "held_out"])
    views = {}
    for name in predictors:
        for way in ways:
            block = rows.loc[(rows["predictors"] == name) & (rows["held_out"] == way)]
            for index, page in enumerate(pages):
                panels = {task: block.loc[block["task"] == task] for task in page}
                facts = {task: _facts(scores, (task, name, way)) for task in page}
                views[name, way, str(index)] = _view(panels, facts, legend)
    choices = (
        Choice(
            label="From",
            options=tuple((n, shorten(predictors_name(n), most=40)) for n in predictors),
        ),
        Choice(label="Test", options=tuple((way, held_out_name(way)) for way in ways)),
        page_choice,
    )
    return Figure(name="prediction_scatter", choices=choices, views=views)


def _facts(scores: pd.DataFrame, key: tuple[str, str, str]) -> str:
    """R² and rank correlation of one panel, where the table has them."""
    if key not in scores.index:
        return ""
    row = scores.loc[key]
    shown = [("R²", row["r2"]), ("ρ", row["spearman"])]
    return _BETWEEN.join(f"{name} {number(value)}" for name, value in shown if np.isfinite(value))


def _view(panels: dict[str, pd.DataFrame], facts: dict[str, str], legend: Legend) -> View:
    traces: list[dict[str, Any]] = []
    ranges = []
    for panel, rows in enumerate(panels.values()):
        axes = axis_names(panel)
        ends = _range(rows)
        ranges.append(ends)
        traces.append(_identity(ends, axes))
        entry_of = legend.entry_of
        entries = [entry_of[model] for model in rows["model"]]
        for entry in legend.entries:
            inside = rows.loc[[own.name == entry.name for own in entries]]
            if not inside.empty:
                traces.append(_dots(inside, entry, ends, axes))
    sizes = [(columns, _WIDE) for columns in column_counts(len(panels)) if columns > 1]
    sizes.append((min(2, len(panels)), _PHONE))
    layouts = [
        _layout(panels, list(facts.values()), ranges, columns, size) for columns, size in sizes
    ]
    layouts[-1] = replace(layouts[-1], min_width=0)
    return View(data=traces, layouts=layouts)


def _range(rows: pd.DataFrame) -> tuple[float, float]:
    """Both axes of a panel: all values with a margin, so that the identity is the diagonal.

    A wild prediction must not press all other dots together: the axes end three times the spread
    of the measured values beyond them, and the dot is drawn at the edge.
    """
    if rows.empty:
        return 0.0, 1.0
    measured, predicted = rows["measured"].to_numpy(), rows["predicted"].to_numpy()
    spread = max(float(np.ptp(measured)), 1e-9 * max(1.0, float(np.abs(measured).max())))
    low = max(min(measured.min(), predicted.min()), measured.min() - 3 * spread)
    high = min(max(measured.max(), predicted.max()), measured.max() + 3 * spread)
    margin = 0.07 * (high - low)
    return float(low - margin), float(high + margin)


def _identity(ends: tuple[float, float], axes: dict[str, str]) -> dict[str, Any]:
    return {
        "type": "scatter",
        "mode": "lines",
        "x": numbers(ends),
        "y": numbers(ends),
        "line": {"color": "--muted", "width": 1, "dash": "dot"},
        "hoverinfo": "skip",
        **axes,
    }


def _dots(
    rows: pd.DataFrame, entry: Entry, ends: tuple[float, float], axes: dict[str, str]
) -> dict[str, Any]:
    outside = (rows["predicted"] < ends[0]) | (rows["predicted"] > ends[1])
    return {
        "type": "scatter",
        "mode": "markers",
        "x": numbers(rows["measured"]),
        "y": numbers(rows["predicted"].clip(*ends)),
        "cliponaxis": False,
        "marker": {
            "color": entry.colour,
            "symbol": [f"{entry.symbol}-open" if beyond else entry.symbol for beyond in outside],
            "size": 9,
            "opacity": 0.85,
            "line": {"color": "--ground", "width": 1},
        },
        "hovertext": [
            f"{hover_name(row['model'])}<br>{plotly_text(shorten(entry.name, most=40))}<br>"
            f"measured {number(row['measured'])}, predicted {number(row['predicted'])}"
            for row in rows.to_dict("records")
        ],
        "hoverinfo": "text",
        **axes,
    }


def _is_free_below(rows: pd.DataFrame, ends: tuple[float, float]) -> bool:
    """Whether the label lies over fewer dots in the lower right corner than in the upper left."""
    low, high = ends
    across = (rows["measured"].to_numpy() - low) / (high - low)
    up = np.clip((rows["predicted"].to_numpy() - low) / (high - low), 0, 1)
    above = np.sum((across < 1 - _CORNER[0]) & (up > _CORNER[1]))
    below = np.sum((across > _CORNER[0]) & (up < 1 - _CORNER[1]))
    return bool(below < above)


def _layout(
    blocks: dict[str, pd.DataFrame],
    facts: list[str],
    ranges: list[tuple[float, float]],
    columns: int,
    size: tuple[int, int, int],
) -> Layout:
    width, height, gap = size
    grid = panel_grid(
        [
            Panel(heading=shorten(task, most=22 if size == _WIDE else 15), axis="measured")
            for task in blocks
        ],
        columns,
        panel_height=height,
        left=_LEFT,
        panel_width=width,
        gap=gap,
    )
    facts_of = zip(blocks.values(), facts, ranges, strict=True)
    for index, (rows, text, ends) in enumerate(facts_of):
        vertical, horizontal = layout_axes(grid.layout, index)
        ticks = 5 if size == _WIDE else 4
        horizontal |= {"range": numbers(ends), "nticks": ticks}
        vertical |= {"range": numbers(ends), "nticks": ticks}
        if index % columns == 0:
            vertical["title"] = {"text": "predicted", "standoff": 6}
        if text:
            if size == _PHONE:
                text = text.replace(_BETWEEN, "\n")
            names = axis_names(index)
            below = _is_free_below(rows, ends)
            grid.layout["annotations"].append(
                {
                    "text": plotly_text(text).replace("\n", "<br>"),
                    "align": "right" if below else "left",
                    "xref": f"{names['xaxis']} domain",
                    "yref": f"{names['yaxis']} domain",
                    "x": 0.97 if below else 0.03,
                    "y": 0.03 if below else 0.97,
                    "xanchor": "right" if below else "left",
                    "yanchor": "bottom" if below else "top",
                    "showarrow": False,
                    "font": {"size": 12 if size == _WIDE else 11, "color": "--muted"},
                }
            )
    return grid
