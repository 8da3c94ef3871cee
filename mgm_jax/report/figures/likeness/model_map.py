"""Encoders as points in the plane: near where their metrics, or what they see, are alike."""

from __future__ import annotations

from typing import Any

import numpy as np

from mgm_jax.report.data.tables import StudyTables
from mgm_jax.report.figures.facets import STILL, Layout
from mgm_jax.report.figures.figure import Choice, Figure, View, empty_view, image_choice, numbers
from mgm_jax.report.figures.legend import Legend
from mgm_jax.report.figures.likeness.heatmap import clustered_columns, heat_columns
from mgm_jax.report.figures.likeness.similarity import similarity_matrix
from mgm_jax.report.text.labels import hover_name, plotly_text, short_labels, shorten
from mgm_jax.report.text.names import similarity_name

_METRICS = "metrics"
# Pixels.
_WIDE, _NARROW = 820, 350
_HEIGHTS = (250, 520)
_MARGIN = {"l": 48, "r": 16, "t": 14, "b": 46}
_LETTER, _LINE = 6.3, 15
_LABEL_LETTERS = (26, 15)  # longest label in wide and narrow windows
_MARK = 7  # from the middle of a mark to its label
_TOO_FEW = "Three encoders or more, compared in every pair, are needed here."


def map_figure(tables: StudyTables, legend: Legend) -> Figure | None:
    """Principal axes of the standardised metrics, and classical scaling of each similarity.

    None where no image set has three encoders with metrics.
    """
    views: dict[tuple[str, ...], View] = {}
    measures = list(dict.fromkeys(tables.optional.similarity["measure"]))
    for images in tables.image_sets:
        for by in (_METRICS, *measures):
            points = _metric_points(tables, images) if by == _METRICS else None
            if by != _METRICS:
                points = _similarity_points(tables, images, by)
            views[images, by] = _view(*points, legend=legend) if points else empty_view(_TOO_FEW)
    if not any(view.data for view in views.values()):
        return None
    options = [(_METRICS, "the metrics"), *((name, similarity_name(name)) for name in measures)]
    kept = [
        (by, label) for by, label in options if any(views[i, by].data for i in tables.image_sets)
    ]
    views = {key: view for key, view in views.items() if key[1] in dict(kept)}
    choices = (image_choice(tables.image_sets), Choice(label="Alike by", options=tuple(kept)))
    return Figure(name="map", choices=choices, views=views)


def principal_axes(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """First two principal components [n, 2] of standardised columns, and their shares [2].

    The sign of each axis is such that its largest entry is positive.
    """
    standardised = (values - values.mean(axis=0)) / values.std(axis=0)
    left, singular, _ = np.linalg.svd(standardised, full_matrices=False)
    return _plane(left * singular, singular**2)


def classical_scaling(similarity: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Coordinates [n, 2] whose distances follow 1 - similarity, and their shares [2].

    Torgerson's double centring; the shares are of the positive eigenvalues.
    """
    squared = (1.0 - similarity) ** 2
    centring = np.eye(len(squared)) - 1.0 / len(squared)
    roots, vectors = np.linalg.eigh(-0.5 * centring @ squared @ centring)
    roots, vectors = np.maximum(roots[::-1], 0.0), vectors[:, ::-1]
    return _plane(vectors * np.sqrt(roots), roots)


def _plane(points: np.ndarray, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    plane = np.zeros((len(points), 2))
    plane[:, : min(2, points.shape[1])] = points[:, :2]
    largest = plane[np.abs(plane).argmax(axis=0), [0, 1]]
    shares = np.zeros(2)
    total = weights.sum()
    if total > 0:
        shares[: len(weights[:2])] = weights[:2] / total
    return plane * np.where(largest < 0, -1.0, 1.0), shares


_Points = tuple[list[str], np.ndarray, np.ndarray, str]


def _metric_points(tables: StudyTables, images: str) -> _Points | None:
    models = tables.models.loc[tables.models["images"] == images].drop_duplicates("model")
    names = clustered_columns(heat_columns(models))
    values = models[names].to_numpy(np.float64)
    # As for the tree: constant columns and those that some model lacks do not enter.
    spread = np.ptp(values, axis=0) if len(values) else np.zeros(len(names))
    with np.errstate(invalid="ignore"):
        usable = np.isfinite(values).all(axis=0) & (
            spread > 1e-12 * np.abs(values).max(axis=0, initial=0.0)
        )
    if len(models) < 3 or not usable.any():
        return None
    plane, shares = principal_axes(values[:, usable])
    note = f"Principal components of {usable.sum()} standardised metrics."
    return models["model"].tolist(), plane, shares, note


def _similarity_points(tables: StudyTables, images: str, measure: str) -> _Points | None:
    rows = tables.optional.similarity
    rows = rows.loc[(rows["images"] == images) & (rows["measure"] == measure)]
    names, matrix = similarity_matrix(rows)
    if len(names) < 3 or not np.isfinite(matrix).all():
        return None
    plane, shares = classical_scaling(matrix)
    note = f"Classical scaling of 1 − {similarity_name(measure)}."
    return names, plane, shares, note


def _view(
    names: list[str], plane: np.ndarray, shares: np.ndarray, note: str, *, legend: Legend
) -> View:
    index_of = {name: at for at, name in enumerate(names)}
    traces = []
    for entry in legend.of(names).entries:
        inside = [index_of[model] for model in entry.models]
        traces.append(
            {
                "type": "scatter",
                "mode": "markers",
                "x": numbers(plane[inside, 0]),
                "y": numbers(plane[inside, 1]),
                "marker": {
                    "color": entry.colour,
                    "symbol": entry.symbol,
                    "size": 11,
                    "opacity": 0.9,
                    "line": {"color": "--ground", "width": 1},
                },
                "hovertext": [
                    f"{hover_name(model)}<br>{plotly_text(shorten(entry.name, most=40))}"
                    for model in entry.models
                ],
                "hoverinfo": "text",
            }
        )
    layouts = [
        _layout(names, plane, shares, size, min_width=least)
        for size, least in ((_WIDE, 640), (_NARROW, 0))
    ]
    note += f" The two axes hold {shares.sum():.0%} of the variance."
    return View(data=traces, layouts=layouts, note=note)


def _layout(
    names: list[str],
    plane: np.ndarray,
    shares: np.ndarray,
    window: int,
    *,
    min_width: int,
) -> Layout:
    width = window - _MARGIN["l"] - _MARGIN["r"]
    # As high as the dots need, with room for labels at the ends.
    across, up = np.ptp(plane, axis=0)
    least, most = _HEIGHTS
    needed = round(1.3 * width * up / across) if across > 0 else least
    height = min(most, max(least, needed))
    middle = (plane.max(axis=0) + plane.min(axis=0)) / 2
    # One unit is the same length on both axes: distances are what the map is for.
    unit = max(np.ptp(plane[:, 0]) / width, np.ptp(plane[:, 1]) / height, 1e-12) * 1.16
    ranges = [
        numbers([centre - unit * pixels / 2, centre + unit * pixels / 2])
        for centre, pixels in zip(middle, (width, height), strict=True)
    ]
    labels = list(short_labels(names, most=_LABEL_LETTERS[min_width == 0]).values())
    axis = {"zeroline": False, "fixedrange": True, "nticks": 6}
    layout = {
        "height": height + _MARGIN["t"] + _MARGIN["b"],
        "margin": _MARGIN,
        **STILL,
        "annotations": _labels(labels, (plane - middle) / unit, (width, height)),
        "xaxis": axis
        | {"range": ranges[0], "title": {"text": f"axis 1 ({shares[0]:.0%})", "standoff": 8}},
        "yaxis": axis
        | {
            "range": ranges[1],
            "title": {"text": f"axis 2 ({shares[1]:.0%})", "standoff": 6},
            "scaleanchor": "x",
        },
        "maximum_width": 900,
    }
    for at, annotation in enumerate(layout["annotations"]):
        index = annotation.pop("index")
        x, y = numbers(plane[index])
        layout["annotations"][at] = annotation | {"x": x, "y": y}
    return Layout(min_width=min_width, layout=layout)


def _labels(labels: list[str], pixels: np.ndarray, size: tuple[int, int]) -> list[dict[str, Any]]:
    """Labels at their marks where they cover neither another label nor a mark.

    Args:
        labels: one a model.
        pixels: [n, 2] marks around the middle of the panel, upwards.
        size: width and height of the panel.
    """
    marks = [(x - 6, y - 6, x + 6, y + 6) for x, y in pixels]
    taken = list(marks)
    annotations = []
    for index, (x, y) in enumerate(pixels):
        length = _LETTER * len(labels[index]) + 4
        # Right of the mark, left of it, above, below: anchor, and shift in pixels.
        positions = (
            ("left", _MARK, 0, x + _MARK),
            ("right", -_MARK, 0, x - _MARK - length),
            ("center", 0, _MARK + _LINE / 2, x - length / 2),
            ("center", 0, -_MARK - _LINE / 2, x - length / 2),
        )
        for anchor, across, up, left in positions:
            box = (left, y + up - _LINE / 2, left + length, y + up + _LINE / 2)
            inside = abs(box[0]) < size[0] / 2 and abs(box[2]) < size[0] / 2
            others = [other for at, other in enumerate(taken) if at != index]
            if inside and not any(_overlap(box, other) for other in others):
                taken.append(box)
                annotations.append(
                    {
                        "index": index,
                        "text": plotly_text(labels[index]),
                        "xanchor": anchor,
                        "xshift": across,
                        "yanchor": "middle",
                        "yshift": up,
                        "showarrow": False,
                        "font": {"size": 11.5, "color": "--muted"},
                    }
                )
                break
    return annotations


def _overlap(a: tuple[float, ...], b: tuple[float, ...]) -> bool:
    return a[0] < b[2] and b[0] < a[2] and a[1] < b[3] and b[1] < a[3]
