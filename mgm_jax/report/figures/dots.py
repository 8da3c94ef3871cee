"""Dot and interval: the mean of each model with its interval, a panel a setting."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pandas as pd

from mgm_jax.report.data.definitions import define
from mgm_jax.report.data.strengths import at_reference_strength, setting_heading
from mgm_jax.report.data.tables import StudyTables
from mgm_jax.report.figures.facets import Panel, axis_names, facet_layouts
from mgm_jax.report.figures.figure import Figure, View, metric_choices, numbers
from mgm_jax.report.figures.intervals import dots_with_intervals
from mgm_jax.report.figures.legend import Legend
from mgm_jax.report.text.labels import hover_name, interval, number, plotly_text, points_counted


def dot_figure(tables: StudyTables, legend: Legend) -> Figure:
    """Means with intervals of every key metric, image set and setting."""
    shown = at_reference_strength(tables.summary)
    metrics = tables.key_metrics
    views = {}
    for images in tables.image_sets:
        rows = shown.loc[shown["images"] == images]
        for metric in metrics:
            views[images, metric] = _view(rows, metric, tables.settings, legend)
    choices = metric_choices(tables.image_sets, metrics)
    return Figure(name="dots", choices=choices, views=views, scale_switch=True)


def _view(rows: pd.DataFrame, metric: str, settings: list[str], legend: Legend) -> View:
    definition = define(metric)
    measured = set(rows["model"])
    names = [model for model in legend.models if model in measured]
    position = {model: row for row, model in enumerate(names)}
    panels, traces = [], []
    present = rows.loc[(rows["metric"] == metric) & rows["mean"].notna()]
    for setting in settings:
        inside = present.loc[present["setting"] == setting]
        if inside.empty:
            continue
        axes = axis_names(len(panels))
        panels.append(Panel(heading=setting_heading(setting, rows), axis=definition.axis))
        if definition.reference is not None:
            reference = rows.loc[
                (rows["metric"] == definition.reference) & (rows["setting"] == setting)
            ]
            traces.append(_reference_trace(reference, definition.reference, position, axes))
        traces.extend(_traces(inside, position, legend, axes))
    note = f"{definition.label}: {definition.formula}. {definition.reads.capitalize()}."
    if definition.reference is not None:
        note += f" Hollow marks: {define(definition.reference).label}."
    return View(data=traces, layouts=facet_layouts(panels, names, same_scale=True), note=note)


def _traces(
    rows: pd.DataFrame, position: dict[str, int], legend: Legend, axes: dict[str, str]
) -> Iterator[dict[str, Any]]:
    for entry in legend.entries:
        inside = rows.loc[rows["model"].isin(entry.models)]
        if not inside.empty:
            yield dots_with_intervals(
                inside[["mean", "low", "high"]],
                [position[model] for model in inside["model"]],
                colour=entry.colour,
                symbol=entry.symbol,
                hover=[_hover(row) for row in inside.to_dict("records")],
                axes=axes,
            )


def _reference_trace(
    rows: pd.DataFrame, metric: str, position: dict[str, int], axes: dict[str, str]
) -> dict[str, Any]:
    label = define(metric).label
    return {
        "type": "scatter",
        "mode": "markers",
        "x": numbers(rows["mean"]),
        "y": [position[model] for model in rows["model"]],
        "marker": {
            "color": "--ground",
            "size": 7,
            "symbol": "circle",
            "line": {"color": "--muted", "width": 1.2},
        },
        "hovertext": [
            f"{hover_name(model)}<br>{label} {number(mean)}"
            for model, mean in zip(rows["model"], rows["mean"], strict=True)
        ],
        "hoverinfo": "text",
        **axes,
    }


def _hover(row: dict[Any, Any]) -> str:
    value = interval(row["mean"], row["low"], row["high"])
    counts = f"{row['groups']:,} groups, {points_counted(row['points'], row.get('left_out', 0))}"
    return f"{hover_name(row['model'])}<br>{plotly_text(row['setting'])}: {value}<br>{counts}"
