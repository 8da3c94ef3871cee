"""Scores of every encoder on every target, as tables."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pandas as pd

from mgm_jax.report.data.optional_tables import OptionalTables
from mgm_jax.report.text.labels import shorten
from mgm_jax.report.text.names import measure_name, metric_name, ordered_measures
from mgm_jax.report.text.number_tables import NumberTable, empty_cell, interval_cell, model_rows

if TYPE_CHECKING:
    from mgm_jax.report.figures.legend import Legend


def probe_tables(tables: OptionalTables, legend: Legend) -> list[NumberTable]:
    """A table a measure: encoders by targets, with intervals."""
    scores = tables.finite_scores()
    return [
        _table(measure, scores.loc[scores["measure"] == measure], legend)
        for measure in ordered_measures(scores)
    ]


def _table(measure: str, scores: pd.DataFrame, legend: Legend) -> NumberTable:
    metric_of = dict(zip(scores["images"], scores["metric"], strict=True))
    cells = {
        (row["model"], row["images"]): interval_cell(row["value"], row["low"], row["high"])
        for row in scores.to_dict("records")
    }
    missing = empty_cell()
    return NumberTable(
        key=(shorten(measure_name(measure), most=40),),
        columns=tuple(
            (shorten(target, most=24), f"{target}: {metric_name(metric)}")
            for target, metric in metric_of.items()
        ),
        rows=model_rows(
            legend.of(scores["model"]),
            lambda model: [cells.get((model, target), missing) for target in metric_of],
        ),
    )
