"""The histograms of the notebook: well-formed, and true to the counts."""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mgm_jax import manifold_metrics
from mgm_jax.shown.histogram import histogram_svg


def heights(svg: str) -> list[float]:
    return [float(bar.get("height", "nan")) for bar in ElementTree.fromstring(svg).iter("rect")]


def test_whole_numbers_get_one_bar_each_in_proportion() -> None:
    bars = heights(histogram_svg(np.array([1, 1, 1, 1, 2, 2, 4]), height=40))
    assert bars == pytest.approx([40, 20, 0, 10])


@settings(max_examples=50, deadline=None)
@given(st.lists(st.floats(-1e6, 1e6) | st.just(float("nan")), max_size=40))
def test_any_column_is_drawn(values: list[float]) -> None:
    drawn = histogram_svg(np.array(values, np.float64))
    defined = [value for value in values if value == value]
    if not defined:
        assert "no value" in drawn
    else:
        bars = heights(drawn)
        assert max(bars) == pytest.approx(44) and min(bars) >= 0
        assert f"median {np.median(defined):.3g}" in drawn


def test_the_record_shows_itself_with_a_table_and_figures() -> None:
    x = np.random.default_rng(0).normal(size=(40, 6))
    shown = manifold_metrics(x, groups=np.arange(40) // 20)._repr_html_()
    assert "<table" in shown and shown.count("<svg") >= 4
