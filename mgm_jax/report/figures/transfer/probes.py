"""Scores of every encoder on every target: a panel a target, a row an encoder."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from mgm_jax.report.data.tables import StudyTables
from mgm_jax.report.figures.facets import Panel, axis_names, facet_layouts
from mgm_jax.report.figures.figure import Choice, Figure, View
from mgm_jax.report.figures.intervals import dots_with_intervals
from mgm_jax.report.figures.legend import Entry, Legend
from mgm_jax.report.text.labels import hover_name, interval, plotly_text, shorten
from mgm_jax.report.text.names import measure_name, metric_name, ordered_measures


def probe_figure(tables: StudyTables, legend: Legend) -> Figure | None:
    """Scores with intervals, a view a measure; None where the study has none."""
    rows = tables.optional.finite_scores()
    if rows.empty:
        return None
    legend = legend.of(rows["model"])
    measures = ordered_measures(rows)
    views = {
        (measure,): _view(rows.loc[rows["measure"] == measure], legend) for measure in measures
    }
    options = tuple((name, shorten(measure_name(name), most=40)) for name in measures)
    choices = (Choice(label="Measure", options=options),)
    return Figure(name="probes", choices=choices, views=views, scale_switch=True)


def _view(rows: pd.DataFrame, legend: Legend) -> View:
    legend = legend.of(rows["model"])
    names = legend.models
    row_of = {model: at for at, model in enumerate(names)}
    panels: list[Panel] = []
    traces: list[dict[str, Any]] = []
    for target, block in rows.groupby("images", sort=False):
        for metric, part in block.groupby("metric", sort=False):
            axes = axis_names(len(panels))
            panels.append(Panel(heading=str(target), axis=metric_name(str(metric))))
            for entry in legend.entries:
                inside = part.loc[part["model"].isin(entry.models)]
                if not inside.empty:
                    traces.append(_dots(inside, row_of, entry, axes))
    failed = int((~rows["converged"].to_numpy(bool)).sum())
    note = ""
    if failed:
        note = f"Hollow: {failed} of {len(rows)} fits stopped before the gradient was small enough."
    return View(data=traces, layouts=facet_layouts(panels, names, same_scale=True), note=note)


def _dots(
    rows: pd.DataFrame, row_of: dict[str, int], entry: Entry, axes: dict[str, str]
) -> dict[str, Any]:
    return dots_with_intervals(
        rows[["value", "low", "high"]],
        [row_of[model] for model in rows["model"]],
        colour=entry.colour,
        symbol=[
            entry.symbol if converged else f"{entry.symbol}-open" for converged in rows["converged"]
        ],
        hover=[_hover(row) for row in rows.to_dict("records")],
        axes=axes,
    )


def _hover(row: dict[Any, Any]) -> str:
    value = interval(row["value"], row["low"], row["high"])
    text = f"{hover_name(row['model'])}<br>{plotly_text(shorten(row['images'], most=40))}: {value}"
    if np.isfinite(row["n_train"]):
        text += f"<br>{row['n_train']:,.0f} training images"
    return text if row["converged"] else f"{text}<br>not converged"
