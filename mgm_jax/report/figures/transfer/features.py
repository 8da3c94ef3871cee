"""Which features a prediction uses, and how surely: a panel a task, a row a feature."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from mgm_jax.report.data.tables import StudyTables
from mgm_jax.report.figures.facets import Panel, axis_names, facet_layouts
from mgm_jax.report.figures.figure import Figure, View, numbers, task_pages
from mgm_jax.report.text.labels import number, plotly_text, shorten
from mgm_jax.report.text.names import feature_name

_MAX_FEATURES = 20
_TASKS_A_PAGE = 6
# A feature is called stable from these shares of the resamples on.
_CHOSEN, _SAME_SIGN = 0.5, 0.9
# Pixels: marker of a feature that is never and one that is always chosen.
_SIZES = (4, 15)


def feature_figure(tables: StudyTables) -> Figure | None:
    """Coefficients with their stability; None where the study has none."""
    rows = tables.optional.features
    rows = rows.loc[rows["coefficient"].notna()].drop_duplicates(["task", "feature"])
    if rows.empty:
        return None
    shown = _important(rows)
    tasks = list(dict.fromkeys(rows["task"]))
    choice, pages = task_pages(tasks, size=_TASKS_A_PAGE)
    total = rows["feature"].nunique()
    views = {
        (str(index),): _view(rows.loc[rows["task"].isin(page)], page, shown, total)
        for index, page in enumerate(pages)
    }
    return Figure(name="features", choices=(choice,), views=views)


def _important(rows: pd.DataFrame) -> list[str]:
    """Features by how often they are chosen over all tasks, then by size of coefficient."""
    weighed = rows.assign(size=rows["coefficient"].abs(), chosen=rows["selected"].fillna(0.0))
    means = pd.DataFrame(weighed.groupby("feature", sort=False)[["chosen", "size"]].mean())
    ranked = means.sort_values(["chosen", "size"], ascending=False, kind="stable")
    return [str(name) for name in ranked.index[:_MAX_FEATURES]]


def _view(rows: pd.DataFrame, tasks: Sequence[str], features: list[str], total: int) -> View:
    row_of = {name: at for at, name in enumerate(features)}
    traces = []
    for panel, task in enumerate(tasks):
        block = rows.loc[(rows["task"] == task) & rows["feature"].isin(features)]
        if not block.empty:
            axes = axis_names(panel)
            traces += [_stems(block, row_of, axes), _heads(block, row_of, axes)]
    panels = [Panel(heading=task, axis="coefficient (SD)") for task in tasks]
    names = [feature_name(name) for name in features]
    layouts = facet_layouts(panels, names, same_scale=True, height=22, narrow_letters=24)
    note = ""
    if total > len(features):
        note = f"The {len(features)} most often chosen of {total} features; the table has all."
    return View(data=traces, layouts=layouts, note=note)


def _stems(rows: pd.DataFrame, row_of: dict[str, int], axes: dict[str, str]) -> dict[str, Any]:
    x: list[float | int | None] = []
    y: list[int | None] = []
    for feature, coefficient in zip(rows["feature"], rows["coefficient"], strict=True):
        x += [0, *numbers([coefficient]), None]
        y += [row_of[feature], row_of[feature], None]
    return {
        "type": "scatter",
        "mode": "lines",
        "x": x,
        "y": y,
        "line": {"color": "--muted", "width": 1},
        "hoverinfo": "skip",
        **axes,
    }


def _heads(rows: pd.DataFrame, row_of: dict[str, int], axes: dict[str, str]) -> dict[str, Any]:
    colours = ["--high" if value > 0 else "--low" for value in rows["coefficient"]]
    chosen = rows["selected"].fillna(0.0).clip(0, 1)
    least, most = _SIZES
    return {
        "type": "scatter",
        "mode": "markers",
        "x": numbers(rows["coefficient"]),
        "y": [row_of[feature] for feature in rows["feature"]],
        "marker": {
            "color": [
                colour if stable else "--ground"
                for colour, stable in zip(colours, is_stable(rows), strict=True)
            ],
            "size": numbers(least + (most - least) * chosen, digits=3),
            "opacity": 1,
            "line": {"color": colours, "width": 1.8},
        },
        "hovertext": [_hover(row) for row in rows.to_dict("records")],
        "hoverinfo": "text",
        "cliponaxis": False,
        **axes,
    }


def is_stable(rows: pd.DataFrame) -> list[bool]:
    """Chosen in half of the resamples or more, with one sign in 90 % of them or more."""
    chosen = rows["selected"].to_numpy(np.float64) >= _CHOSEN
    sign = rows["sign"].to_numpy(np.float64) >= _SAME_SIGN
    return [bool(value) for value in chosen & sign]


def _hover(row: dict[Any, Any]) -> str:
    name = shorten(feature_name(row["feature"]), most=60)
    text = f"<b>{plotly_text(name)}</b><br>coefficient {number(row['coefficient'])}"
    if np.isfinite(row["selected"]):
        text += f"<br>chosen in {row['selected']:.0%} of the resamples"
    if np.isfinite(row["sign"]):
        text += f"<br>the same sign in {row['sign']:.0%} of them"
    return text
