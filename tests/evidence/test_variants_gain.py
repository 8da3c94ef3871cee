"""Gains of variants of the geometry: found where a set holds what is missing."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from benchmarks.variants_gain import study_gains


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Tables of 16 encoders, half of them of another width, whose probes follow one measure."""
    folder = tmp_path_factory.mktemp("study")
    rng = np.random.default_rng(0)
    encoders = [f"e{i}" for i in range(16)]
    knn, missing = rng.normal(size=(2, 16))
    models = pd.DataFrame(
        {
            "encoder": encoders,
            "images": "photos",
            "paradigm": [f"p{i % 4}" for i in range(16)],
            "width": [64 if i < 8 else 128 for i in range(16)],
            "semantic.nnk_degree": rng.normal(size=16),
        }
    )
    models.to_parquet(folder / "models.parquet")
    columns = {"pca_components.nnk": missing, "multiscale.degree@0.5": rng.normal(size=16)}
    pd.DataFrame(columns, index=encoders).to_parquet(folder / "variants.parquet")
    rows = [
        {"kind": "probe", "images": "t", "encoder": one, "measure": measure, "metric": "top1"}
        | {"value": value}
        for measure, values in (("ridge", knn + missing), ("knn", knn))
        for one, value in zip(encoders, values, strict=True)
    ]
    pd.DataFrame(rows).to_parquet(folder / "transfer.parquet")
    return folder


def test_what_the_probes_follow_gains_and_noise_does_not(study: Path) -> None:
    result = study_gains(study)
    assert result["models"] == 16
    for held_out in ("model", "paradigm"):
        for beside in ("", "_and_width"):
            rows = {row["set"]: row for row in result[f"{held_out}_held_out{beside}"]}
            assert ("width" in rows) == (not beside)
            assert rows["pca_components"]["low"] > 0.1, (held_out, beside)
            assert rows["multiscale"]["low"] < 0.1 and rows["semantic MGMs"]["low"] < 0.1
