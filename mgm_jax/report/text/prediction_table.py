"""How well transfer is predicted, as a table: the metrics beside every baseline."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from mgm_jax.report.text.labels import number, shorten
from mgm_jax.report.text.names import (
    MGM,
    held_out_name,
    ordered_predictors,
    ordered_ways,
    predictors_name,
)
from mgm_jax.report.text.number_tables import (
    Cell,
    NumberTable,
    Row,
    empty_cell,
    interval_cell,
    text_cell,
)
from mgm_jax.report.text.verdict import SIGNIFICANT, judge_prediction

#: Columns of the table ``prediction`` that say how well, with words for a button and an axis.
SCORES = (
    ("r2", "R²", "R² of held-out predictions"),
    ("spearman", "Spearman", "Spearman's rank correlation"),
    ("kendall", "Kendall", "weighted Kendall's τ"),
)
_NAME_LETTERS = 40
_MODEL_LETTERS = 20


def prediction_tables(prediction: pd.DataFrame) -> list[NumberTable]:
    """All scores with intervals and p-values, a table a way of holding out."""
    ways = ordered_ways(prediction["held_out"])
    return [_table(prediction.loc[prediction["held_out"] == way], way) for way in ways]


def has_values(rows: pd.DataFrame, column: str) -> bool:
    """Whether a column has a value anywhere."""
    return bool(rows[column].notna().to_numpy().any())


def _table(rows: pd.DataFrame, way: str) -> NumberTable:
    ahead = {
        task.task: task.ahead
        for verdict in judge_prediction(rows)
        for task in verdict.tasks
        if verdict.held_out == way
    }
    order = {name: at for at, name in enumerate(ordered_predictors(rows))}
    columns = [("Predictors", "what the prediction is made from")]
    columns += [(label, axis) for name, label, axis in SCORES if has_values(rows, name)]
    columns += [
        ("p (Holm)", "permutation p-value of the held-out R², over all tasks, and by itself"),
        ("Random R²", "R² that as many random features reach: median, and upper end"),
        *(
            [("Largest error", "share of the squared error that is one model's, and which")]
            if has_values(rows, "worst_share")
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
    for score, _, _ in SCORES:
        if has_values(rows, score):
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
        *([_largest_error(row)] if has_values(rows, "worst_share") else []),
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
