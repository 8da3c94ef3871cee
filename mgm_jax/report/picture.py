"""The picture of the documents: means with intervals of each encoder, drawn by Matplotlib."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from mgm_jax.errors import InputError, name_some
from mgm_jax.report.figures.dots import at_reference_strength
from mgm_jax.report.figures.legend import Legend, make_legend
from mgm_jax.report.text.definitions import define
from mgm_jax.report.text.labels import short_labels

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_METRICS = ("nnk_degree", "nnk_diameter", "nnk_affinity_excess")
# Okabe and Ito 2008, in the order of the report.
COLOURS = {
    "--series-1": "#0072B2",
    "--series-2": "#D55E00",
    "--series-3": "#009E73",
    "--series-4": "#CC79A7",
    "--series-5": "#E69F00",
    "--series-6": "#56B4E9",
    "--series-7": "#8F8400",
    "--series-control": "#6D747C",
}
_INK, _MUTED, GRID = "#1B1F24", "#646C76", "#E6E8EB"
STYLE: dict[Any, Any] = {
    "font.family": ["DejaVu Sans"],
    "font.size": 8.5,
    "text.color": _INK,
    "axes.labelcolor": _MUTED,
    "axes.edgecolor": GRID,
    "xtick.color": _MUTED,
    "ytick.color": _INK,
    "svg.hashsalt": "mgm_jax",
}
_ROW_INCHES = 0.2


def mgm_figure(
    summary_df: pd.DataFrame,
    path: str | Path,
    *,
    metrics: Sequence[str] = _METRICS,
    settings: Sequence[str] | None = None,
    images: str | None = None,
) -> Path:
    """Draw dots with intervals: a row an encoder, a column a metric, a block a setting.

    Args:
        summary_df: table ``summary`` of a study (long form).
        path: picture to write; its suffix (.png, .svg, .pdf) is the format.
        metrics: columns of the picture.
        settings: blocks of the picture; None takes ``semantic`` and the first view setting.
        images: the image set; None takes the first.

    Raises:
        InputError: Matplotlib is not installed, or a metric, setting or image set is unknown.

    Example::

        mgm_figure(pd.read_parquet("out/summary.parquet"), "picture.png")
    """
    matplotlib = import_matplotlib()
    rows = summary_df.assign(model=summary_df["encoder"].astype(str))
    images = _one_of("images", images, rows["images"])
    rows = rows.loc[rows["images"] == images]
    settings = _settings(settings, rows)
    for metric in metrics:
        _one_of("metrics", metric, rows["metric"])
    shown = at_reference_strength(rows.fillna({"strength": 1.0}))
    legend = make_legend(rows)
    names = legend.models

    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D

    with matplotlib.rc_context(STYLE):
        figure = Figure(
            figsize=(2.5 * len(metrics) + 1.6, len(settings) * (_ROW_INCHES * len(names) + 0.75)),
            layout="constrained",
        )
        grid = figure.subplots(len(settings), len(metrics), squeeze=False, sharey=True)
        for line, setting in enumerate(settings):
            inside = shown.loc[shown["setting"] == setting]
            for column, metric in enumerate(metrics):
                axes = grid[line, column]
                _draw(axes, inside.loc[inside["metric"] == metric], legend)
                axes.set_xlabel(define(metric).axis)
                if column == 0:
                    axes.set_title(
                        f"{setting} manifolds", loc="left", fontsize=10, fontweight="bold"
                    )
        labels = list(short_labels(names, most=24).values())
        grid[0, 0].set_yticks(range(len(names)), [label.replace("$", r"\$") for label in labels])
        grid[0, 0].set_ylim(len(names) - 0.4, -0.6)
        if len(legend.entries) > 1:
            marks = [
                Line2D([], [], color=COLOURS[entry.colour], marker="o", markersize=4.6, lw=1.6)
                for entry in legend.entries
            ]
            figure.legend(
                marks,
                [short.replace("$", r"\$") for short in _names(legend)],
                loc="outside lower center",
                ncols=4,
                frameon=False,
            )
        figure.get_layout_engine().set(wspace=0.05, hspace=0.06)  # pyright: ignore
        figure.savefig(path, dpi=200, facecolor="white")
    return Path(path)


def _names(legend: Legend) -> list[str]:
    return list(short_labels((entry.name for entry in legend.entries), most=24).values())


def import_matplotlib():
    """The library, or a clear error where it is missing."""
    try:
        import matplotlib
    except ImportError as error:
        raise InputError(
            "the picture needs Matplotlib, which is not installed: pip install 'mgm_jax[docs]'."
        ) from error
    return matplotlib


def _settings(settings: Sequence[str] | None, rows: pd.DataFrame) -> list[str]:
    known = sorted(dict.fromkeys(rows["setting"]), key=lambda name: name != "semantic")
    if settings is None:
        return known[:2]
    return [_one_of("settings", setting, rows["setting"]) for setting in settings]


def _one_of(argument: str, value: str | None, column: Iterable[str]) -> str:
    known = list(dict.fromkeys(map(str, column)))
    if not known:
        raise InputError("summary_df: expected at least one row, got none.")
    if value is not None and value not in known:
        raise InputError(f"{argument}: expected one of {name_some(known)}, got {value!r}.")
    return value or known[0]


def _draw(axes: Axes, rows: pd.DataFrame, legend: Legend) -> None:
    position = {model: row for row, model in enumerate(legend.models)}
    rows = rows.loc[rows["mean"].notna()]
    for model, mean, low, high in rows[["model", "mean", "low", "high"]].itertuples(index=False):
        colour = COLOURS[legend.colour_of[model]]
        axes.plot([low, high], [position[model]] * 2, color=colour, linewidth=1.6)
        axes.plot(mean, position[model], "o", color=colour, markersize=4.6)
    axes.grid(axis="both", color=GRID, linewidth=0.6)
    axes.set_axisbelow(True)
    axes.tick_params(length=0)
    axes.locator_params(axis="x", nbins=5)
    axes.spines[["top", "right", "left"]].set_visible(False)
