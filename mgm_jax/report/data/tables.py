"""The tables of a finished study, read and checked once for every part of the report."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd

from mgm_jax.analysis import layer_profile
from mgm_jax.errors import InputError
from mgm_jax.files.seals import check_sum
from mgm_jax.report.data.definitions import KEY_METRICS, PANEL_METRICS
from mgm_jax.report.data.optional_tables import OptionalTables, read_optional_tables
from mgm_jax.report.data.reading import read_table

CELL = ("encoder", "images", "setting", "strength", "tap")
_SUMMARY = (*CELL, "family", "paradigm", "metric", "mean", "low", "high", "groups", "points")
_GROUPS = (*CELL, "group")
_MODELS = ("encoder", "family", "paradigm", "images", "tap")

#: From so many layers on, an encoder is a line along its depth and its feature alone stands for
#: it elsewhere: a row a layer would bury the other encoders.
MANY_LAYERS = 4


@dataclass(frozen=True, kw_only=True)
class StudyTables:
    """Tables and facts of one study; each table has a column ``model`` naming encoder and tap.

    Attributes:
        summary: long table, one row a model, image set, setting, strength and metric.
        groups: group means, one row a model, image set, setting, strength and group.
        models: wide table, one row a model and image set.
        points: per-point values of the key metrics; empty where the study kept none.
        study: the content of ``study.json``.
        optional: probes, clusters, similarity and prediction, where the study has them.
        folder: where the tables lie; None where they do not come from a folder.
        layers: metrics against depth (:func:`~mgm_jax.analysis.layer_profile`), where an encoder
            was read at many layers; the other tables then hold its feature alone.
    """

    summary: pd.DataFrame
    groups: pd.DataFrame
    models: pd.DataFrame
    points: pd.DataFrame
    study: dict[str, Any] = field(default_factory=dict)
    optional: OptionalTables = field(default_factory=OptionalTables)
    folder: Path | None = None
    layers: pd.DataFrame | None = None

    @property
    def image_sets(self) -> list[str]:
        """Names of the image sets in the order of the study."""
        return list(dict.fromkeys(self.models["images"]))

    @property
    def settings(self) -> list[str]:
        """Names of the settings in the order of the study, ``semantic`` first."""
        names = list(dict.fromkeys(self.summary["setting"]))
        return sorted(names, key=lambda name: name != "semantic")

    @property
    def percent(self) -> str:
        """Coverage of the intervals, such as ``95 %``; 95 where the study does not say."""
        return f"{100 * _level(self.study):g} %"

    @property
    def key_metrics(self) -> list[str]:
        """The key metrics that were measured, in the order in which figures offer them."""
        measured = self.summary.loc[self.summary["mean"].notna(), "metric"].unique()
        return [name for name in KEY_METRICS if name in measured]


def read_tables(folder: Path) -> StudyTables:
    """Read ``summary``, ``groups``, ``models`` and ``points`` (Parquet) and ``study.json``.

    The tables of :class:`OptionalTables` are read where they are there.

    Only the columns of ``points`` that the figures need are read: it is the one large table.

    Raises:
        InputError: a table is missing, empty, cannot be read, or lacks columns.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise InputError(f"{folder}: expected the output folder of a study, found no such folder.")
    tables = {
        "summary": read_table(folder / "summary.parquet", _SUMMARY),
        "groups": read_table(folder / "groups.parquet", _GROUPS),
        "models": read_table(folder / "models.parquet", _MODELS),
        "points": read_table(folder / "points.parquet", CELL, only=(*CELL, *KEY_METRICS)),
    }
    study = _read_study(folder / "study.json")
    layers = _layers(tables["summary"], tables["models"], level=_level(study))
    summary, models = tables["summary"], tables["models"]
    tables = {
        name: features_alone(frame, summary=summary, models=models)
        for name, frame in tables.items()
    }
    pairs = tables["models"].drop_duplicates(["encoder", "tap"])
    several_taps = bool(pairs["encoder"].duplicated().any())
    for frame in tables.values():
        frame["strength"] = frame["strength"].fillna(1.0) if "strength" in frame.columns else 1.0
        frame["model"] = frame["encoder"].astype(str)
        if several_taps:
            frame["model"] += " · " + frame["tap"].astype(str)
    return StudyTables(
        **tables,
        study=study,
        optional=read_optional_tables(folder),
        folder=folder,
        layers=layers,
    )


def _level(study: dict[str, Any]) -> float:
    """Coverage of the intervals of a study; 0.95 where it does not say."""
    level: Any = study
    for key in ("study", "metrics", "level"):
        level = level.get(key) if isinstance(level, dict) else None
    return level if isinstance(level, float) else 0.95


def _layers(summary: pd.DataFrame, models: pd.DataFrame, *, level: float) -> pd.DataFrame | None:
    """Metrics against depth, or None where no encoder has many layers."""
    if "seed" not in models or not _layered(summary):
        return None
    return layer_profile(summary, models, model_metrics=PANEL_METRICS, level=level)


def features_alone(
    frame: pd.DataFrame, *, summary: pd.DataFrame, models: pd.DataFrame
) -> pd.DataFrame:
    """The rows of a table without the layers below the feature.

    Of an encoder that was read at :data:`MANY_LAYERS` or more only the tap that stands first in
    ``models`` is kept, which is its feature; all other encoders keep every row.
    """
    layered = _layered(summary)
    if not layered:
        return frame
    firsts = models.drop_duplicates("encoder")
    features = dict(zip(firsts["encoder"], firsts["tap"], strict=True))
    kept = ~frame["encoder"].isin(layered) | (
        frame["tap"] == [features.get(name, "") for name in frame["encoder"]]
    )
    return frame.loc[kept].reset_index(drop=True)


def _layered(summary: pd.DataFrame) -> list[str]:
    """Encoders that were read at many layers."""
    if "depth" not in summary:
        return []
    layers = summary.loc[summary["depth"].notna()].groupby("encoder", sort=False)["tap"].nunique()
    return [str(name) for name in layers.index[layers >= MANY_LAYERS]]


def _read_study(path: Path) -> dict[str, Any]:
    if not path.is_file():
        return {}
    check_sum(path)
    try:
        study = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, OSError) as error:
        raise InputError(f"{path}: cannot be read as JSON ({error}).") from error
    if not isinstance(study, dict):
        raise InputError(f"{path}: expected a JSON object, got {type(study).__name__}.")
    return study
