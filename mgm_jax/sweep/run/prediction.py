"""Do the manifold graph metrics of a study's encoders predict how well they transfer?"""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pandas as pd

from mgm_jax.analysis.columns import usable_columns
from mgm_jax.analysis.transfer.predict import predict_transfer
from mgm_jax.analysis.transfer.predictors import MIN_FAMILIES
from mgm_jax.analysis.transfer.published import published_transfer, unclaimed
from mgm_jax.encoders.catalogue.methods import is_guessed
from mgm_jax.errors import name_some
from mgm_jax.study import Study
from mgm_jax.sweep.plan.given_scores import GIVEN

#: Metrics that enter clusters and predictions: the properties of the manifold graph, and the two
#: of them that the cone of the features and the width confound once more without that.
MGM = (
    "nnk_degree",
    "nnk_diameter",
    "relative_diameter",
    "nnk_affinity",
    "nnk_affinity_excess",
)

#: The accuracy that a task is scored by: the first of these measures that was run on the target.
TASK_MEASURES = ("linear", "ridge", "knn")

#: Fewest encoders whose transfer is predicted; with fewer, no result could be told from chance.
MIN_PREDICTED = 6

# Columns of the table ``models`` that are baselines, under their own names.
_PANEL = ("knn_accuracy", "rankme", "alpha_req", "width")


def mgm_columns(models: pd.DataFrame) -> list[str]:
    """Columns ``setting.metric`` of the table ``models`` that hold manifold graph metrics.

    Of a setting at several strengths only strength 1 enters, where it was measured: the others
    repeat it, and every further column makes chance agreement likelier.
    """
    columns = [name for name in models.columns if name.rpartition(".")[2] in MGM and "." in name]
    at_one = {name.rpartition(".")[0] for name in columns if "@" not in name}
    return [name for name in columns if "@" not in name or name.partition("@")[0] not in at_one]


def prediction_tables(
    models: pd.DataFrame, transfer: pd.DataFrame, *, study: Study
) -> dict[str, pd.DataFrame]:
    """Tables ``prediction``, ``predictions`` and ``features``; empty where there is no ground.

    Args:
        models: table of that name, one tap an encoder. Metrics are those of the first image set
            that has them for every encoder, else of the first.
        transfer: table of that name.
        study: gives the seed and the options of intervals.
    """
    metrics = _metrics(models)
    scores = task_scores(transfer)
    if metrics is not None and not scores.empty:
        scores = scores.reindex(metrics.index)
        _tell_of_unpredicted(scores, transfer)
        enough = (scores.notna().sum() >= MIN_PREDICTED) & (scores.nunique() > 1)
        scores = scores.loc[:, enough]
    if metrics is None or scores.empty:
        return {}
    values = metrics.loc[:, mgm_columns(metrics)].astype(np.float64)
    if not usable_columns(values)[0]:
        return {}
    kinds, families = _families(metrics, scores)
    results = predict_transfer(
        values,
        scores,
        families=families,
        baselines=_baselines(metrics, transfer, scores),
        resamples=study.metrics.resamples,
        level=study.metrics.level,
        seed=study.seed,
    )
    prediction = results.table.copy()
    prediction["images"] = str(metrics["images"].iloc[0])
    prediction["families"] = np.where(prediction["held_out"] == "family", kinds, "")
    return {
        "prediction": prediction,
        "predictions": results.predictions,
        "features": results.features,
    }


def _tell_of_unpredicted(scores: pd.DataFrame, transfer: pd.DataFrame) -> None:
    """Warn of tasks of given scores that are too few to be predicted, or all the same."""
    given = set(transfer.loc[transfer["kind"] == GIVEN, "images"].astype(str))
    reasons = []
    for task, column in scores.items():
        known = column.dropna()
        if str(task) not in given:
            continue
        if len(known) < MIN_PREDICTED:
            lacking = name_some(scores.index.difference(known.index, sort=False), most=3)
            reasons.append(f"{task} ({len(known)} models have a score, not {lacking})")
        elif known.nunique() < 2:
            reasons.append(f"{task} (all scores are the same)")
    if reasons:
        warnings.warn(
            f"transfer is not predicted for {name_some(reasons)}; it takes scores of "
            f"{MIN_PREDICTED} models that differ.",
            stacklevel=2,
        )


def task_scores(transfer: pd.DataFrame) -> pd.DataFrame:
    """One row an encoder, one column a task: ``target · measure``, or a task of given scores.

    Of several metrics of a measure (top-1, mean per class) the first in the table counts.
    """
    if transfer.empty:
        return pd.DataFrame()
    columns = {}
    probes: Any = transfer.loc[transfer["kind"] == "probe"]
    for target, block in probes.groupby("images", sort=False):
        measure = next((m for m in TASK_MEASURES if m in set(block["measure"])), None)
        if measure is not None:
            own = block[block["measure"] == measure].drop_duplicates("encoder")
            columns[f"{target} · {measure}"] = own.set_index("encoder")["value"]
    for task, block in transfer.loc[transfer["kind"] == GIVEN].groupby("images", sort=False):
        columns[str(task)] = block.set_index("encoder")["value"]
    return pd.DataFrame(columns)


def _metrics(models: pd.DataFrame) -> pd.DataFrame | None:
    """Rows of one image set, indexed by encoder."""
    # A column that no encoder has anywhere (a diameter of mirrored images) tells no sets apart.
    names = [name for name in mgm_columns(models) if models[name].notna().to_numpy().any()]
    if models.empty or not names:
        return None
    blocks = [block for _, block in models.groupby("images", sort=False)]
    whole = [block for block in blocks if block[names].notna().to_numpy().all()]
    block = (whole or blocks)[0]
    return block.set_index("encoder") if len(block) >= MIN_PREDICTED else None


def _families(metrics: pd.DataFrame, scores: pd.DataFrame) -> tuple[str, pd.Series | None]:
    """The first label with families enough, and the family of each encoder.

    Encoders of one network differ in how they were trained, so the paradigm takes the place of a
    family that all share. Every task must have encoders of enough families.
    """
    for name in ("family", "paradigm", "architecture"):
        labels: Any = metrics[name].astype(str)
        # A p-value must not rest on a guess.
        if labels.map(is_guessed).any():
            continue
        fewest = min(len(set(labels[scores[task].notna()])) for task in scores.columns)
        if MIN_FAMILIES <= fewest < len(labels):
            return name, labels
    return "", None


def _baselines(
    metrics: pd.DataFrame, transfer: pd.DataFrame, scores: pd.DataFrame
) -> dict[str, pd.Series | pd.DataFrame]:
    """Predictors of one column: of the encoder alone, and of the encoder on each target."""
    baselines: dict[str, pd.Series | pd.DataFrame] = {}
    panel = metrics.loc[:, [name for name in _PANEL if name in metrics]].astype(np.float64)
    for name in usable_columns(panel)[0]:
        baselines[name] = panel.loc[:, name]
    accuracy = published_transfer("many_shot_linear", models=unclaimed(metrics.index))["ImageNet"]
    if len(accuracy) >= MIN_PREDICTED:
        baselines["ImageNet top-1 (published)"] = accuracy
    measured = {str(task).rpartition(" · ")[2] for task in scores.columns}
    scored: Any = transfer.loc[(transfer["kind"] == "score") | (transfer["measure"] == "knn")]
    for measure, block in scored.groupby("measure", sort=False):
        columns = {}
        for task in scores.columns:
            own = block[block["images"] == str(task).rpartition(" · ")[0]]
            own = own.drop_duplicates("encoder").set_index("encoder")["value"]
            values = own.reindex(metrics.index)[scores[task].notna()]
            if measure not in measured and values.notna().all() and len(set(values)) > 1:
                columns[task] = own
        if columns:
            label = "k-NN on the target" if measure == "knn" else str(measure)
            baselines[label] = pd.DataFrame(columns).reindex(metrics.index)
    return baselines
