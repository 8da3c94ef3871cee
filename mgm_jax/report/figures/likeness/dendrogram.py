"""The tree of encoders beside the heat map: from the tables of a study, or made here."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from mgm_jax.analysis import ModelClusters
from mgm_jax.report.data.tables import StudyTables
from mgm_jax.report.figures.figure import numbers
from mgm_jax.report.figures.legend import Legend
from mgm_jax.report.text.labels import hover_name, plotly_text, shorten

_MIXED = "--muted"


@dataclass(frozen=True, kw_only=True)
class Tree:
    """A tree of models.

    Attributes:
        order: names along the leaves.
        linkage: [n - 1, 4] merges in SciPy's layout.
        groups: number of groups that the tree was cut into; 1 where it was not.
    """

    order: tuple[str, ...]
    linkage: np.ndarray
    groups: int

    @property
    def cut_height(self) -> float:
        """Height between the last merge that was kept and the first that was cut."""
        heights = np.concatenate([[0.0], self.linkage[:, 2]])
        first_cut = len(heights) - self.groups + 1
        return float((heights[first_cut - 1] + heights[first_cut]) / 2)


def tree_of_clusters(clusters: ModelClusters) -> Tree:
    """The tree that was made here."""
    return Tree(order=clusters.order, linkage=clusters.linkage, groups=clusters.groups)


def tree_of_tables(tables: StudyTables, images: str, models: set[str]) -> Tree | None:
    """The tree of an image set as the study holds it.

    None where it has none, or where its leaves are not exactly the models that are shown.
    """
    optional = tables.optional
    leaves = optional.clusters.loc[optional.clusters["images"] == images]
    merges = optional.cluster_tree.loc[optional.cluster_tree["images"] == images]
    order = leaves.sort_values("position", kind="stable")["encoder"].tolist()
    if len(order) < 2 or len(merges) != len(order) - 1 or set(order) != models:
        return None
    linkage = merges[["left", "right", "height", "size"]].to_numpy(np.float64)
    if not _sound(linkage):
        return None
    return Tree(order=tuple(order), linkage=linkage, groups=leaves["group"].nunique())


def _sound(linkage: np.ndarray) -> bool:
    from scipy.cluster import hierarchy

    return bool(np.isfinite(linkage).all() and hierarchy.is_valid_linkage(linkage))


def tree_traces(tree: Tree, colour_of: dict[str, str]) -> list[dict[str, Any]]:
    """Lines of the tree on axes x2 and y; a branch within one colour group has its colour."""
    from scipy.cluster import hierarchy

    if not len(tree.linkage):
        return []
    colours = _node_colours(tree, colour_of)
    links = hierarchy.dendrogram(
        tree.linkage, no_plot=True, link_color_func=lambda node: colours[node]
    )
    lines: dict[str, tuple[list[float | int | None], list[float | int | None]]] = {}
    branches = zip(links["dcoord"], links["icoord"], links["color_list"], strict=True)
    for heights, positions, colour in branches:
        x, y = lines.setdefault(colour, ([], []))
        x += [*numbers(heights), None]
        # SciPy puts leaf i at 5 + 10 i.
        y += [*numbers((np.asarray(positions) - 5) / 10), None]
    traces = [_line(x, y, {"color": colour, "width": 1.6}) for colour, (x, y) in lines.items()]
    if tree.groups > 1:
        ends = [-0.5, len(tree.order) - 0.5]
        dotted = {"color": "--accent", "width": 1, "dash": "dot"}
        traces.append(_line(numbers([tree.cut_height] * 2), numbers(ends), dotted))
    return traces


def _node_colours(tree: Tree, colour_of: dict[str, str]) -> list[str]:
    """Colour of every leaf and merge: that of its leaves where they share one, else grey."""
    from scipy.cluster import hierarchy

    colours = [_MIXED] * len(tree.order)
    # The rank of a leaf names its model, however the rows of the tables are ordered.
    for leaf, model in zip(hierarchy.leaves_list(tree.linkage), tree.order, strict=True):
        colours[leaf] = colour_of.get(model, _MIXED)
    for left, right in tree.linkage[:, :2].astype(int):
        same = colours[left] == colours[right]
        colours.append(colours[left] if same else _MIXED)
    return colours


def _line(
    x: list[float | int | None], y: list[float | int | None], style: dict[str, Any]
) -> dict[str, Any]:
    return {
        "type": "scatter",
        "mode": "lines",
        "x": x,
        "y": y,
        "line": style,
        "hoverinfo": "skip",
        "xaxis": "x2",
        "yaxis": "y",
    }


def strip_trace(models: list[str], legend: Legend, *, xaxis: str) -> dict[str, Any]:
    """Marks in the colours of the models, one a row, on an axis from 0 to 1."""
    entry_of = legend.entry_of
    entries = [entry_of[model] for model in models]
    return {
        "type": "scatter",
        "mode": "markers",
        "x": [0.5] * len(models),
        "y": list(range(len(models))),
        "marker": {
            "color": [entry.colour for entry in entries],
            "symbol": [entry.symbol for entry in entries],
            "size": 9,
        },
        "hovertext": [
            f"{hover_name(model)}<br>{plotly_text(shorten(entry.name, most=40))}"
            for model, entry in zip(models, entries, strict=True)
        ],
        "hoverinfo": "text",
        "cliponaxis": False,
        "xaxis": xaxis,
        "yaxis": "y",
    }
