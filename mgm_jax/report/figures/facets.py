"""Panels side by side that share their rows, in layouts for windows of any width.

A figure is one list of traces with several layouts. The page shows the widest layout that fits,
so the traces, which hold the numbers, are in the page once.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from mgm_jax.report.text.labels import plotly_text, short_labels, shorten

# Pixels.
_PANEL = 140  # narrowest readable panel
_GAP = 22  # between panels side by side
_BETWEEN = 78  # between rows of panels: axis, its title and the heading of the next panel
_TOP = 34
_BOTTOM = 56
_RIGHT = 14
_LETTER = 7.2  # width of one letter of a row label
_HEADING_LETTERS = 22
_LABEL_LETTERS = (36, 17)  # longest row label in wide and narrow layouts

#: What all layouts share: nothing is dragged, and the page draws its own keys.
STILL = {"showlegend": False, "hovermode": "closest", "dragmode": False}


@dataclass(frozen=True, kw_only=True)
class Layout:
    """A Plotly layout and the window width in pixels from which it is readable."""

    min_width: int
    layout: dict[str, Any]

    def to_json(self) -> dict[str, Any]:
        """The form that the script of the page reads."""
        return {"min_width": self.min_width, "layout": self.layout}


@dataclass(frozen=True, kw_only=True)
class Panel:
    """One panel: its heading and the title of its horizontal axis."""

    heading: str
    axis: str


def axis_names(panel: int) -> dict[str, str]:
    """The axes that traces of panel 0, 1, ... name.

    >>> axis_names(1)
    {'xaxis': 'x2', 'yaxis': 'y2'}
    """
    suffix = "" if panel == 0 else str(panel + 1)
    return {"xaxis": f"x{suffix}", "yaxis": f"y{suffix}"}


def row_height(rows: int) -> int:
    """Pixels a row: generous for few rows, dense for many."""
    return 30 if rows <= 6 else 24 if rows <= 14 else 18


def facet_layouts(
    panels: Sequence[Panel],
    rows: Sequence[str],
    *,
    same_scale: bool,
    height: int | None = None,
    narrow_letters: int = _LABEL_LETTERS[1],
) -> list[Layout]:
    """Layouts with all panels side by side, fewer a line, and one below the other.

    Args:
        panels: the panels in reading order.
        rows: names of the rows, first at the top; row r lies at y = r.
        same_scale: one horizontal scale for all panels.
        height: pixels a row; None chooses by the number of rows.
        narrow_letters: longest row label where panels stand one below the other.
    """
    layouts = []
    for columns in column_counts(len(panels)):
        labels, left = label_margin(rows, narrow=columns == 1, narrow_letters=narrow_letters)
        grid = panel_grid(
            panels,
            columns,
            panel_height=len(rows) * (height or row_height(len(rows))) + 10,
            left=left,
        )
        for index in range(len(panels)):
            vertical, horizontal = layout_axes(grid.layout, index)
            vertical |= {
                "range": [len(rows) - 0.5, -0.5],
                "tickmode": "array",
                "tickvals": list(range(len(rows))),
                "ticktext": labels,
                "showticklabels": index % columns == 0,
                "fixedrange": True,
            }
            if same_scale and index:
                horizontal["matches"] = "x"
        layouts.append(grid)
    return layouts


def column_counts(panels: int) -> list[int]:
    """How many panels a line the layouts have: all of them, then fewer.

    >>> column_counts(5)
    [5, 3, 2, 1]
    """
    return sorted({panels, *(count for count in (3, 2, 1) if count < panels)}, reverse=True)


def panel_grid(
    panels: Sequence[Panel],
    columns: int,
    *,
    panel_height: int,
    left: int,
    panel_width: int = _PANEL,
    gap: int = _GAP,
) -> Layout:
    """Panels in lines of ``columns``, with headings and horizontal axes in place.

    Args:
        panels: the panels in reading order.
        columns: panels a line.
        panel_height: pixels of one panel.
        left: pixels for the labels of the vertical axis.
        panel_width: pixels below which a panel is not readable.
        gap: pixels between panels side by side.
    """
    lines = -(-len(panels) // columns)
    plot_height = lines * panel_height + (lines - 1) * _BETWEEN
    layout: dict[str, Any] = {
        "height": plot_height + _TOP + _BOTTOM,
        "margin": {"l": left, "r": _RIGHT, "t": _TOP, "b": _BOTTOM},
        "annotations": [],
        **STILL,
    }
    for index, panel in enumerate(panels):
        line, column = divmod(index, columns)
        top = 1 - line * (panel_height + _BETWEEN) / plot_height
        names = axis_names(index)
        layout["xaxis" + names["xaxis"][1:]] = {
            "domain": _share(column, columns, width=panel_width, gap=gap),
            "anchor": names["yaxis"],
            "title": {"text": plotly_text(panel.axis), "standoff": 8},
            "nticks": 5,
        }
        layout["yaxis" + names["yaxis"][1:]] = {
            "domain": [max(0.0, top - panel_height / plot_height), top],
            "anchor": names["xaxis"],
        }
        layout["annotations"].append(_heading(panel.heading, names))
    width = left + _RIGHT + columns * panel_width + (columns - 1) * gap
    return Layout(min_width=width if columns > 1 else 0, layout=layout)


def curve_grid(
    panels: Sequence[Panel], columns: int, *, axis: str, panel_height: int, left: int
) -> Layout:
    """Panels of curves over one vertical scale, whose title stands at the left of each line.

    Args:
        panels: the panels in reading order.
        columns: panels a line.
        axis: title of the vertical axis.
        panel_height: pixels of one panel.
        left: pixels for the labels of the vertical axis.
    """
    grid = panel_grid(panels, columns, panel_height=panel_height, left=left)
    for index in range(len(panels)):
        vertical, _ = layout_axes(grid.layout, index)
        vertical |= {"showticklabels": index % columns == 0, "nticks": 6}
        if index % columns == 0:
            vertical["title"] = {"text": axis, "standoff": 8}
        if index:
            vertical["matches"] = "y"
    return grid


def layout_axes(layout: dict[str, Any], panel: int) -> tuple[dict[str, Any], dict[str, Any]]:
    """The vertical and the horizontal axis of a panel, to be completed in place."""
    names = axis_names(panel)
    return layout["yaxis" + names["yaxis"][1:]], layout["xaxis" + names["xaxis"][1:]]


def label_margin(
    names: Sequence[str], *, narrow: bool, narrow_letters: int = _LABEL_LETTERS[1]
) -> tuple[list[str], int]:
    """Row labels cut to fit, and the pixels that they need."""
    labels = short_labels(names, most=narrow_letters if narrow else _LABEL_LETTERS[0])
    longest = max(map(len, labels.values()), default=0)
    return [plotly_text(label) for label in labels.values()], round(_LETTER * longest) + 14


def name_ticks(positions: Iterable[float], names: Sequence[str]) -> dict[str, Any]:
    """Settings of an axis along which names stand, as beside the cells of a matrix."""
    return {
        "tickmode": "array",
        "tickvals": list(positions),
        "ticktext": list(names),
        "showgrid": False,
        "zeroline": False,
        "fixedrange": True,
    }


def _share(column: int, columns: int, *, width: int, gap: int) -> list[float]:
    """Share of the width that a panel takes, with a gap of about ``gap`` pixels between."""
    between = gap / (columns * (width + gap))
    share = (1 - between * (columns - 1)) / columns
    start = column * (share + between)
    return [round(start, 5), round(min(1.0, start + share), 5)]


def _heading(text: str, names: dict[str, str]) -> dict[str, Any]:
    return {
        "text": f"<b>{plotly_text(shorten(text, most=_HEADING_LETTERS))}</b>",
        "xref": f"{names['xaxis']} domain",
        "yref": f"{names['yaxis']} domain",
        "x": 0,
        "y": 1,
        "xanchor": "left",
        "yanchor": "bottom",
        "yshift": 6,
        "showarrow": False,
    }
