"""The tables of the page: numbers as text, with the value by which a column is sorted."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from mgm_jax.report.data.definitions import PANEL_METRICS, define
from mgm_jax.report.data.strengths import at_reference_strength
from mgm_jax.report.data.tables import StudyTables
from mgm_jax.report.text.labels import number, shorten

if TYPE_CHECKING:
    from mgm_jax.report.figures.legend import Legend

_NAME_LETTERS = 44


@dataclass(frozen=True, kw_only=True)
class Cell:
    """A number, or words.

    Attributes:
        text: what is shown.
        interval: what is shown below it in small type.
        value: the number by which the column is sorted; None where it is missing.
        words: the cell holds words and is sorted by them.
        strong: the cell is set in bold.
    """

    text: str
    interval: str
    value: float | None
    words: bool = False
    strong: bool = False


@dataclass(frozen=True, kw_only=True)
class Row:
    """One row: short and full name, its colour, what it shares with others, its numbers."""

    name: str
    full_name: str
    colour: str
    group: str
    cells: tuple[Cell, ...]
    strong: bool = False


@dataclass(frozen=True, kw_only=True)
class NumberTable:
    """A table of the page.

    Attributes:
        key: what is chosen to see it, such as image set and setting.
        columns: pairs of label and explanation.
        rows: one a model, or one a task and set of predictors.
    """

    key: tuple[str, ...]
    columns: tuple[tuple[str, str], ...]
    rows: tuple[Row, ...]


def number_tables(tables: StudyTables, legend: Legend) -> list[NumberTable]:
    """A table for each image set and setting, and one of the whole-model values."""
    shown = at_reference_strength(tables.summary)
    made = []
    for images in tables.image_sets:
        for setting in tables.settings:
            part = shown.loc[(shown["images"] == images) & (shown["setting"] == setting)]
            if not part.empty:
                made.append(_setting_table((images, setting), part, tables.key_metrics, legend))
        models = tables.models.loc[tables.models["images"] == images]
        metrics = [
            name
            for name in PANEL_METRICS
            if name in models.columns and bool(models[name].notna().any())
        ]
        if metrics:
            made.append(_model_table((images, "whole model"), models, metrics, legend))
    return made


def _setting_table(
    key: tuple[str, str], part: pd.DataFrame, metrics: list[str], legend: Legend
) -> NumberTable:
    cells = {(row["model"], row["metric"]): row for row in part.to_dict("records")}
    return NumberTable(
        key=key,
        columns=tuple(_heading(metric) for metric in metrics),
        rows=model_rows(
            legend.of(part["model"]),
            lambda model: [_cell(cells.get((model, metric))) for metric in metrics],
        ),
    )


def _model_table(
    key: tuple[str, str], models: pd.DataFrame, metrics: list[str], legend: Legend
) -> NumberTable:
    values = models.drop_duplicates("model").set_index("model")
    return NumberTable(
        key=key,
        columns=tuple(_heading(metric) for metric in metrics),
        rows=model_rows(
            legend.of(map(str, values.index)),
            lambda model: [_model_cell(values.loc[model], metric) for metric in metrics],
        ),
    )


def _model_cell(values: Any, metric: str) -> Cell:
    """The value of a whole model, with its interval where the table holds one."""
    low, high = values.get(f"{metric}_low"), values.get(f"{metric}_high")
    if low is None or high is None:
        return _plain(values[metric])
    return _cell({"mean": values[metric], "low": low, "high": high})


def _heading(metric: str) -> tuple[str, str]:
    definition = define(metric)
    return definition.label, f"{definition.formula}. {definition.reads}"


def model_rows(legend: Legend, cells_of: Callable[[str], Sequence[Cell]]) -> tuple[Row, ...]:
    """A row a model of a legend, group by group."""
    return tuple(
        Row(
            name=shorten(model, most=_NAME_LETTERS),
            full_name=model,
            colour=entry.colour,
            group=entry.name,
            cells=tuple(cells_of(model)),
        )
        for entry in legend.entries
        for model in entry.models
    )


def _cell(row: dict[Any, Any] | None) -> Cell:
    if row is None:
        return empty_cell()
    return interval_cell(row["mean"], row["low"], row["high"])


def interval_cell(value: float, low: float, high: float) -> Cell:
    """A number with its interval below it, where there is one."""
    if not np.isfinite(value):
        return empty_cell()
    bounded = np.isfinite(low) and np.isfinite(high)
    interval = _between(low, high) if bounded else ""
    return Cell(text=number(value), interval=interval, value=float(value))


def _between(low: float, high: float) -> str:
    # A dash before a minus sign would be hard to read.
    return f"{number(low)} {'to' if low < 0 else '–'} {number(high)}"


def text_cell(text: str, *, most: int) -> Cell:
    """Words, cut in the middle where they are longer than ``most`` letters."""
    return Cell(text=shorten(text, most=most), interval="", value=None, words=True)


def empty_cell(*, under: str = "") -> Cell:
    """What stands where a table has no number, perhaps with something in small type below it."""
    return Cell(text=number(float("nan")), interval=under, value=None)


def _plain(value: Any) -> Cell:
    return (
        Cell(text=number(value), interval="", value=float(value))
        if np.isfinite(value)
        else empty_cell()
    )
