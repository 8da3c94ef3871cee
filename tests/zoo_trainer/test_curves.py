"""Means and intervals over seeds, and the picture they make."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy.stats import ttest_1samp

from benchmarks.zoo.curves import METRICS, draw_curves, training_table
from mgm_jax.errors import InputError


def models(*, seeds: int) -> pd.DataFrame:
    rng = np.random.default_rng(0)
    names = [
        f"simclr-{backbone}-s{seed}-e{epoch:02d}"
        for backbone in ("resnet", "vit")
        for seed in range(seeds)
        for epoch in range(3)
    ]
    return pd.DataFrame({"encoder": names} | {m: rng.normal(size=len(names)) for m in METRICS})


def test_intervals_are_students(tmp_path: Path) -> None:
    table = models(seeds=4)
    result = training_table(table).set_index(["metric", "backbone", "epoch"])
    own = table[table["encoder"].str.match(r"simclr-vit-s\d-e02")]["rankme"]
    expected = ttest_1samp(own, 0.0).confidence_interval(0.95)
    row = result.loc[("rankme", "vit", 2)]
    assert row["seeds"] == 4
    np.testing.assert_allclose([row["low"], row["high"]], [expected.low, expected.high])
    draw_curves(result.reset_index(), tmp_path / "curves.png")
    assert (tmp_path / "curves.png").stat().st_size > 20_000


def test_two_seeds_are_too_few() -> None:
    with pytest.raises(InputError, match="takes three, got 2"):
        training_table(models(seeds=2))


def test_other_names_are_refused() -> None:
    table = models(seeds=3)
    table.loc[4, "encoder"] = "resnet50"
    with pytest.raises(InputError, match="resnet50: expected a name"):
        training_table(table)
