"""Means as marks with their intervals as lines, as every figure of the page draws them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from mgm_jax.report.figures.figure import numbers


def error_bars(values: Any, colour: str, *, thickness: float) -> dict[str, Any]:
    """Plotly's error bars of the rows of ``values`` [n, 3]: mean, low and high.

    A value without its interval has none.
    """
    mean, low, high = np.asarray(values, np.float64).T
    return {
        "type": "data",
        "symmetric": False,
        "array": numbers(np.maximum(high - mean, 0)),
        "arrayminus": numbers(np.maximum(mean - low, 0)),
        "color": colour,
        "thickness": thickness,
        "width": 0,
    }


def dots_with_intervals(
    values: Any,
    rows: Sequence[int],
    *,
    colour: str,
    hover: list[str],
    axes: dict[str, str],
    symbol: str | list[str] = "circle",
    size: int = 8,
    thickness: float = 2,
    clipped: bool = True,
) -> dict[str, Any]:
    """A trace of marks on the rows of a panel, with lines along their intervals.

    Args:
        values: [n, 3] horizontal places of the marks, and the low and high ends of the lines; NaN
            where there is no interval.
        rows: [n] rows of the marks.
        colour: a custom property of the style sheet.
        hover: [n] texts of the marks.
        axes: the axes of the panel.
        symbol: Plotly's name of the mark, or one a mark.
        size: of the marks, in pixels.
        thickness: of the lines, in pixels.
        clipped: cut marks at the edge of the panel.
    """
    return {
        "type": "scatter",
        "mode": "markers",
        "x": numbers(np.asarray(values, np.float64)[:, 0]),
        "y": list(rows),
        "error_x": error_bars(values, colour, thickness=thickness),
        "marker": {"color": colour, "symbol": symbol, "size": size},
        "hovertext": hover,
        "hoverinfo": "text",
        **({} if clipped else {"cliponaxis": False}),
        **axes,
    }
