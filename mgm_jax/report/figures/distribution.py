"""Distribution over points: a ridge a model, binned here so that the page stays small."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from mgm_jax.report.data.definitions import define
from mgm_jax.report.data.strengths import at_reference_strength, setting_heading
from mgm_jax.report.data.tables import StudyTables
from mgm_jax.report.figures.facets import Panel, axis_names, facet_layouts, row_height
from mgm_jax.report.figures.figure import Figure, View, metric_choices, numbers
from mgm_jax.report.figures.legend import Entry, Legend
from mgm_jax.report.text.labels import hover_name, number

_BINS = 32
# Share of a row that the highest point of a ridge takes.
_RIDGE = 0.82
# Ridges end here: single far points would flatten everything else.
_TAILS = (0.5, 99.5)
_ENOUGH_FOR_TAILS = 200
_QUANTILES = (5, 25, 50, 75, 95)
_METRICS = 5


def distribution_figure(tables: StudyTables, legend: Legend) -> Figure | None:
    """Ridges of the key metrics over points; None where the study kept no points."""
    metrics = [
        name
        for name in tables.key_metrics
        if name in tables.points.columns and bool(tables.points[name].notna().any())
    ][:_METRICS]
    if not metrics:
        return None
    points = at_reference_strength(tables.points)
    views = {
        (images, metric): _view(points.loc[points["images"] == images], metric, tables, legend)
        for images in tables.image_sets
        for metric in metrics
    }
    choices = metric_choices(tables.image_sets, metrics)
    return Figure(name="distribution", choices=choices, views=views, scale_switch=True)


def density(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Outline of a histogram: positions and heights, the highest one 1, both ends 0.

    Whole numbers (degrees, dimensions) get one bin each where they are few.
    """
    low, high = np.percentile(values, _TAILS if values.size >= _ENOUGH_FOR_TAILS else (0, 100))
    inside = values[(values >= low) & (values <= high)]
    whole = bool(np.all(inside == np.round(inside)))
    if whole and high - low < 2 * _BINS:
        edges = np.arange(np.floor(low) - 0.5, np.ceil(high) + 1.0)
    else:
        width = max(high - low, 1e-9 * max(abs(low), 1.0))
        edges = np.linspace(low - 0.02 * width, high + 0.02 * width, _BINS + 1)
    counts = np.histogram(inside, edges)[0].astype(np.float64)
    if not whole:
        # Binomial smoothing: single bins of a few hundred points are noise.
        counts = np.convolve(counts, [0.25, 0.5, 0.25], mode="same")
    centres = (edges[1:] + edges[:-1]) / 2
    step = edges[1] - edges[0]
    positions = np.concatenate([[centres[0] - step], centres, [centres[-1] + step]])
    heights = np.concatenate([[0.0], counts / counts.max(), [0.0]])
    return positions, heights


def _view(points: pd.DataFrame, metric: str, tables: StudyTables, legend: Legend) -> View:
    definition = define(metric)
    measured = set(points["model"])
    names = [model for model in legend.models if model in measured]
    position = {model: row for row, model in enumerate(names)}
    cells = {
        key: values.to_numpy(np.float64)
        for key, values in points.dropna(subset=[metric]).groupby(["setting", "model"])[metric]
    }
    panels: list[Panel] = []
    traces: list[dict[str, Any]] = []
    for setting in tables.settings:
        inside = {model: cells[setting, model] for model in names if (setting, model) in cells}
        if not inside:
            continue
        axes = axis_names(len(panels))
        panels.append(Panel(heading=setting_heading(setting, points), axis=definition.axis))
        for entry in legend.entries:
            members = {model: inside[model] for model in entry.models if model in inside}
            if members:
                traces.append(_ridges(members, position, entry, axes))
                traces.append(_medians(members, position, entry, axes))
    height = max(26, row_height(len(names)))
    layouts = facet_layouts(panels, names, same_scale=True, height=height)
    for layout in layouts:
        # The first ridge rises above its row.
        for axis in (key for key in layout.layout if key.startswith("yaxis")):
            layout.layout[axis]["range"] = [len(names) - 0.4, -1.0]
    return View(data=traces, layouts=layouts)


def _ridges(
    members: dict[str, np.ndarray], position: dict[str, int], entry: Entry, axes: dict[str, str]
) -> dict[str, Any]:
    x: list[float | int | None] = []
    y: list[float | int | None] = []
    for model, values in members.items():
        positions, heights = density(values)
        x += [*numbers(positions, digits=4), None]
        # Hundredths of a row are fractions of a pixel.
        y += [*numbers(np.round(position[model] - _RIDGE * heights, 2)), None]
    return {
        "type": "scatter",
        "mode": "lines",
        "x": x,
        "y": y,
        "fill": "toself",
        "fillcolor": entry.colour,
        "opacity": 0.55,
        "line": {"color": entry.colour, "width": 1},
        "hoverinfo": "skip",
        **axes,
    }


def _medians(
    members: dict[str, np.ndarray], position: dict[str, int], entry: Entry, axes: dict[str, str]
) -> dict[str, Any]:
    quantiles = {model: np.percentile(values, _QUANTILES) for model, values in members.items()}
    return {
        "type": "scatter",
        "mode": "markers",
        "x": numbers([quantile[2] for quantile in quantiles.values()]),
        "y": [position[model] for model in quantiles],
        "marker": {
            "color": "--ground",
            "size": 6,
            "symbol": "circle",
            "line": {"color": "--ink", "width": 1.4},
        },
        "hovertext": [
            f"{hover_name(model)}<br>median {number(q[2])}<br>quartiles {number(q[1])} to "
            f"{number(q[3])}<br>5 to 95 %: {number(q[0])} to {number(q[4])}"
            f"<br>{members[model].size:,} points"
            for model, q in quantiles.items()
        ],
        "hoverinfo": "text",
        **axes,
    }
