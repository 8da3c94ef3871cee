"""Metrics against the relative depth: a panel a metric, a line a network."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import matplotlib
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from benchmarks.pictures.style import COLOURS, STYLE
from mgm_jax.analysis import WHOLE_MODEL
from mgm_jax.errors import InputError
from mgm_jax.report.data.definitions import define
from mgm_jax.report.data.strengths import at_reference_strength
from mgm_jax.report.data.tables import read_tables
from mgm_jax.report.figures.layer_profile import line_colours
from mgm_jax.report.figures.legend import make_legend
from mgm_jax.report.text.labels import short_labels

METRICS = ("mean_cosine", "semantic.nnk_degree", "semantic.nnk_diameter")
_DASHES = {"solid": "-", "dash": "--", "dot": ":", "dashdot": "-."}


def draw_depth(
    results: Path, path: Path, *, metrics: Sequence[str] = METRICS, images: str | None = None
) -> None:
    """Draw metrics of every layer, with bands over seeds or groups.

    Args:
        results: folder of a study with ``taps: all``.
        path: picture to write; its suffix (.png, .svg, .pdf) is the format.
        metrics: panels; ``setting.metric`` for a mean over manifolds, such as
            ``semantic.nnk_degree``, and ``metric`` for one value a model, such as ``rankme``.
        images: the image set; None takes the first.

    Raises:
        InputError: no encoder was read layer by layer.
    """
    tables = read_tables(results)
    if tables.layers is None:
        raise InputError(f"{results}: no encoder was read layer by layer (`taps: all`)")
    profile = at_reference_strength(tables.layers)
    profile = profile.loc[profile["images"] == (images or tables.image_sets[0])]
    colours = line_colours(profile, make_legend(tables.models))
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(2.75 * len(metrics) + 0.3, 2.9), layout="constrained")
        panels = figure.subplots(1, len(metrics), squeeze=False)[0]
        for axes, panel in zip(panels, metrics, strict=True):
            setting, dot, metric = panel.rpartition(".")
            inside = profile["setting"] == (setting if dot else WHOLE_MODEL)
            _draw(axes, profile.loc[inside & (profile["metric"] == metric)], colours)
            axes.set_title(f"{setting} manifolds" if dot else "different images")
            axes.set_xlabel("relative depth")
            axes.set_ylabel(define(metric).axis)
        marks = {
            label: mark
            for axes in panels
            for mark, label in zip(*axes.get_legend_handles_labels(), strict=True)
        }
        figure.legend(
            list(marks.values()), list(marks), loc="outside lower center", ncols=min(len(marks), 4)
        )
        figure.savefig(path, dpi=160)


def _draw(axes: Axes, rows: pd.DataFrame, colours: dict[str, tuple[str, str]]) -> None:
    short = short_labels(colours, most=24)
    for line, points in rows.groupby("line", sort=False):
        name, dash = colours[str(line)]
        colour = COLOURS[name]
        seeds = int(points["seeds"].to_numpy().max())
        label = short[str(line)] + f" ({seeds} seeds)" * (seeds > 1)
        if len(points) == 1:
            # An encoder of one layer is a level to compare with.
            axes.axhline(points["mean"].iloc[0], color=colour, linestyle=":", lw=1.6, label=label)
            continue
        low, high = points["low"].to_numpy(), points["high"].to_numpy()
        axes.fill_between(points["depth"].to_numpy(), low, high, color=colour, alpha=0.22, lw=0)
        axes.plot(
            points["depth"],
            points["mean"],
            color=colour,
            linestyle=_DASHES[dash],
            marker="o",
            markersize=3,
            linewidth=1.4,
            label=label,
        )
    axes.locator_params(nbins=5)
