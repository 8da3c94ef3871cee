"""The tables of a prediction, joined by model: features, baselines, families."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from mgm_jax.analysis.columns import check_models, some_column, usable_columns
from mgm_jax.errors import InputError, name_some

#: Baseline without any feature.
MEAN_OF_MODELS = "mean of the other models"

#: Baseline by the model's own scores on the other tasks.
MEAN_OF_TASKS = "mean of the other tasks"

#: All baselines that were given, as features of one fit.
ALL_BASELINES = "all baselines"

#: Between the name of the features and that of the baselines which are joined with them.
_WITH = " + "

#: Fewest models with a score: with fewer, a fold has nothing left to choose a penalty by.
MIN_MODELS = 5

#: Fewest families: one is held out, and the penalty is chosen by leaving out another.
MIN_FAMILIES = 3


@dataclass(frozen=True, kw_only=True)
class Joined:
    """Models that both tables have.

    Attributes:
        models: names, in the order of the metrics.
        values: features, ``[n, p]``.
        columns: names of the features.
        left_out: features that do not enter, with the reason.
        scores: one row a model, one column a task.
    """

    models: pd.Index
    values: np.ndarray
    columns: tuple[str, ...]
    left_out: dict[str, str]
    scores: pd.DataFrame


@dataclass(frozen=True, kw_only=True)
class Predictors:
    """Features under one name.

    Attributes:
        name: in the tables.
        columns: names of the features.
        values: ``[n, p]``; where every task has features of its own, NaN.
        by_task: features of each task, ``[n, p]``; None where all tasks share ``values``.
    """

    name: str
    columns: tuple[str, ...]
    values: np.ndarray
    by_task: dict[str, np.ndarray] | None = None

    @property
    def shared(self) -> bool:
        """Whether all tasks have the same features."""
        return self.by_task is None

    def of_task(self, task: str) -> np.ndarray | None:
        """Features for a task, ``[n, p]``; None where there are none for it."""
        return self.values if self.by_task is None else self.by_task.get(task)


def _kinds_apart(first: pd.Index, second: pd.Index) -> str:
    """What to add where names are alike as texts, and yet are not the same."""
    if not first.map(str).isin(second.map(str)).any():
        return ""
    kinds = [type(index[0]).__name__ for index in (first, second)]
    return f", {kinds[0]} in metrics and {kinds[1]} in scores: take index.map(str) of both"


def match_models(
    metrics: pd.DataFrame, scores: pd.DataFrame, *, diagnostics: bool = False
) -> Joined:
    """Join metrics and scores by model and check both; diagnostics enter where they may.

    Raises:
        InputError: see :func:`~mgm_jax.analysis.transfer.predict.predict_transfer`.
    """
    check_models(metrics, name="metrics")
    check_models(scores, name="scores")
    if not scores.shape[1]:
        raise InputError("scores: expected at least one column (one a task), got none.")
    tasks = [str(task) for task in scores.columns]
    twice = sorted({task for task in tasks if tasks.count(task) > 1})
    if twice:
        raise InputError(f"scores: each task must be one column; given twice: {name_some(twice)}.")
    models = metrics.index[metrics.index.isin(scores.index)]
    if len(models) < MIN_MODELS:
        raise InputError(
            f"metrics and scores: expected at least {MIN_MODELS} models with both, got "
            f"{len(models)}; metrics has {name_some(metrics.index, most=4)}, scores has "
            f"{name_some(scores.index, most=4)}. Models are joined by the name in the index"
            f"{_kinds_apart(metrics.index, scores.index)}."
        )
    own = metrics.loc[models]
    columns, left_out = usable_columns(own, diagnostics=diagnostics)
    some_column(columns, left_out)
    measured = scores.loc[models].astype(np.float64).replace([np.inf, -np.inf], np.nan)
    measured.columns = pd.Index(tasks)
    for task in tasks:
        known = measured[task].dropna()
        if len(known) < MIN_MODELS or np.ptp(known) <= 1e-12 * np.abs(known).max():
            raise InputError(
                f"scores: expected at least {MIN_MODELS} models with scores that differ for "
                f"each task, got {len(known)} models and {known.nunique()} different scores for "
                f"{task!r}. Leave that task out."
            )
        if not 1e-150 < np.ptp(known) < 1e150:
            raise InputError(
                f"scores: expected scores whose squares float64 holds; those of {task!r} are "
                f"spread by {np.ptp(known):.1g}. Multiply them by a constant."
            )
    own.columns = own.columns.map(str)
    return Joined(
        models=models,
        values=own[list(columns)].to_numpy(np.float64),
        columns=columns,
        left_out=left_out,
        scores=measured,
    )


def collect_predictors(
    joined: Joined,
    baselines: pd.DataFrame | Mapping[str, pd.Series | pd.DataFrame] | None,
    *,
    name: str,
) -> list[Predictors]:
    """The features first, then the baselines given, then those that need nothing given.

    Between them all baselines together, and the features with them: what do they add?
    """
    own = Predictors(name=name, columns=joined.columns, values=joined.values)
    given = [
        _baseline(str(baseline), baselines[baseline], joined)  # type: ignore[index]
        for baseline in (baselines if baselines is not None else ())
    ]
    every = [own, *given]
    if len(given) > 1:
        every.append(_together(ALL_BASELINES, given, joined.scores))
    if given:
        label = ALL_BASELINES if len(given) > 1 else given[0].name
        every.append(_together(f"{name}{_WITH}{label}", [own, *given], joined.scores))
    if joined.scores.shape[1] > 1:
        every.append(_other_tasks(joined.scores))
    nothing = np.empty((len(joined.models), 0))
    every.append(Predictors(name=MEAN_OF_MODELS, columns=(), values=nothing))
    names = [one.name for one in every]
    twice = sorted({one for one in names if names.count(one) > 1})
    if twice:
        raise InputError(f"baselines: names must differ from {name_some(twice)}; rename them.")
    return every


def has_baselines_added(predictors: pd.Series, name: str) -> pd.Series:
    """Which sets of predictors are the features together with baselines, so no baseline themselves.

    Args:
        predictors: names of the sets.
        name: of the features alone.

    >>> has_baselines_added(pd.Series(["mgm", "logme", "mgm + all baselines"]), "mgm").tolist()
    [False, False, True]
    """
    return predictors.astype(str).str.startswith(f"{name}{_WITH}")


def family_codes(
    families: Mapping[str, str] | pd.Series | Sequence[str] | None,
    metrics: pd.DataFrame,
    models: pd.Index,
) -> dict[str, np.ndarray]:
    """``{"family": [n] codes}`` of the models; empty where no families are given."""
    if families is None:
        return {}
    if isinstance(families, Mapping | pd.Series):
        lookup: dict[Any, Any] = dict(families.items())
    elif len(families) == len(metrics):
        lookup = dict(zip(metrics.index, families, strict=True))
    else:
        raise InputError(
            f"families: expected one for each of the {len(metrics)} rows of metrics, got "
            f"{len(families)}. Give them in that order, or as a mapping from model to family."
        )
    unknown = pd.Series([lookup.get(model) for model in models], dtype=object).isna()
    missing = list(models[unknown.to_numpy()])
    if missing:
        raise InputError(f"families: no family for {name_some(missing)}. Add it.")
    named = [str(lookup[model]) for model in models]
    distinct, codes = np.unique(named, return_inverse=True)
    if len(distinct) < MIN_FAMILIES:
        raise InputError(
            f"families: expected at least {MIN_FAMILIES} among the models with scores, got "
            f"{name_some(distinct)}. Leave families out, or give finer ones."
        )
    return {"family": codes}


def _baseline(name: str, given: pd.Series | pd.DataFrame, joined: Joined) -> Predictors:
    def column(values: pd.Series) -> np.ndarray:
        if not pd.api.types.is_numeric_dtype(values.dtype):
            raise InputError(f"baselines: expected numbers in {name!r}, got {values.dtype}.")
        return values.reindex(joined.models).to_numpy(np.float64)[:, None]

    if isinstance(given, pd.DataFrame):
        tasks = {
            str(task): column(given.loc[:, task])
            for task in given.columns
            if str(task) in joined.scores.columns
        }
        empty = np.full((len(joined.models), 1), np.nan)
        return Predictors(name=name, columns=(name,), values=empty, by_task=tasks)
    return Predictors(name=name, columns=(name,), values=column(given))


def _together(name: str, parts: Sequence[Predictors], scores: pd.DataFrame) -> Predictors:
    """All features of several predictors, task by task; those with gaps do not enter."""
    by_task = {}
    for task in scores.columns:
        scored = scores[task].notna().to_numpy()
        blocks = [part.of_task(task) for part in parts]
        whole = [b for b in blocks if b is not None and np.isfinite(b[scored]).all()]
        if whole:
            by_task[task] = np.concatenate(whole, axis=1)
    empty = np.full((len(scores), 0), np.nan)
    return Predictors(name=name, columns=(), values=empty, by_task=by_task)


def _other_tasks(scores: pd.DataFrame) -> Predictors:
    standardised = (scores - scores.mean()) / scores.std(ddof=0)
    by_task = {
        task: standardised.drop(columns=[task]).mean(axis=1).to_numpy(np.float64)[:, None]
        for task in scores.columns
    }
    return Predictors(
        name=MEAN_OF_TASKS,
        columns=(MEAN_OF_TASKS,),
        values=np.full((len(scores), 1), np.nan),
        by_task=by_task,
    )
