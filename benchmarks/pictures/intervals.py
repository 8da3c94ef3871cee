"""Dots with intervals: a row an encoder, a column a metric, a block a setting."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import matplotlib
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from benchmarks.pictures.style import COLOURS, STYLE
from mgm_jax.report.data.definitions import define
from mgm_jax.report.data.strengths import at_reference_strength
from mgm_jax.report.data.tables import read_tables
from mgm_jax.report.figures.legend import Legend, make_legend
from mgm_jax.report.text.labels import short_labels

METRICS = ("nnk_degree", "nnk_diameter", "nnk_affinity_excess")
_ROW_INCHES = 0.2


def draw_intervals(
    results: Path,
    path: Path,
    *,
    metrics: Sequence[str] = METRICS,
    settings: Sequence[str] | None = None,
    images: str | None = None,
) -> None:
    """Draw the means of the table ``summary`` with their intervals.

    Args:
        results: folder of a finished study.
        path: picture to write; its suffix (.png, .svg, .pdf) is the format.
        metrics: columns of the picture.
        settings: blocks of the picture; None takes ``semantic`` and the first view setting.
        images: the image set; None takes the first.
    """
    tables = read_tables(results)
    settings = settings or tables.settings[:2]
    rows = at_reference_strength(
        tables.summary.loc[tables.summary["images"] == (images or tables.image_sets[0])]
    )
    legend = make_legend(rows)
    names = legend.models
    with matplotlib.rc_context(STYLE):
        figure = Figure(
            figsize=(2.5 * len(metrics) + 1.6, len(settings) * (_ROW_INCHES * len(names) + 0.75)),
            layout="constrained",
        )
        grid = figure.subplots(len(settings), len(metrics), squeeze=False, sharey=True)
        for line, setting in enumerate(settings):
            for column, metric in enumerate(metrics):
                cell = (rows["setting"] == setting) & (rows["metric"] == metric)
                _draw(grid[line, column], rows.loc[cell & rows["mean"].notna()], legend)
                grid[line, column].set_xlabel(define(metric).axis)
            grid[line, 0].set_title(f"{setting} manifolds", fontsize=10)
        grid[0, 0].set_yticks(range(len(names)), list(short_labels(names, most=24).values()))
        grid[0, 0].set_ylim(len(names) - 0.4, -0.6)
        if len(legend.entries) > 1:
            marks = [
                Line2D([], [], color=COLOURS[entry.colour], marker="o", markersize=4.6, lw=1.6)
                for entry in legend.entries
            ]
            labels = short_labels((entry.name for entry in legend.entries), most=24)
            figure.legend(marks, list(labels.values()), loc="outside lower center", ncols=4)
        figure.savefig(path, dpi=200)


def _draw(axes: Axes, rows: pd.DataFrame, legend: Legend) -> None:
    row_of = {model: row for row, model in enumerate(legend.models)}
    for model, mean, low, high in rows[["model", "mean", "low", "high"]].itertuples(index=False):
        colour = COLOURS[legend.colour_of[model]]
        axes.plot([low, high], [row_of[model]] * 2, color=colour, linewidth=1.6)
        axes.plot(mean, row_of[model], "o", color=colour, markersize=4.6)
    axes.locator_params(axis="x", nbins=5)
    axes.spines["left"].set_visible(False)
