"""A figure of the page: views to choose between, each with its traces and layouts."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from mgm_jax.report.data.definitions import define
from mgm_jax.report.figures.facets import Layout
from mgm_jax.report.text.labels import short_labels

_KEY_SEPARATOR = "\u001f"
_OPTION_LETTERS = 40


@dataclass(frozen=True, kw_only=True)
class Choice:
    """A row of buttons: what is chosen, and pairs of value and label."""

    label: str
    options: tuple[tuple[str, str], ...]


@dataclass(frozen=True, kw_only=True)
class View:
    """What a figure shows for one choice.

    Attributes:
        data: Plotly traces.
        layouts: the same panels arranged for wide and narrow windows, widest first.
        note: a sentence below the figure.
    """

    data: list[dict[str, Any]]
    layouts: list[Layout]
    note: str = ""


@dataclass(frozen=True, kw_only=True)
class Figure:
    """One figure of the page.

    Attributes:
        name: identifier in the page.
        choices: what the reader can choose; those with one option are not shown.
        views: a view for every tuple of chosen values.
        scale_switch: offer one scale for all panels or one each.
    """

    name: str
    choices: tuple[Choice, ...]
    views: dict[tuple[str, ...], View]
    scale_switch: bool = False

    def to_json(self) -> str:
        """JSON without NaN.

        The layouts of a view are places in the list ``layouts``.
        """
        # Views that differ in their numbers alone share layouts: each is in the page once.
        layouts: dict[str, int] = {}
        views = {}
        for key, view in self.views.items():
            texts = [_compact(layout.to_json()) for layout in view.layouts]
            positions = [layouts.setdefault(text, len(layouts)) for text in texts]
            views[_KEY_SEPARATOR.join(key)] = {
                "data": view.data,
                "layouts": positions,
                "note": view.note,
            }
        content = {
            "choices": [
                {"label": choice.label, "options": choice.options} for choice in self.choices
            ],
            "layouts": [json.loads(text) for text in layouts],
            "views": views,
            "scale_switch": self.scale_switch,
        }
        return _compact(content)


def _compact(content: Any) -> str:
    return json.dumps(content, ensure_ascii=False, separators=(",", ":"), allow_nan=False)


def image_choice(image_sets: Sequence[str]) -> Choice:
    """The choice between image sets."""
    return named_choice("Images", image_sets)


def metric_choices(image_sets: Sequence[str], metrics: Sequence[str]) -> tuple[Choice, Choice]:
    """The choices between image sets and between metrics."""
    options = tuple((name, define(name).label) for name in metrics)
    return image_choice(image_sets), Choice(label="Metric", options=options)


def named_choice(label: str, names: Sequence[str]) -> Choice:
    """A choice between names that people gave, cut to the width of a button."""
    return Choice(label=label, options=tuple(short_labels(names, most=_OPTION_LETTERS).items()))


def task_pages(tasks: Sequence[str], *, size: int) -> tuple[Choice, list[Sequence[str]]]:
    """Tasks in pages of ``size``: the choice between the pages, whose values count from 0."""
    starts = range(0, len(tasks), size)
    options = [
        (str(page), f"{start + 1} to {min(len(tasks), start + size)}")
        for page, start in enumerate(starts)
    ]
    choice = Choice(label="Tasks", options=tuple(options))
    return choice, [tasks[start : start + size] for start in starts]


def empty_view(note: str) -> View:
    """Nothing but a sentence on why."""
    hidden = {"visible": False}
    layout = {"height": 60, "xaxis": hidden, "yaxis": hidden}
    return View(data=[], layouts=[Layout(min_width=0, layout=layout)], note=note)


def numbers(values: Any, *, digits: int = 5) -> list[float | int | None]:
    """Values rounded to significant digits for JSON; NaN and Inf become None.

    >>> numbers([1.0, 2.34567891, float("nan")])
    [1, 2.3457, None]
    """
    rounded: list[float | int | None] = []
    for value in np.asarray(values, np.float64).ravel().tolist():
        if not np.isfinite(value):
            rounded.append(None)
            continue
        short = float(f"{value:.{digits}g}")
        rounded.append(int(short) if short.is_integer() else short)
    return rounded
