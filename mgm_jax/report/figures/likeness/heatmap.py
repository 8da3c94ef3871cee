"""Which encoders are alike: every metric of every model as a heat map, with the tree beside it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from mgm_jax.analysis import ModelClusters, cluster_models
from mgm_jax.errors import InputError
from mgm_jax.report.data.definitions import KEY_METRICS, PANEL_METRICS, define
from mgm_jax.report.data.tables import StudyTables
from mgm_jax.report.figures.facets import STILL, Layout, label_margin, name_ticks
from mgm_jax.report.figures.figure import Figure, View, image_choice, numbers
from mgm_jax.report.figures.legend import Legend
from mgm_jax.report.figures.likeness.dendrogram import (
    Tree,
    strip_trace,
    tree_of_clusters,
    tree_of_tables,
    tree_traces,
)
from mgm_jax.report.text.labels import hover_name, number, plotly_text

# Pixels.
_ROW = 19
_CELL = 15
_TOP, _RIGHT = 40, 16
_LETTER = 6.8  # length of one letter of a column label
_TREE = 0.16  # share of the width
_STRIP = 0.02  # share of the width: marks in the colours of the encoders
_GAP = 0.4  # width of the gap between groups of columns, in cells
_LIMIT = 2.5  # standard deviations at which the colour scale ends
# A score for classes, not a shape: shown, but the tree is made without it.
_NOT_CLUSTERED = ("knn_accuracy",)
_WHOLE_MODEL = "whole model"


@dataclass(frozen=True, kw_only=True)
class HeatColumn:
    """One column of the heat map: where it is in the table, and its two headings."""

    name: str
    metric: str
    section: str


def heatmap_figure(tables: StudyTables, legend: Legend) -> Figure | None:
    """Heat map and tree of each image set; None with fewer than two models."""
    views = {}
    for images in tables.image_sets:
        models = tables.models.loc[tables.models["images"] == images].drop_duplicates("model")
        columns = heat_columns(models)
        if len(models) >= 2 and columns:
            views[(images,)] = _view(tables, images, models.set_index("model"), columns, legend)
    if not views:
        return None
    choices = (image_choice([images for (images,) in views]),)
    return Figure(name="heatmap", choices=choices, views=views)


def heat_columns(models: pd.DataFrame) -> list[HeatColumn]:
    """Key metrics of each setting, then the values of the whole model."""
    columns = []
    for name in map(str, models.columns):
        section, dot, metric = name.rpartition(".")
        known = metric in KEY_METRICS if dot else metric in PANEL_METRICS
        if known and bool(models[name].notna().any()):
            columns.append(HeatColumn(name=name, metric=metric, section=section or _WHOLE_MODEL))
    # Other strengths repeat what strength 1 shows; they stay where a setting has only those.
    at_one = {column.section for column in columns if "@" not in column.section}
    kept = [
        column
        for column in columns
        if "@" not in column.section or column.section.split("@")[0] not in at_one
    ]
    sections = list(dict.fromkeys(column.section for column in kept))
    metrics = (*KEY_METRICS, *PANEL_METRICS)
    return sorted(
        kept,
        key=lambda column: (
            column.section == _WHOLE_MODEL,
            sections.index(column.section),
            metrics.index(column.metric),
        ),
    )


def clustered_columns(columns: list[HeatColumn]) -> list[str]:
    """Names of the columns by which models are compared."""
    return [column.name for column in columns if column.metric not in _NOT_CLUSTERED]


def _view(
    tables: StudyTables,
    images: str,
    models: pd.DataFrame,
    columns: list[HeatColumn],
    legend: Legend,
) -> View:
    clusters = _cluster(models, columns)
    made = tree_of_clusters(clusters) if clusters else None
    given = tree_of_tables(tables, images, set(map(str, models.index)))
    tree = given or made
    order = list(tree.order if tree else (m for m in legend.models if m in models.index))
    rows = models.loc[order, [column.name for column in columns]].astype(float)
    traces = [_cells(rows, columns), strip_trace(order, legend, xaxis="x3")]
    if tree:
        traces += tree_traces(tree, legend.colour_of)
    layout = _layout(order, columns, tree=tree)
    note = _given_note(tables, images, given) if given else _note(clusters)
    return View(data=traces, layouts=[layout], note=note)


def _cluster(models: pd.DataFrame, columns: list[HeatColumn]) -> ModelClusters | None:
    if len(models) < 3:
        return None
    names = clustered_columns(columns)
    try:
        return cluster_models(models.loc[:, names].astype(float))
    except InputError:
        # No column is there for every model: the cells are still worth showing.
        return None


def _edges(columns: list[HeatColumn]) -> tuple[list[float], list[int]]:
    """Left edges of the cells (one more at the end) and the place of each column among them.

    Between groups of columns lies an empty cell, narrower than the others.
    """
    edges, positions = [0.0], []
    for index, column in enumerate(columns):
        if index and column.section != columns[index - 1].section:
            edges.append(edges[-1] + _GAP)
        positions.append(len(edges) - 1)
        edges.append(edges[-1] + 1.0)
    return edges, positions


def _cells(rows: pd.DataFrame, columns: list[HeatColumn]) -> dict[str, Any]:
    values = rows.to_numpy(np.float64)
    spread = rows.std(ddof=0).to_numpy(np.float64)
    # A constant column has no standardised value: it stays at the middle of the scale.
    safe = np.where(spread > 1e-12 * np.nanmax(np.abs(values), axis=0, initial=0.0), spread, np.inf)
    standardised = (values - rows.mean().to_numpy(np.float64)) / safe
    edges, positions = _edges(columns)
    shown: list[list[float | int | None]] = []
    hover: list[list[str]] = []
    for model, row, raw in zip(rows.index, standardised, values, strict=True):
        line: list[float | int | None] = [None] * (len(edges) - 1)
        text = [""] * (len(edges) - 1)
        for column, position, z, value in zip(
            columns, positions, numbers(row, digits=3), raw, strict=True
        ):
            line[position] = z
            text[position] = (
                f"{hover_name(str(model))}<br>{plotly_text(column.section)}: "
                f"{define(column.metric).label} {number(value)}"
            )
        shown.append(line)
        hover.append(text)
    return {
        "type": "heatmap",
        "x": numbers(edges),
        "y": [row - 0.5 for row in range(len(rows) + 1)],
        "z": shown,
        "zmin": -_LIMIT,
        "zmax": _LIMIT,
        "colorscale": [[0, "--low"], [0.5, "--middle"], [1, "--high"]],
        "xgap": 1,
        "ygap": 1,
        "hovertext": hover,
        "hoverinfo": "text",
        "hoverongaps": False,
        # The page draws the scale itself, above the figure.
        "showscale": False,
    }


def _layout(names: list[str], columns: list[HeatColumn], *, tree: Tree | None) -> Layout:
    labels, left = label_margin(names, narrow=False)
    edges, positions = _edges(columns)
    share = 1 - _TREE if tree else 1.0
    ticks = [define(column.metric).label for column in columns]
    bottom = round(_LETTER * max(map(len, ticks))) + 16
    layout: dict[str, Any] = {
        "height": max(4, len(names)) * _ROW + _TOP + bottom,
        "margin": {"l": left, "r": _RIGHT, "t": _TOP, "b": bottom},
        **STILL,
        "annotations": [_section_heading(*item) for item in _sections(columns, edges, positions)],
        "xaxis": {
            "domain": [_STRIP, share - (0.01 if tree else 0)],
            "range": [0, edges[-1]],
            **name_ticks([edges[position] + 0.5 for position in positions], ticks),
            "tickangle": -90,
        },
        "yaxis": {
            # Labels stand left of the marks, not left of the cells.
            "anchor": "free",
            "position": 0,
            "range": [len(names) - 0.5, -0.5],
            **name_ticks(range(len(names)), labels),
        },
    }
    layout["xaxis3"] = {
        "domain": [0, _STRIP],
        "anchor": "y",
        "range": [0, 1],
        "visible": False,
        "fixedrange": True,
    }
    if tree:
        height = float(tree.linkage[:, 2].max(initial=0.0)) or 1.0
        layout["xaxis2"] = {
            "domain": [share, 1],
            "anchor": "y",
            "title": {"text": "Ward height", "standoff": 8},
            "range": [0, round(1.03 * height, 6)],
            "nticks": 3,
            "showgrid": False,
            "zeroline": False,
            "fixedrange": True,
        }
    # Below this width the cells would be too narrow: the page scrolls the figure sideways.
    layout["minimum_width"] = round((left + _CELL * edges[-1]) / (share - _STRIP)) + _RIGHT
    return Layout(min_width=0, layout=layout)


def _sections(
    columns: list[HeatColumn], edges: list[float], positions: list[int]
) -> list[tuple[str, float]]:
    """Heading and left edge of every group of columns."""
    return [
        (column.section, edges[positions[index]])
        for index, column in enumerate(columns)
        if index == 0 or column.section != columns[index - 1].section
    ]


def _section_heading(section: str, edge: float) -> dict[str, Any]:
    return {
        "text": f"<b>{plotly_text(section)}</b>",
        "xref": "x",
        "yref": "y domain",
        "x": edge,
        "y": 1,
        "xanchor": "left",
        "yanchor": "bottom",
        "yshift": 6,
        "showarrow": False,
    }


def _given_note(tables: StudyTables, images: str, tree: Tree) -> str:
    """Number of groups, and whether they agree with what is known of the encoders."""
    note = "Ward linkage on standardised columns. "
    if tree.groups < 2:
        return note + "The encoders form one group."
    note += f"The dotted line cuts the tree into {tree.groups} groups."
    every = tables.optional.cluster_agreement
    every = every.loc[every["images"] == images]
    rows = every.loc[every["chosen"]]
    known = rows.loc[rows["ari"].notna()]
    parts = [_agreement(row, "p_value") for row in known.to_dict("records")]
    if parts:
        note += (
            " Agreement of the groups with what is known of the encoders, as adjusted Rand index "
            f"(1: identical, 0: chance): {', '.join(parts)}."
        )
    others = every.loc[~every["chosen"] & every["ari"].notna()]
    for against, cuts in others.groupby("against", sort=False):
        best = cuts.loc[cuts["ari"].idxmax()].to_dict()
        mine = known.loc[known["against"] == against, "ari"]
        if len(mine) and best["ari"] > float(mine.iloc[0]):
            note += (
                f" Of all cuts the one into {int(best['groups'])} groups agrees best: "
                f"{_agreement(best, 'p_any')}, allowing for the search."
            )
    stability = rows["stability"].dropna()
    if len(stability):
        note += f" Stability of the groups under resampling: {number(float(stability.iloc[0]))}."
    return note


def _agreement(row: dict[Any, Any], p_value: str) -> str:
    p = f" (p = {number(row[p_value])})" if np.isfinite(row[p_value]) else ""
    return f"{row['against']} {number(row['ari'])}{p}"


def _note(clusters: ModelClusters | None) -> str:
    if clusters is None:
        return "The tree needs three models or more and columns that all of them have."
    note = (
        f"Ward linkage on {len(clusters.columns)} standardised columns, without the k-NN accuracy. "
    )
    if clusters.groups > 1:
        note += (
            f"The silhouette is largest at {clusters.groups} groups ({clusters.silhouette:.2f}); "
            "the dotted line cuts the tree there."
        )
    if clusters.left_out:
        note += f" Left out of the tree: {len(clusters.left_out)} columns, constant or incomplete."
    return note
