"""How alike two encoders see the same images: heat maps of every pair."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from mgm_jax.report.data.tables import StudyTables
from mgm_jax.report.figures.facets import STILL, Layout, label_margin, name_ticks
from mgm_jax.report.figures.figure import Choice, Figure, View, empty_view, named_choice, numbers
from mgm_jax.report.figures.legend import Legend
from mgm_jax.report.figures.likeness.dendrogram import strip_trace
from mgm_jax.report.text.labels import plotly_text, shorten
from mgm_jax.report.text.names import similarity_name

_READINGS = {
    "mutual_knn": "Mutual k-NN: share of the k nearest images that both encoders have in common.",
    "cka": "CKA: debiased linear centred kernel alignment; 1 up to rotation and scale.",
}
# Pixels.
_NARROW_CELL, _WIDE_CELLS = 14, (19, 34)
_SQUARE = 460  # side of the heat map, where its cells can be that large
_TOP, _RIGHT = 12, 14
_LETTER = 6.8
_STRIP = 18
_NAME_LETTERS = 60


def similarity_matrix(rows: pd.DataFrame, column: str = "value") -> tuple[list[str], np.ndarray]:
    """Names and the symmetric matrix [n, n] of the pairs of one image set and measure.

    The diagonal is 1; a pair that the table lacks is NaN.
    """
    names = list(dict.fromkeys([*rows["encoder_a"], *rows["encoder_b"]]))
    index_of = {name: at for at, name in enumerate(names)}
    matrix = np.full((len(names), len(names)), np.nan)
    np.fill_diagonal(matrix, 1.0)
    # Of an image set with one encoder there are no pairs, and no type to tell from them.
    first = np.array([index_of[name] for name in rows["encoder_a"]], np.intp)
    second = np.array([index_of[name] for name in rows["encoder_b"]], np.intp)
    matrix[first, second] = matrix[second, first] = rows[column].to_numpy(np.float64)
    return names, matrix


def similarity_figure(tables: StudyTables, legend: Legend) -> Figure | None:
    """A heat map for each image set and measure; None where the study has none."""
    rows = tables.optional.similarity
    rows = rows.loc[np.isfinite(rows["value"])]
    if rows.empty:
        return None
    image_sets = list(dict.fromkeys(rows["images"]))
    measures = list(dict.fromkeys(rows["measure"]))
    views = {}
    for images in image_sets:
        for measure in measures:
            block = rows.loc[(rows["images"] == images) & (rows["measure"] == measure)]
            views[images, measure] = _view(block, measure, legend)
    options = tuple((name, similarity_name(name)) for name in measures)
    choices = (named_choice("Images", image_sets), Choice(label="Measure", options=options))
    return Figure(name="similarity", choices=choices, views=views)


def _view(rows: pd.DataFrame, measure: str, legend: Legend) -> View:
    names, matrix = similarity_matrix(rows)
    if not names:
        return empty_view("Not measured on these images.")
    order = _order(matrix)
    shown = [names[at] for at in order]
    low, high = (similarity_matrix(rows, name)[1][np.ix_(order, order)] for name in ("low", "high"))
    matrix = matrix[np.ix_(order, order)]
    np.fill_diagonal(low, np.nan)
    traces = [_cells(shown, matrix, low, high), strip_trace(shown, legend, xaxis="x2")]
    off_diagonal = matrix[~np.eye(len(shown), dtype=bool)]
    note = _READINGS.get(measure, "")
    if np.isfinite(off_diagonal).any():
        note += (
            f" Between different encoders: {np.nanmin(off_diagonal):.2f} to "
            f"{np.nanmax(off_diagonal):.2f}."
        )
    layouts = [_layout(shown, narrow=False), _layout(shown, narrow=True)]
    return View(data=traces, layouts=layouts, note=note.strip())


def _order(matrix: np.ndarray) -> list[int]:
    """Alike encoders side by side: leaves of average linkage."""
    from scipy.cluster import hierarchy
    from scipy.spatial.distance import squareform

    if len(matrix) < 3:
        return list(range(len(matrix)))
    distance = 1.0 - np.nan_to_num(matrix, nan=0.0)
    np.fill_diagonal(distance, 0.0)
    condensed = squareform(np.maximum((distance + distance.T) / 2, 0.0), checks=False)
    linkage = hierarchy.linkage(condensed, method="average", optimal_ordering=True)
    return [int(leaf) for leaf in hierarchy.leaves_list(linkage)]


def _cells(
    names: list[str], matrix: np.ndarray, low: np.ndarray, high: np.ndarray
) -> dict[str, Any]:
    trace = {
        "type": "heatmap",
        "z": [numbers(row, digits=3) for row in matrix],
        "zmin": 0,
        "zmax": 1,
        "colorscale": [[0, "--middle"], [1, "--deep"]],
        "xgap": 1,
        "ygap": 1,
        "hoverinfo": "text",
        "hoverongaps": False,
        "showscale": False,
        # The page writes the texts of the pairs itself: here they would be most of its size.
        "pair_names": [plotly_text(shorten(name, most=_NAME_LETTERS)) for name in names],
    }
    if np.isfinite(low).any():
        trace["pair_low"] = [numbers(row, digits=3) for row in low]
        trace["pair_high"] = [numbers(row, digits=3) for row in high]
    return trace


def _layout(names: list[str], *, narrow: bool) -> Layout:
    labels, left = label_margin(names, narrow=narrow)
    bottom = round(_LETTER * max(map(len, labels))) + 16
    least, most = _WIDE_CELLS
    cell = _NARROW_CELL if narrow else min(most, max(least, _SQUARE // len(names)))
    width = left + _STRIP + cell * len(names) + _RIGHT
    ticks = name_ticks(range(len(names)), labels)
    strip = _STRIP / (_STRIP + cell * len(names))
    layout = {
        "height": len(names) * cell + _TOP + bottom,
        "margin": {"l": left, "r": _RIGHT, "t": _TOP, "b": bottom},
        **STILL,
        "xaxis": ticks
        | {"domain": [strip, 1], "range": [-0.5, len(names) - 0.5], "tickangle": -90},
        "xaxis2": {
            "domain": [0, strip],
            "anchor": "y",
            "range": [0, 1],
            "visible": False,
            "fixedrange": True,
        },
        "yaxis": ticks | {"anchor": "free", "position": 0, "range": [len(names) - 0.5, -0.5]},
        # Cells are square.
        "maximum_width": width,
        "minimum_width": width,
    }
    return Layout(min_width=0 if narrow else width, layout=layout)
