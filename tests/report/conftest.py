"""Synthetic tables of a study, with the exact columns that a sweep writes."""

from __future__ import annotations

import functools
import json
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from mgm_jax.report import write_report
from tests.report.encoders import (
    FakeEncoder,
    demo_encoders,
    hostile_encoders,
    one_encoder,
    population,
)
from tests.report.transfer_tables import TARGETS, write_transfer_tables

METRICS = (
    "k_effective",
    "saturated",
    "duplicates",
    "degenerate",
    "nnk_degree",
    "nnk_diameter",
    "nnk_radius",
    "nnk_affinity",
    "nnk_affinity_excess",
    "nnk_affinity_null",
    "nnk_residual",
    "nnk_kkt",
    "pca_dimension",
    "pca_participation_ratio",
    "knn_distance",
    "relative_diameter",
)
VIEWS = ("augs", "crop", "colorjitter", "rotation")


def write_study(
    folder: Path,
    encoders: Sequence[FakeEncoder],
    *,
    images: Sequence[str] = ("digits",),
    settings: Sequence[str] = ("semantic", *VIEWS),
    strengths: Sequence[float] = (1.0,),
    groups: int = 10,
    points: int = 24,
    missing: bool = False,
    failures: int = 0,
    targets: Sequence[str] | None = None,
    ahead: int = 1,
    single: Sequence[str] = (),
) -> Path:
    """Write the tables of a synthetic study into ``folder`` and return it.

    Points of the settings ``single`` have one neighbour, so no diameter.
    """
    folder.mkdir(parents=True, exist_ok=True)
    frames = [
        _points_of(encoder, image_set, setting, strength, groups, points)
        for encoder in encoders
        for image_set in images
        for setting in settings
        for strength in (strengths if setting != "semantic" else (0.0,))
    ]
    table = pd.concat(frames, ignore_index=True)
    if missing:
        table.loc[table.index[::11], ["nnk_affinity_excess", "nnk_diameter"]] = np.nan
        table.loc[table["encoder"] == encoders[0].name, "nnk_degree"] = np.nan
    table.loc[table["setting"].isin(single), ["nnk_diameter", "relative_diameter"]] = np.nan
    grouped = _group_means(table)
    summary = _summary(grouped, table, encoders)
    models = _models(summary, encoders, images, missing=missing)
    for name, frame in (
        ("points", table),
        ("groups", grouped),
        ("summary", summary),
        ("models", models),
    ):
        frame.to_parquet(folder / f"{name}.parquet", index=False)
        frame.to_csv(folder / f"{name}.csv", index=False)
    if targets is not None:
        write_transfer_tables(folder, encoders, images=images, targets=targets, ahead=ahead)
    examples = [[f"class_{i}/img<{i}>.jpg", "truncated file"] for i in range(min(failures, 5))]
    study = {
        "study": {
            "name": "synthetic <study>",
            "encoders": [encoder.name for encoder in encoders],
            "images": list(images),
            "settings": list(settings),
            "seed": 0,
        },
        "digest": "6f1c0ffee",
        "versions": {"mgm_jax": "0.1.0", "jax": "0.10.1", "python": "3.11.9"},
        "failures": {
            image_set: {"count": failures, "images": 1500, "examples": examples}
            for image_set in images
        },
    }
    (folder / "study.json").write_text(json.dumps(study))
    return folder


def _points_of(
    encoder: FakeEncoder, images: str, setting: str, strength: float, groups: int, points: int
) -> pd.DataFrame:
    word = f"{encoder.name}{images}{setting}"
    generator = np.random.default_rng([*word.encode(), round(100 * strength)])
    size = groups * points
    group = np.repeat(np.arange(groups), points)
    spread = {"semantic": 1.0, "augs": 0.62, "crop": 0.55, "colorjitter": 0.3, "rotation": 0.5}
    reach = spread.get(setting, 0.4) * (1.0 if setting == "semantic" else strength**0.7)
    wobble = generator.normal(0, 0.05, groups)[group] + generator.normal(0, 0.1, size)
    diameter = np.clip(1.3 * (1 - encoder.collapse) * reach * np.exp(wobble), 0, 2)
    degree = np.clip(generator.poisson(4 + 12 * reach * (1 - encoder.collapse / 2), size), 1, 31)
    values = {
        "k_effective": np.full(size, points - 1),
        "saturated": generator.random(size) < 0.02,
        "duplicates": np.zeros(size),
        "degenerate": np.zeros(size, bool),
        "nnk_degree": degree.astype(float),
        "nnk_diameter": diameter,
        "nnk_radius": 0.7 * diameter,
        "nnk_affinity": np.clip(0.66 + 0.02 * encoder.collapse + 0.05 * wobble, 0, 1),
        "nnk_affinity_excess": 0.2 + 0.3 * encoder.collapse + 0.2 * wobble,
        "nnk_affinity_null": np.clip(0.58 + 0.05 * wobble, 0, 1),
        "nnk_residual": 0.02 * np.exp(wobble),
        "nnk_kkt": np.full(size, 1e-8),
        "pca_dimension": np.round(degree * 0.8 + 1),
        "pca_participation_ratio": degree * 0.5,
        "knn_distance": 0.5 * diameter,
        "relative_diameter": diameter / (0.9 * (1 - encoder.collapse)),
    }
    labels = {
        "encoder": encoder.name,
        "images": images,
        "setting": setting,
        "strength": strength,
        "tap": "pool",
        "group": [f"class_{code}" for code in group],
        "point": [f"image_{i}" for i in range(size)],
        "view": np.tile(np.arange(points), groups),
    }
    return pd.DataFrame({**labels, **values})


_CELL = ["encoder", "images", "setting", "strength", "tap"]


def _group_means(points: pd.DataFrame) -> pd.DataFrame:
    keys = [*_CELL, "group"]
    return points.groupby(keys, sort=False)[list(METRICS)].mean().reset_index()


def _summary(
    grouped: pd.DataFrame, points: pd.DataFrame, encoders: Sequence[FakeEncoder]
) -> pd.DataFrame:
    cells = [*_CELL, "metric"]
    over_groups = _long(grouped, cells)
    table = over_groups.agg(
        mean="mean",
        std="std",
        median="median",
        q25=lambda values: values.quantile(0.25),
        q75=lambda values: values.quantile(0.75),
        groups="count",
    )
    error = 1.96 * table["std"] / np.sqrt(table["groups"])
    over_points = _long(points, cells)
    table = table.assign(
        low=table["mean"] - error,
        high=table["mean"] + error,
        points=over_points.count(),
        left_out=over_points.size() - over_points.count(),
    ).reset_index()
    facts = pd.DataFrame(
        [(e.name, e.family, e.architecture, e.paradigm) for e in encoders],
        columns=["encoder", "family", "architecture", "paradigm"],
    )
    return table.merge(facts, on="encoder")


def _long(frame: pd.DataFrame, cells: list[str]):
    values = frame[[*_CELL, *METRICS]].astype(dict.fromkeys(METRICS, float))
    long = values.melt(id_vars=_CELL, value_vars=list(METRICS), var_name="metric")
    return long.groupby(cells, sort=False)["value"]


def _models(
    summary: pd.DataFrame,
    encoders: Sequence[FakeEncoder],
    images: Sequence[str],
    *,
    missing: bool,
) -> pd.DataFrame:
    swept = (summary["strength"] != 1) & (summary["setting"] != "semantic")
    setting = summary["setting"].where(
        ~swept, summary["setting"] + "@" + summary["strength"].map("{:g}".format)
    )
    cells = summary.assign(column=setting + "." + summary["metric"]).pivot(
        index=["encoder", "images"], columns="column", values="mean"
    )
    rows = []
    for encoder in encoders:
        for image_set in images:
            generator = np.random.default_rng([*encoder.name.encode(), *image_set.encode()])
            accuracy = float(np.clip(0.9 - 0.3 * encoder.collapse, 0, 1))
            rows.append(
                {
                    "encoder": encoder.name,
                    "architecture": encoder.architecture,
                    "paradigm": encoder.paradigm,
                    "family": encoder.family,
                    "seed": encoder.seed,
                    "images": image_set,
                    "tap": "pool",
                    "rankme": 1 + 200 * (1 - encoder.collapse) * generator.uniform(0.95, 1.05),
                    "alpha_req": 1 + encoder.collapse,
                    "nesum": 4 + 10 * (1 - encoder.collapse),
                    "uniformity": -4 * (1 - encoder.collapse),
                    "mean_cosine": min(1.0, encoder.collapse + 0.04),
                    "typical_distance": 0.9 * (1 - encoder.collapse),
                    "knn_accuracy": np.nan if missing and encoder is encoders[0] else accuracy,
                    "knn_accuracy_low": accuracy - 0.03,
                    "knn_accuracy_high": accuracy + 0.03,
                }
            )
    return pd.DataFrame(rows).merge(cells, left_on=["encoder", "images"], right_index=True)


CASES: dict[str, dict] = {
    "one": {"encoders": one_encoder(), "groups": 4},
    "single group": {"encoders": population(3), "groups": 1, "settings": ("semantic",)},
    "demo": {"encoders": demo_encoders()},
    "population": {"encoders": population(6), "points": 8, "settings": ("semantic", "augs")},
    "sweep": {"encoders": population(3), "strengths": (0.5, 1.0, 2.0), "groups": 4},
    "mirrored": {
        "encoders": population(3),
        "settings": ("semantic", "crop", "hflip"),
        "strengths": (0.5, 1.0),
        "groups": 4,
        "single": ("hflip",),
    },
    "forty": {
        "encoders": population(40),
        "settings": ("semantic", "augs", "crop"),
        "strengths": (0.5, 1.0),
        "groups": 2,
        "points": 8,
    },
    "transfer": {"encoders": population(12), "points": 8, "groups": 4, "targets": TARGETS},
    "few targets": {
        "encoders": population(4),
        "settings": ("semantic",),
        "points": 6,
        "groups": 2,
        "targets": TARGETS[:2],
    },
    "twenty-five": {
        "encoders": population(25),
        "images": TARGETS,
        "groups": 3,
        "points": 8,
        "targets": TARGETS,
    },
    "hostile": {
        "encoders": hostile_encoders(),
        "missing": True,
        "failures": 7,
        "images": ("digits", "<i>other</i> set"),
        "targets": ("<b>a</b>/b & c", "t" * 300),
    },
}


@pytest.fixture(scope="session")
def study(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Folder of a synthetic study by the name of its case; read-only, written once."""
    return functools.cache(
        lambda case: write_study(tmp_path_factory.mktemp("study"), **CASES[case])
    )


@pytest.fixture(scope="session")
def page_of(study: Callable[[str], Path]) -> Callable[[str], Path]:
    """The page of a case, as :func:`study`: it takes seconds, so it is written once."""
    return functools.cache(lambda case: write_report(study(case)))
