"""Colours and type of the pictures: those of the report, on white."""

from __future__ import annotations

from typing import Any

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
_INK, _MUTED, _GRID = "#1B1F24", "#646C76", "#E6E8EB"
STYLE: dict[Any, Any] = {
    "font.family": ["DejaVu Sans"],
    "font.size": 8.5,
    "text.color": _INK,
    "text.parse_math": False,
    "axes.axisbelow": True,
    "axes.edgecolor": _GRID,
    "axes.grid": True,
    "axes.labelcolor": _MUTED,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.titlelocation": "left",
    "axes.titleweight": "bold",
    "grid.color": _GRID,
    "grid.linewidth": 0.6,
    "legend.frameon": False,
    "savefig.facecolor": "white",
    "svg.hashsalt": "mgm_jax",
    "xtick.color": _MUTED,
    "xtick.major.size": 0,
    "ytick.color": _INK,
    "ytick.major.size": 0,
}
