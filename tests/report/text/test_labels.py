"""Names that people chose freely: short, distinct, harmless."""

from __future__ import annotations

import doctest

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mgm_jax.metrics.columns import METRIC_COLUMNS
from mgm_jax.report.data import definitions
from mgm_jax.report.figures import facets, figure
from mgm_jax.report.text import labels, names
from mgm_jax.report.text.labels import (
    hover_name,
    interval,
    number,
    plotly_text,
    short_labels,
    shorten,
)


@pytest.mark.parametrize("module", [labels, definitions, names, facets, figure])
def test_examples_run(module: object):
    result = doctest.testmod(module)  # pyright: ignore[reportArgumentType]
    assert result.attempted > 0
    assert result.failed == 0


def test_every_column_of_the_records_is_defined():
    assert set(METRIC_COLUMNS) <= set(definitions.DEFINITIONS)


@given(st.lists(st.text(max_size=60), max_size=30, unique=True), st.integers(12, 40))
def test_labels_are_short_and_distinct(names: list[str], most: int):
    results = short_labels(names, most=most)
    assert list(results) == names
    assert all(len(label) <= most for label in results.values())
    assert len(set(results.values())) == len(names)


@given(st.text(max_size=300), st.integers(12, 40))
def test_start_and_end_of_a_name_survive(name: str, most: int):
    short = shorten(name, most=most)
    flat = " ".join(name.split())
    if len(flat) <= most:
        assert short == flat
    else:
        head, tail = short.split("…")[0], short.rsplit("…", 1)[-1]
        assert len(short) == most
        assert flat.startswith(head)
        assert flat.endswith(tail)


@given(st.text(max_size=80))
def test_plotly_text_holds_no_markup(name: str):
    assert "<" not in plotly_text(name)
    shown = hover_name(name).replace("<b>", "").replace("</b>", "").replace("<br>", "")
    assert "<" not in shown


def test_intervals():
    assert interval(0.5, 0.4, 0.6) == "0.500 [0.400, 0.600]"
    assert interval(0.5, float("nan"), float("nan")) == "0.500"
    assert [number(x) for x in (0, 1e-5, -0.25, 2.5e6)] == ["0", "1.00e-05", "−0.250", "2.50e+06"]
