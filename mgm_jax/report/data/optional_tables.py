"""Tables that a study may have beside its metrics: probes, clusters, similarity, prediction."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd

from mgm_jax.analysis.transfer.result import TABLE_COLUMNS
from mgm_jax.report.data.reading import read_optional_table

# Columns that the page cannot do without, then those it shows where they are.
_NEEDED = {
    "transfer": ("encoder", "images", "measure", "metric", "value"),
    "clusters": ("encoder", "images", "group", "position"),
    "cluster_agreement": ("images", "against", "ari", "p_value"),
    "cluster_tree": ("images", "left", "right", "height", "size"),
    "similarity": ("encoder_a", "encoder_b", "images", "measure", "value"),
    "prediction": ("task", "predictors", "held_out", "r2"),
    "predictions": ("task", "predictors", "held_out", "model", "measured", "predicted"),
    "features": ("task", "feature", "coefficient"),
}
_SHOWN = {
    "transfer": ("kind", "low", "high", "tap", "family", "paradigm", "converged", "n_train"),
    "cluster_agreement": ("groups", "stability", "p_any", "chosen"),
    "similarity": ("low", "high"),
    "prediction": tuple(name for name in TABLE_COLUMNS if name not in _NEEDED["prediction"]),
    "features": ("selected", "sign"),
}
_TEXT = (
    *("encoder", "encoder_a", "encoder_b", "images", "kind", "measure", "metric", "tap"),
    *("family", "paradigm", "against", "task", "predictors", "held_out", "model", "feature"),
    "worst_model",
)
_FLAGS = ("converged", "chosen")


def _nothing(name: str) -> pd.DataFrame:
    frame = _typed(pd.DataFrame(columns=[*_NEEDED[name], *_SHOWN.get(name, ())]))
    return _with_model(frame) if name == "transfer" else frame


@dataclass(frozen=True, kw_only=True)
class OptionalTables:
    """One frame a table; without rows where the study has none. Numbers are floats.

    Attributes:
        transfer: scores of every encoder on every target: probes and transferability scores.
        clusters: group and position along the tree of every encoder.
        cluster_agreement: adjusted Rand index of the groups against what is known of encoders.
        cluster_tree: merges of the tree in SciPy's layout, in order, one block an image set.
        similarity: values of every pair of encoders.
        prediction: how well transfer is predicted, one row a task, predictors and held-out unit.
        predictions: measured and predicted scores, one row a model and row of ``prediction``.
        features: coefficients of the predictors of a task with their stability.
    """

    transfer: pd.DataFrame = field(default_factory=partial(_nothing, "transfer"))
    clusters: pd.DataFrame = field(default_factory=partial(_nothing, "clusters"))
    cluster_agreement: pd.DataFrame = field(default_factory=partial(_nothing, "cluster_agreement"))
    cluster_tree: pd.DataFrame = field(default_factory=partial(_nothing, "cluster_tree"))
    similarity: pd.DataFrame = field(default_factory=partial(_nothing, "similarity"))
    prediction: pd.DataFrame = field(default_factory=partial(_nothing, "prediction"))
    predictions: pd.DataFrame = field(default_factory=partial(_nothing, "predictions"))
    features: pd.DataFrame = field(default_factory=partial(_nothing, "features"))

    def finite_scores(self) -> pd.DataFrame:
        """The rows of ``transfer`` that have a value, each once."""
        rows = self.transfer.loc[np.isfinite(self.transfer["value"])]
        return rows.drop_duplicates(["model", "images", "measure", "metric"])


def read_optional_tables(folder: Path) -> OptionalTables:
    """Read those of the tables (Parquet) that lie in ``folder``.

    Raises:
        InputError: a table that is there is damaged or lacks columns.
    """
    frames = {}
    for name, needed in _NEEDED.items():
        frame = read_optional_table(folder / f"{name}.parquet", needed)
        frames[name] = _typed(frame.reindex(columns=[*needed, *_SHOWN.get(name, ())]))
    frames["transfer"] = _with_model(frames["transfer"])
    return OptionalTables(**frames)


def _typed(frame: pd.DataFrame) -> pd.DataFrame:
    columns = {}
    for name in map(str, frame.columns):
        column = frame[name]
        if name in _TEXT:
            columns[name] = column.astype(object).where(column.notna(), "").astype(str)
        elif name in _FLAGS:
            # A fit that says nothing of its convergence is no failed fit.
            columns[name] = column.astype(object).where(column.notna(), True).astype(bool)
        else:
            columns[name] = pd.Series(pd.to_numeric(column, errors="coerce"), dtype=float)
    return pd.DataFrame(columns, index=frame.index)


def _with_model(transfer: pd.DataFrame) -> pd.DataFrame:
    """Name the encoder, and its tap where encoders were read at several."""
    taps = transfer.drop_duplicates(["encoder", "tap"])["encoder"]
    model = transfer["encoder"]
    if taps.duplicated().any():
        model = model + " · " + transfer["tap"]
    return transfer.assign(model=model)
