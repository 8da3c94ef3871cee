"""The headline of the page: what was found, in one sentence, and the numbers behind it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from mgm_jax.analysis import Collapse, collapse_statement
from mgm_jax.analysis.collapse.families import CONTROL_FAMILY
from mgm_jax.errors import InputError
from mgm_jax.report.data.definitions import define
from mgm_jax.report.data.strengths import at_reference_strength
from mgm_jax.report.data.tables import StudyTables, read_tables
from mgm_jax.report.text.labels import number, shorten
from mgm_jax.report.text.verdict import Verdict, judge_prediction

_NAME_LETTERS = 40
# These follow from other key metrics, so they do not compete for the headline.
_NOT_IN_HEADLINE = ("nnk_affinity", "knn_distance")


@dataclass(frozen=True, kw_only=True)
class Headline:
    """What stands at the top of the page.

    Attributes:
        title: the finding in one sentence.
        lead: the numbers behind it.
    """

    title: str
    lead: str


def headline_of_results(folder: str | Path) -> Headline:
    """The headline of finished results, for a terminal.

    Raises:
        InputError: a table is missing, empty, damaged, or lacks columns.
    """
    tables = read_tables(Path(folder))
    return find_headline(tables, judge_collapse(tables))


def judge_collapse(tables: StudyTables) -> Collapse | None:
    """The collapse of untrained encoders, or None where the study has none of them."""
    try:
        return collapse_statement(tables.groups, tables.models)
    except InputError:
        return None


def find_headline(tables: StudyTables, collapse: Collapse | None) -> Headline:
    """The verdict on transfer prediction, else on collapse, else the largest difference.

    A prediction that does not beat the baselines is said first, like one that does.
    """
    verdicts = judge_prediction(tables.optional.prediction)
    if verdicts:
        return _of_prediction(verdicts)
    if collapse is not None and collapse.claim != "untested":
        return Headline(title=collapse.headline, lead=collapse.statement)
    rows = _candidates(tables)
    if rows.empty:
        # Controls are no finding beside encoders; a study of nothing else is about them.
        rows = _candidates(tables, controls=True)
    if len(set(rows["model"])) >= 2:
        gap = _largest_gap(rows, percent=tables.percent)
        if gap is not None:
            return gap
    return _describe(rows, tables)


def _of_prediction(verdicts: list[Verdict]) -> Headline:
    first, *others = verdicts
    lead = first.lead
    for other in others:
        lead += (
            f" With one {other.held_out} held out at a time they are ahead on {other.ahead} of "
            f"{len(other.tasks)}."
        )
    return Headline(title=first.title, lead=lead)


def _candidates(tables: StudyTables, *, controls: bool = False) -> pd.DataFrame:
    """Rows that may make the headline: key metrics on the first image set, of no control."""
    metrics = [name for name in tables.key_metrics if name not in _NOT_IN_HEADLINE]
    rows = at_reference_strength(tables.summary)
    inside = (rows["images"] == tables.image_sets[0]) & rows["metric"].isin(metrics)
    of_kind = (rows["family"] == CONTROL_FAMILY) == controls
    return rows.loc[inside & of_kind & rows["mean"].notna()]


def _largest_gap(rows: pd.DataFrame, *, percent: str) -> Headline | None:
    """The setting and metric whose extremes lie furthest apart, in widths of an interval."""
    best: tuple[float, pd.DataFrame] | None = None
    for _, cell in rows.groupby(["setting", "metric"], sort=False):
        widths = cell["high"].to_numpy(np.float64) - cell["low"].to_numpy(np.float64)
        widths = widths[np.isfinite(widths)]
        width = float(np.median(widths)) if widths.size else 0.0
        gap = float(np.ptp(cell["mean"].to_numpy(np.float64)))
        if width > 0 and (best is None or gap / width > best[0]):
            best = gap / width, cell
    if best is None:
        return None
    ratio, cell = best
    if ratio < 1:
        return Headline(
            title="No metric separates the encoders beyond its intervals.",
            lead=f"The largest gap, in {_where(cell)}, is {ratio:.1f} widths of an interval.",
        )
    by_mean = cell.sort_values("mean").to_dict("records")
    low, high = by_mean[0], by_mean[-1]
    title = (
        f"The encoders differ most in {_where(cell)}: from {number(low['mean'])} "
        f"({shorten(low['model'], most=_NAME_LETTERS)}) to {number(high['mean'])} "
        f"({shorten(high['model'], most=_NAME_LETTERS)})."
    )
    lead = (
        f"The gap between the two, with {percent} intervals {_bounds(low)} and {_bounds(high)}, is "
        f"{ratio:.1f} times the width of a typical interval: the largest such ratio over all "
        f"settings and metrics, among {cell['model'].nunique()} encoders."
    )
    return Headline(title=title, lead=lead)


def _where(cell: pd.DataFrame) -> str:
    return f"{define(cell['metric'].iloc[0]).label} {_on(cell['setting'].iloc[0])}"


def _on(setting: str) -> str:
    return "on semantic manifolds" if setting == "semantic" else f"under {setting}"


def _bounds(row: Any) -> str:
    return f"{number(row['low'])} to {number(row['high'])}"


def _describe(rows: pd.DataFrame, tables: StudyTables) -> Headline:
    """One encoder has nothing to be compared with: say what its manifolds are like."""
    if rows.empty:
        return Headline(
            title="No metric could be measured.",
            lead="Every value is missing; what was left out is named below.",
        )
    metric = rows["metric"].iloc[0]
    cells = rows.loc[rows["metric"] == metric].drop_duplicates("setting")
    values = [f"{number(row['mean'])} {_on(row['setting'])}" for row in cells.to_dict("records")]
    name = shorten(str(rows["model"].iloc[0]), most=_NAME_LETTERS)
    return Headline(
        title=f"{name} has an {define(metric).label} of {values[0]}.".replace(" an rel", " a rel"),
        lead=f"Under the other settings: {', '.join(values[1:])}."
        if len(values) > 1
        else f"Measured on {len(tables.groups):,} groups.",
    )
