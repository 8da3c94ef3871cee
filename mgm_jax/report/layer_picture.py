"""Metrics against depth as a picture for documents, drawn by Matplotlib."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from mgm_jax.analysis import WHOLE_MODEL
from mgm_jax.errors import InputError, name_some
from mgm_jax.report.data.tables import read_tables
from mgm_jax.report.figures.dots import at_reference_strength
from mgm_jax.report.figures.layer_profile import line_colours
from mgm_jax.report.figures.legend import make_legend
from mgm_jax.report.picture import COLOURS, GRID, STYLE, import_matplotlib
from mgm_jax.report.text.definitions import define
from mgm_jax.report.text.labels import short_labels

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_METRICS = ("mean_cosine", "semantic.nnk_degree", "semantic.nnk_diameter")
_DASHES = {"solid": "-", "dash": "--", "dot": ":", "dashdot": "-."}


def layer_picture(
    folder: str | Path,
    path: str | Path,
    *,
    metrics: Sequence[str] = _METRICS,
    images: str | None = None,
) -> Path:
    """Draw metrics against the relative depth: a panel a metric, a line a network.

    Args:
        folder: results of a study with ``taps: all``.
        path: picture to write; its suffix (.png, .svg, .pdf) is the format.
        metrics: panels; ``setting.metric`` for a mean over manifolds, such as
            ``semantic.nnk_degree``, and ``metric`` for one value a model, such as ``rankme``.
        images: the image set; None takes the first.

    Raises:
        InputError: Matplotlib is not installed, no encoder was read layer by layer, or a metric
            or image set is unknown.

    Example::

        layer_picture("out", "depth.png", metrics=["mean_cosine", "augs.nnk_diameter"])
    """
    matplotlib = import_matplotlib()
    tables = read_tables(Path(folder))
    if tables.layers is None:
        raise InputError(
            f"{folder}: no encoder was read layer by layer; give it `taps: all` in the study"
        )
    if images is not None and images not in tables.image_sets:
        raise InputError(f"images: expected one of {name_some(tables.image_sets)}, got {images!r}.")
    profile = at_reference_strength(tables.layers)
    profile = profile.loc[profile["images"] == (images or tables.image_sets[0])]
    profile = profile.assign(panel=_panel_names(profile))
    known = list(dict.fromkeys(profile["panel"]))
    for metric in metrics:
        if metric not in known:
            raise InputError(
                f"metrics: expected some of {name_some(known, most=30)}, got {metric!r}."
            )
    colours = line_colours(profile, make_legend(tables.models))

    from matplotlib.figure import Figure

    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(2.75 * len(metrics) + 0.3, 2.9), layout="constrained")
        for axes, metric in zip(
            figure.subplots(1, len(metrics), squeeze=False)[0], metrics, strict=True
        ):
            rows = profile.loc[profile["panel"] == metric]
            setting, name = rows["setting"].iloc[0], rows["metric"].iloc[0]
            _draw(axes, rows, colours)
            axes.set_title(
                "different images" if setting == WHOLE_MODEL else f"{setting} manifolds",
                loc="left",
                fontweight="bold",
            )
            axes.set_xlabel("relative depth")
            axes.set_ylabel(define(name).axis)
        marks = dict(mark for axes in figure.axes for mark in _marks(axes))
        figure.legend(
            list(marks.values()),
            list(marks),
            loc="outside lower center",
            ncols=min(len(marks), 4),
            frameon=False,
        )
        figure.savefig(path, dpi=160, facecolor="white")
    return Path(path)


def _panel_names(profile: pd.DataFrame) -> list[str]:
    return [
        metric if setting == WHOLE_MODEL else f"{setting}.{metric}"
        for setting, metric in zip(profile["setting"], profile["metric"], strict=True)
    ]


def _marks(axes: Axes) -> list[tuple[str, Any]]:
    """Label and line of everything that the panel names."""
    handles, labels = axes.get_legend_handles_labels()
    return list(zip(labels, handles, strict=True))


def _draw(axes: Axes, rows: pd.DataFrame, colours: dict[str, tuple[str, str]]) -> None:
    short = short_labels(colours, most=24)
    for line, points in rows.groupby("line", sort=False):
        name, dash = colours[str(line)]
        colour = COLOURS[name]
        seeds = int(points["seeds"].to_numpy().max())
        label = short[str(line)].replace("$", r"\$") + f" ({seeds} seeds)" * (seeds > 1)
        if len(points) == 1:
            # An encoder of one layer is a level to compare with.
            axes.axhline(points["mean"].iloc[0], color=colour, linestyle=":", lw=1.6, label=label)
            continue
        axes.fill_between(
            points["depth"].to_numpy(),
            points["low"].to_numpy(),
            points["high"].to_numpy(),
            color=colour,
            alpha=0.22,
            linewidth=0,
        )
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
    axes.grid(color=GRID, linewidth=0.6)
    axes.set_axisbelow(True)
    axes.tick_params(length=0)
    axes.locator_params(nbins=5)
    axes.spines[["top", "right"]].set_visible(False)
