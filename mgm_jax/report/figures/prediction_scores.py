"""How well transfer is predicted: the metrics beside every baseline, as figure and as table."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd

from mgm_jax.report.data.tables import StudyTables
from mgm_jax.report.figures.facets import Panel, axis_names, facet_layouts
from mgm_jax.report.figures.figure import Choice, Figure, View, numbers
from mgm_jax.report.text.labels import interval, number, plotly_text, shorten
from mgm_jax.report.text.number_tables import (
    Cell,
    NumberTable,
    Row,
    empty_cell,
    interval_cell,
    text_cell,
)
from mgm_jax.report.text.verdict import (
    MGM,
    SIGNIFICANT,
    held_out_name,
    judge_prediction,
    ordered_predictors,
    predictors_name,
)

_SCORES = (
    ("r2", "R²", "R² of held-out predictions"),
    ("spearman", "Spearman", "Spearman's rank correlation"),
    ("kendall", "Kendall", "weighted Kendall's τ"),
)
_RANDOM = "random features"
# R² has no lower bound: values below are drawn at the edge, as triangles.
_FLOOR = -1.0
_NAME_LETTERS = 40
_MODEL_LETTERS = 20
# From this share of the squared error on, R² speaks of one model rather than of all.
_ONE_MODEL = 0.5


def prediction_figure(tables: StudyTables) -> Figure | None:
    """Held-out scores with intervals: a panel a task, a row a set of predictors."""
    rows = tables.optional.prediction
    if rows.empty or not _any(rows, "r2"):
        return None
    ways = sorted(dict.fromkeys(rows["held_out"]), key=lambda way: way != "model")
    scores = [(name, label) for name, label, _ in _SCORES if _any(rows, name)]
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


def prediction_tables(tables: StudyTables) -> list[NumberTable]:
    """All scores with intervals and p-values, a table a way of holding out."""
    rows = tables.optional.prediction
    ways = sorted(dict.fromkeys(rows["held_out"]), key=lambda way: way != "model")
    return [_table(rows.loc[rows["held_out"] == way], way) for way in ways]


def _view(rows: pd.DataFrame, score: str) -> View:
    predictors = ordered_predictors(rows)
    names = [predictors_name(name) for name in predictors]
    random = score == "r2" and _any(rows, "random_r2_high")
    if random:
        names.append(_RANDOM)
    tasks = list(dict.fromkeys(rows["task"]))
    axis = next(axis for name, _, axis in _SCORES if name == score)
    traces: list[dict[str, Any]] = []
    floor = _floor(rows, score)
    for panel, task in enumerate(tasks):
        block = rows.loc[rows["task"] == task].drop_duplicates("predictors")
        axes = axis_names(panel)
        place = {name: at for at, name in enumerate(predictors)}
        for part, colour in (
            (block.loc[block["predictors"] != MGM], "--series-control"),
            (block.loc[block["predictors"] == MGM], "--ink"),
        ):
            part = part.loc[part[score].notna()]
            if not part.empty:
                traces.append(_dots(part, score, place, colour, floor, axes))
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
    place: dict[str, int],
    colour: str,
    floor: float,
    axes: dict[str, str],
) -> dict[str, Any]:
    shown = rows[[score, f"{score}_low", f"{score}_high"]].clip(lower=floor)
    value, low, high = (shown[name] for name in shown)
    return {
        "type": "scatter",
        "mode": "markers",
        "x": numbers(value),
        "y": [place[name] for name in rows["predictors"]],
        "error_x": {
            "type": "data",
            "symmetric": False,
            "array": numbers(np.maximum(high - value, 0)),
            "arrayminus": numbers(np.maximum(value - low, 0)),
            "color": colour,
            "thickness": 2,
            "width": 0,
        },
        "marker": {
            "color": colour,
            "size": 9,
            "symbol": ["triangle-left" if below else "circle" for below in rows[score] < floor],
        },
        "hovertext": [_hover(row, score) for row in rows.to_dict("records")],
        "hoverinfo": "text",
        "cliponaxis": False,
        **axes,
    }


def _hover(row: dict[Any, Any], score: str) -> str:
    label = next(label for name, label, _ in _SCORES if name == score)
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
        if _any(rows, "random_r2_high"):
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


def _table(rows: pd.DataFrame, way: str) -> NumberTable:
    ahead = {
        task.task: task.ahead
        for verdict in judge_prediction(rows)
        for task in verdict.tasks
        if verdict.held_out == way
    }
    order = {name: at for at, name in enumerate(ordered_predictors(rows))}
    columns = [("Predictors", "what the prediction is made from")]
    columns += [(label, axis) for name, label, axis in _SCORES if _any(rows, name)]
    columns += [
        ("p (Holm)", "permutation p-value of the held-out R², over all tasks, and by itself"),
        ("Random R²", "R² that as many random features reach: median, and upper end"),
        *(
            [("Largest error", "share of the squared error that is one model's, and which")]
            if _any(rows, "worst_share")
            else []
        ),
        ("Features", "number of features, and of models"),
    ]
    lines = []
    for task in dict.fromkeys(rows["task"]):
        block = rows.loc[rows["task"] == task].to_dict("records")
        for row in sorted(block, key=lambda row: order[row["predictors"]]):
            lines.append(_row(row, rows, best=row["predictors"] == MGM and ahead.get(task, False)))
    return NumberTable(key=(held_out_name(way),), columns=tuple(columns), rows=tuple(lines))


def _row(row: dict[Any, Any], rows: pd.DataFrame, *, best: bool) -> Row:
    name = predictors_name(row["predictors"])
    cells = [text_cell(name, most=_NAME_LETTERS)]
    for score, _, _ in _SCORES:
        if _any(rows, score):
            cells.append(interval_cell(row[score], row[f"{score}_low"], row[f"{score}_high"]))
    random = row["random_r2"]
    cells += [
        _p_value(row["p_holm"], alone=row["p_value"]),
        Cell(
            text=number(random),
            interval=f"up to {number(row['random_r2_high'])}"
            if np.isfinite(row["random_r2_high"])
            else "",
            value=float(random) if np.isfinite(random) else None,
        ),
        *([_largest_error(row)] if _any(rows, "worst_share") else []),
        _counts(row["features"], row["models"]),
    ]
    return Row(
        name=shorten(row["task"], most=_NAME_LETTERS),
        full_name=row["task"],
        colour="--ink" if row["predictors"] == MGM else "--series-control",
        group="ahead of the baselines" if best else name,
        cells=tuple(cells),
        strong=best,
    )


def _largest_error(row: dict[Any, Any]) -> Cell:
    share = row["worst_share"]
    if not np.isfinite(share):
        return empty_cell()
    name = shorten(row["worst_model"], most=_MODEL_LETTERS)
    return Cell(text=f"{share:.0%}", interval=name, value=float(share))


def _p_value(value: float, *, alone: float) -> Cell:
    if not np.isfinite(value):
        return empty_cell()
    return Cell(
        text=_p_text(value),
        interval=f"alone {_p_text(alone)}" if np.isfinite(alone) else "",
        value=float(value),
        strong=bool(value <= SIGNIFICANT),
    )


def _p_text(value: float) -> str:
    return "< 0.001" if value < 0.001 else f"{value:.3f}"


def _counts(features: float, models: float) -> Cell:
    under = f"{models:.0f} models" if np.isfinite(models) else ""
    if not np.isfinite(features):
        return empty_cell(under=under)
    return Cell(text=f"{features:.0f}", interval=under, value=float(features))


def _any(rows: pd.DataFrame, column: str) -> bool:
    """Whether a column has a value anywhere."""
    return bool(rows[column].notna().to_numpy().any())
