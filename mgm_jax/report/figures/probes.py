"""Scores of every encoder on every target: a panel a target, a row an encoder."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from mgm_jax.report.data.tables import StudyTables
from mgm_jax.report.figures.facets import Panel, axis_names, facet_layouts
from mgm_jax.report.figures.figure import Choice, Figure, View, numbers
from mgm_jax.report.figures.legend import Entry, Legend
from mgm_jax.report.text.labels import hover_name, interval, plotly_text, shorten
from mgm_jax.report.text.number_tables import NumberTable, Row, empty_cell, interval_cell

_MEASURES = {
    "linear": "linear probe",
    "ridge": "ridge probe",
    "knn": "k-NN",
    "logme": "LogME",
    "h_score": "H-score",
    "leep": "LEEP",
    "nce": "NCE",
    "gbc": "GBC",
    "transrate": "TransRate",
    "knn_accuracy": "k-NN accuracy",
}
_METRICS = {
    "top1": "top-1 accuracy (share)",
    "mean_per_class": "mean accuracy per class (share)",
    "map": "mean average precision (share)",
    "map11": "11-point mAP (share)",
    "score": "score",
}
_NAME_LETTERS = 44


def measure_name(measure: str) -> str:
    """Words for a probe or score.

    >>> [measure_name(name) for name in ("linear", "few_shot_5way_20shot", "mine")]
    ['linear probe', '5-way 20-shot', 'mine']
    """
    if measure in _MEASURES:
        return _MEASURES[measure]
    words = measure.removeprefix("few_shot_").replace("_", " ")
    return words.replace("way", "-way").replace("shot", "-shot") if words != measure else measure


def metric_name(metric: str) -> str:
    """Words for the metric of a probe, with its unit."""
    return _METRICS.get(metric, metric.replace("_", " "))


def ordered_measures(transfer: pd.DataFrame) -> list[str]:
    """Probes first, then scores, each in the order of the table."""
    kinds = dict(zip(transfer["measure"].astype(str), transfer["kind"], strict=True))
    return sorted(kinds, key=lambda measure: kinds[measure] == "score")


def probe_figure(tables: StudyTables, legend: Legend) -> Figure | None:
    """Scores with intervals, a view a measure; None where the study has none."""
    rows = _finite(tables)
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


def probe_tables(tables: StudyTables, legend: Legend) -> list[NumberTable]:
    """A table a measure: encoders by targets, with intervals."""
    rows = _finite(tables)
    legend = legend.of(rows["model"])
    found = []
    for measure in ordered_measures(rows):
        block = rows.loc[rows["measure"] == measure]
        targets = list(dict.fromkeys(block["images"]))
        cells = {
            (row["model"], row["images"]): interval_cell(row["value"], row["low"], row["high"])
            for row in block.to_dict("records")
        }
        missing = empty_cell()
        present = set(block["model"])
        metric = {row["images"]: row["metric"] for row in block.to_dict("records")}
        found.append(
            NumberTable(
                key=(shorten(measure_name(measure), most=40),),
                columns=tuple(
                    (shorten(target, most=24), f"{target}: {metric_name(metric[target])}")
                    for target in targets
                ),
                rows=tuple(
                    Row(
                        name=shorten(model, most=_NAME_LETTERS),
                        full_name=model,
                        colour=entry.colour,
                        group=entry.name,
                        cells=tuple(cells.get((model, target), missing) for target in targets),
                    )
                    for entry in legend.entries
                    for model in entry.models
                    if model in present
                ),
            )
        )
    return found


def _finite(tables: StudyTables) -> pd.DataFrame:
    rows = tables.optional.transfer
    rows = rows.loc[np.isfinite(rows["value"])]
    return rows.drop_duplicates(["model", "images", "measure", "metric"])


def _view(rows: pd.DataFrame, legend: Legend) -> View:
    legend = legend.of(rows["model"])
    names = legend.models
    place = {model: at for at, model in enumerate(names)}
    panels: list[Panel] = []
    traces: list[dict[str, Any]] = []
    for target, block in rows.groupby("images", sort=False):
        for metric, part in block.groupby("metric", sort=False):
            axes = axis_names(len(panels))
            panels.append(Panel(heading=str(target), axis=metric_name(str(metric))))
            for entry in legend.entries:
                inside = part.loc[part["model"].isin(entry.models)]
                if not inside.empty:
                    traces.append(_dots(inside, place, entry, axes))
    failed = int((~rows["converged"].to_numpy(bool)).sum())
    note = ""
    if failed:
        note = f"Hollow: {failed} of {len(rows)} fits stopped before the gradient was small enough."
    return View(data=traces, layouts=facet_layouts(panels, names, same_scale=True), note=note)


def _dots(
    rows: pd.DataFrame, place: dict[str, int], entry: Entry, axes: dict[str, str]
) -> dict[str, Any]:
    return {
        "type": "scatter",
        "mode": "markers",
        "x": numbers(rows["value"]),
        "y": [place[model] for model in rows["model"]],
        "error_x": {
            "type": "data",
            "symmetric": False,
            "array": numbers((rows["high"] - rows["value"]).clip(lower=0)),
            "arrayminus": numbers((rows["value"] - rows["low"]).clip(lower=0)),
            "color": entry.colour,
            "thickness": 2,
            "width": 0,
        },
        "marker": {
            "color": entry.colour,
            "size": 8,
            "symbol": [
                entry.symbol if converged else f"{entry.symbol}-open"
                for converged in rows["converged"]
            ],
        },
        "hovertext": [_hover(row) for row in rows.to_dict("records")],
        "hoverinfo": "text",
        **axes,
    }


def _hover(row: dict[Any, Any]) -> str:
    value = interval(row["value"], row["low"], row["high"])
    text = f"{hover_name(row['model'])}<br>{plotly_text(shorten(row['images'], most=40))}: {value}"
    if np.isfinite(row["n_train"]):
        text += f"<br>{row['n_train']:,.0f} training images"
    return text if row["converged"] else f"{text}<br>not converged"
