"""How well transfer is predicted: the metrics beside every baseline."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd

from mgm_jax.report.data.tables import StudyTables
from mgm_jax.report.figures.facets import Panel, axis_names, facet_layouts
from mgm_jax.report.figures.figure import Choice, Figure, View, numbers
from mgm_jax.report.figures.intervals import dots_with_intervals
from mgm_jax.report.text.labels import interval, number, plotly_text, shorten
from mgm_jax.report.text.names import (
    MGM,
    held_out_name,
    ordered_predictors,
    ordered_ways,
    predictors_name,
)
from mgm_jax.report.text.prediction_table import SCORES, has_values

_RANDOM = "random features"
# R² has no lower bound: values below are drawn at the edge, as triangles.
_FLOOR = -1.0
_NAME_LETTERS = 40
# From this share of the squared error on, R² speaks of one model rather than of all.
_ONE_MODEL = 0.5


def prediction_figure(tables: StudyTables) -> Figure | None:
    """Held-out scores with intervals: a panel a task, a row a set of predictors."""
    rows = tables.optional.prediction
    if rows.empty or not has_values(rows, "r2"):
        return None
    ways = ordered_ways(rows["held_out"])
    scores = [(name, label) for name, label, _ in SCORES if has_values(rows, name)]
    views = {
        (score, way): _view(rows.loc[rows["held_out"] == way], score)
        for score, _ in scores
        for way in ways
    }
    choices = (
        Choice(label="Score", options=tuple(scores)),
        Choice(label="Test", options=tuple((way, held_out_name(way)) for way in ways)),
    )
    return Figure(name="prediction_scores", choices=choices, views=views)


def _view(rows: pd.DataFrame, score: str) -> View:
    predictors = ordered_predictors(rows)
    names = [predictors_name(name) for name in predictors]
    random = score == "r2" and has_values(rows, "random_r2_high")
    if random:
        names.append(_RANDOM)
    tasks = list(dict.fromkeys(rows["task"]))
    axis = next(axis for name, _, axis in SCORES if name == score)
    traces: list[dict[str, Any]] = []
    floor = _floor(rows, score)
    for panel, task in enumerate(tasks):
        block = rows.loc[rows["task"] == task].drop_duplicates("predictors")
        axes = axis_names(panel)
        row_of = {name: at for at, name in enumerate(predictors)}
        for part, colour in (
            (block.loc[block["predictors"] != MGM], "--series-control"),
            (block.loc[block["predictors"] == MGM], "--ink"),
        ):
            part = part.loc[part[score].notna()]
            if not part.empty:
                traces.append(_dots(part, score, row_of, colour, floor, axes))
        if random:
            traces.extend(_random(block, len(predictors), floor, axes))
    layouts = facet_layouts(
        [Panel(heading=task, axis=axis) for task in tasks],
        names,
        same_scale=True,
        narrow_letters=20,
    )
    for layout in layouts:
        layout.layout["shapes"] = [_zero(panel) for panel in range(len(tasks))]
        for key in (key for key in layout.layout if key.startswith("xaxis")):
            layout.layout[key]["range"] = [floor - 0.06 * (1 - floor), 1.06]
    return View(data=traces, layouts=layouts, note=_note(rows, score, floor))


def _floor(rows: pd.DataFrame, score: str) -> float:
    values = rows[[score, f"{score}_low"]].to_numpy(np.float64)
    lowest = float(np.nanmin(values, initial=0.0))
    return max(_FLOOR, np.floor(lowest * 5) / 5)


def _dots(
    rows: pd.DataFrame,
    score: str,
    row_of: dict[str, int],
    colour: str,
    floor: float,
    axes: dict[str, str],
) -> dict[str, Any]:
    shown = rows[[score, f"{score}_low", f"{score}_high"]].clip(lower=floor)
    return dots_with_intervals(
        shown,
        [row_of[name] for name in rows["predictors"]],
        colour=colour,
        symbol=["triangle-left" if below else "circle" for below in rows[score] < floor],
        hover=[_hover(row, score) for row in rows.to_dict("records")],
        axes=axes,
        size=9,
        clipped=False,
    )


def _hover(row: dict[Any, Any], score: str) -> str:
    label = next(label for name, label, _ in SCORES if name == score)
    value = interval(row[score], row[f"{score}_low"], row[f"{score}_high"])
    text = f"<b>{plotly_text(shorten(predictors_name(row['predictors']), most=48))}</b>"
    text += f"<br>{label} {value}"
    if np.isfinite(row["p_holm"]):
        text += f"<br>p = {number(row['p_value'])}, over the tasks {number(row['p_holm'])}"
    if np.isfinite(row["features"]) and np.isfinite(row["models"]):
        text += f"<br>{row['models']:.0f} models, {row['features']:.0f} features"
    return text


def _random(
    block: pd.DataFrame, row: int, floor: float, axes: dict[str, str]
) -> Iterator[dict[str, Any]]:
    """What random features of the same number reach: their median, and the end of their range."""
    own = block.loc[(block["predictors"] == MGM) & block["random_r2_high"].notna()]
    for fact in own.to_dict("records"):
        middle, high = fact["random_r2"], fact["random_r2_high"]
        yield {
            "type": "scatter",
            "mode": "lines+markers",
            "x": numbers([max(floor, middle), max(floor, high)]),
            "y": [row, row],
            "line": {"color": "--muted", "width": 2},
            "marker": {
                "color": ["--ground", "--muted"],
                "size": [8, 10],
                "symbol": ["circle", "line-ns"],
                "line": {"color": "--muted", "width": 1.6},
            },
            "hovertext": [
                f"<b>{_RANDOM}</b><br>median R² {number(middle)}",
                f"<b>{_RANDOM}</b><br>upper end {number(high)}",
            ],
            "hoverinfo": "text",
            "cliponaxis": False,
            **axes,
        }


def _zero(panel: int) -> dict[str, Any]:
    axes = axis_names(panel)
    return {
        "type": "line",
        "layer": "below",
        "xref": axes["xaxis"],
        "yref": f"{axes['yaxis']} domain",
        "x0": 0,
        "x1": 0,
        "y0": 0,
        "y1": 1,
        "line": {"color": "--muted", "width": 1},
    }


def _note(rows: pd.DataFrame, score: str, floor: float) -> str:
    parts = []
    if score == "r2":
        parts.append("0 is the mean of the models that were seen, 1 is perfect.")
        if has_values(rows, "random_r2_high"):
            parts.append(
                "Random features: ring, the median R² that as many random features reach; "
                "tick, the upper end."
            )
    else:
        parts.append("0: the order of the models is not predicted; 1: it is predicted exactly.")
    if bool((rows[score].to_numpy(float) < floor).any()):
        parts.append(f"Triangles stand for values below {number(floor)}.")
    if score == "r2":
        own = rows.loc[(rows["predictors"] == MGM) & (rows["worst_share"] >= _ONE_MODEL)]
        parts += [
            f"{shorten(row['task'], most=_NAME_LETTERS)}: {row['worst_share']:.0%} of the squared "
            f"error of the MGM is that of one model, "
            f"{shorten(row['worst_model'], most=_NAME_LETTERS)}."
            for row in own.to_dict("records")
        ]
    return " ".join(parts)
