"""The picture of the documents."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from mgm_jax.errors import InputError
from mgm_jax.report import mgm_figure

pytest.importorskip("matplotlib")


@pytest.fixture(scope="module")
def summary(study: Callable[[str], Path]) -> pd.DataFrame:
    return pd.read_parquet(study("demo") / "summary.parquet")


@pytest.mark.parametrize("suffix", ["png", "svg"])
def test_draws_every_block(summary: pd.DataFrame, tmp_path: Path, suffix: str):
    path = mgm_figure(summary, tmp_path / f"picture.{suffix}", settings=["semantic", "crop"])
    assert path.stat().st_size > 10_000
    if suffix == "svg":
        # Text is drawn as paths with the text itself in comments.
        text = path.read_text()
        for word in ("semantic manifolds", "crop manifolds", "vit_mini:seed=2", "NNK degree"):
            assert word in text


def test_picture_is_not_empty_and_depends_on_the_numbers(summary: pd.DataFrame, tmp_path: Path):
    from matplotlib.image import imread

    first = imread(mgm_figure(summary, tmp_path / "a.png"))
    pixels = summary["encoder"] == "pixels"
    moved = summary.assign(mean=summary["mean"].mask(pixels, summary["mean"] * 1.1))
    second = imread(mgm_figure(moved, tmp_path / "b.png"))
    assert first.std() > 0.02
    assert not np.array_equal(first, second)


def test_names_with_dollars_are_not_formulas(summary: pd.DataFrame, tmp_path: Path):
    named = summary.replace({"encoder": {"pixels": "$\\bad{$ name"}})
    assert mgm_figure(named, tmp_path / "a.png").exists()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"metrics": ["speed"]}, "metrics: expected one of .* got 'speed'"),
        ({"settings": ["blur"]}, "settings: expected one of .* got 'blur'"),
        ({"images": "cifar"}, "images: expected one of digits, got 'cifar'"),
    ],
)
def test_unknown_names_are_refused(
    summary: pd.DataFrame, tmp_path: Path, options: dict, message: str
):
    with pytest.raises(InputError, match=message):
        mgm_figure(summary, tmp_path / "a.png", **options)
    assert not (tmp_path / "a.png").exists()


def test_missing_matplotlib_is_named(
    summary: pd.DataFrame, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(InputError, match="pip install"):
        mgm_figure(summary, tmp_path / "a.png")
