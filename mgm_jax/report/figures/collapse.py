"""Untrained families side by side: one panel a measure of collapse."""

from __future__ import annotations

import math
from typing import Any

from mgm_jax.analysis import Collapse, Estimate, FamilyCollapse
from mgm_jax.analysis.collapse.families import MEASURES
from mgm_jax.report.figures.facets import Panel, axis_names, facet_layouts
from mgm_jax.report.figures.figure import Figure, View, numbers
from mgm_jax.report.figures.intervals import dots_with_intervals
from mgm_jax.report.figures.legend import Legend
from mgm_jax.report.text.labels import interval, number, plotly_text

_AXES = {
    "mean_cosine": ("different images", "mean cosine"),
    "nnk_diameter": ("semantic manifolds", "NNK diameter (distance)"),
    "typical_distance": ("neighbouring images", "typical distance"),
    "rankme": ("effective rank", "RankMe (dimensions)"),
}


def collapse_figure(collapse: Collapse, legend: Legend) -> Figure:
    """Estimates with intervals of every family, with its seeds as small dots behind."""
    rows = [family.name for family in collapse.families]
    measured = [
        measure.name
        for measure in MEASURES
        if any(measure.name in family.measures for family in collapse.families)
    ]
    traces: list[dict[str, Any]] = []
    for panel, name in enumerate(measured):
        axes = axis_names(panel)
        for row, family in enumerate(collapse.families):
            if name in family.measures:
                colour = legend.colour_of.get(family.encoders[0], "--series-control")
                traces.append(_seeds(family, name, row, colour, axes))
                traces.append(_estimate(family, name, row, colour, axes))
    panels = [Panel(heading=_AXES[name][0], axis=_AXES[name][1]) for name in measured]
    layouts = facet_layouts(panels, rows, same_scale=False, height=38)
    if measured[0] == "mean_cosine":
        for layout in layouts:
            layout.layout["shapes"] = [_threshold(collapse.threshold, len(rows))]
    view = View(data=traces, layouts=layouts)
    return Figure(name="collapse", choices=(), views={(): view})


def difference_rows(collapse: Collapse) -> list[dict[str, str]]:
    """Paired differences in the mean cosine and the NNK diameter, as text for a table."""
    names = {family.family: family.name for family in collapse.families}
    labels = {measure.name: measure.label for measure in MEASURES}
    return [
        {
            "measure": labels[row["measure"]],
            "pair": f"{names[row['family']]} − {names[row['other']]}",
            "difference": number(row["difference"]),
            "value": f"{row['difference']:.6g}",
            "interval": _range(row["low"], row["high"]),
        }
        for row in collapse.differences.to_dict("records")
        if row["measure"] in ("mean_cosine", "nnk_diameter")
    ]


def _range(low: float, high: float) -> str:
    return "–" if not math.isfinite(low) else f"{number(low)} to {number(high)}"


def _estimate(
    family: FamilyCollapse, measure: str, row: int, colour: str, axes: dict[str, str]
) -> dict[str, Any]:
    value = family.measures[measure]
    return dots_with_intervals(
        [(value.value, value.low, value.high)],
        [row],
        colour=colour,
        hover=[_hover(family, value)],
        axes=axes,
        size=11,
        thickness=2.4,
    )


def _seeds(
    family: FamilyCollapse, measure: str, row: int, colour: str, axes: dict[str, str]
) -> dict[str, Any]:
    values = family.seed_values.get(measure, ())
    return {
        "type": "scatter",
        "mode": "markers",
        "x": numbers(values),
        "y": [row + 0.26] * len(values),
        "marker": {"color": colour, "size": 5, "opacity": 0.55},
        "hovertext": [
            f"{plotly_text(encoder)}<br>{number(value)}"
            for encoder, value in zip(family.encoders, values, strict=False)
        ],
        "hoverinfo": "text",
        **axes,
    }


def _hover(family: FamilyCollapse, value: Estimate) -> str:
    seeds = f"{value.seeds} seed{'s' * (value.seeds != 1)}"
    groups = f", {value.groups} groups" if value.groups > 1 else ""
    bounds = interval(value.value, value.low, value.high)
    return f"<b>{plotly_text(family.name)}</b>: {bounds}<br>{seeds}{groups}"


def _threshold(value: float, rows: int) -> dict[str, Any]:
    return {
        "type": "line",
        "xref": "x",
        "yref": "y",
        "x0": value,
        "x1": value,
        "y0": -0.5,
        "y1": rows - 0.5,
        "line": {"color": "--accent", "width": 1, "dash": "dot"},
    }
