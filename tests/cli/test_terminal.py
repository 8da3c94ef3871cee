"""What the commands print: a table that fits a screen."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from mgm_jax.cli.terminal import MAX_ROWS, print_summary

METRICS = ("nnk_degree", "nnk_diameter", "nnk_affinity", "nnk_affinity_excess", "pca_dimension")


def write_summary(out: Path, *, encoders: int, settings: tuple[tuple[str, float], ...]) -> None:
    rows = [
        {"encoder": f"net[{encoder}]", "images": images, "setting": setting, "strength": strength}
        | {"tap": "pool", "metric": metric, "mean": encoder, "low": np.nan, "high": np.nan}
        for encoder in range(encoders)
        for images in ("digits", "photos")
        for setting, strength in settings
        for metric in METRICS
    ]
    pd.DataFrame(rows).to_parquet(out / "summary.parquet")
    models = [{"encoder": f"net[{encoder}]", "tap": "pool"} for encoder in range(encoders)]
    pd.DataFrame(models).to_parquet(out / "models.parquet")


def test_a_large_study_shows_its_encoders_on_one_set_and_names_the_rest(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_summary(tmp_path, encoders=15, settings=(("semantic", 0.0), ("crop", 1.0)))
    print_summary(tmp_path)
    head, columns, *rows, rest = capsys.readouterr().out.splitlines()
    assert head == "digits, semantic manifolds"
    assert columns.split() == ["encoder", "degree", "diameter", "affinity", "excess", "PCA", "dim."]
    assert [row.split()[:2] for row in rows] == [[f"net[{n}]", f"{n}"] for n in range(MAX_ROWS)]
    assert rest == f"and {15 * 4 - MAX_ROWS} more rows in {tmp_path / 'summary.csv'}"


def test_a_small_study_shows_every_cell(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_summary(tmp_path, encoders=2, settings=(("semantic", 0.0), ("crop", 0.5), ("crop", 1.0)))
    print_summary(tmp_path)
    columns, *rows = capsys.readouterr().out.splitlines()
    assert columns.split()[:3] == ["encoder", "images", "setting"]
    assert len(rows) == 12
    assert rows[2].split()[:4] == ["net[0]", "digits", "crop@1", "0"]
