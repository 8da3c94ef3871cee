"""Do the metrics of models predict how well they transfer? Held out, or not said at all."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pandas as pd

from mgm_jax.analysis.columns import as_table
from mgm_jax.analysis.transfer.agreement import holm, r2
from mgm_jax.analysis.transfer.feature_stability import feature_stability
from mgm_jax.analysis.transfer.folds import hold_out
from mgm_jax.analysis.transfer.held_out import (
    Effort,
    Regression,
    largest_error,
    measured_scale,
    permutation_p_values,
    predict_held_out,
    predict_mean,
    random_reach,
    scores_of,
)
from mgm_jax.analysis.transfer.predictors import (
    MEAN_OF_MODELS,
    MIN_FAMILIES,
    MIN_MODELS,
    Predictors,
    collect_predictors,
    family_codes,
    match_models,
)
from mgm_jax.analysis.transfer.result import TABLE_COLUMNS, TransferPrediction
from mgm_jax.analysis.transfer.ridge import Ridge
from mgm_jax.analysis.transfer.sparse import Sparse
from mgm_jax.errors import InputError, name_some
from mgm_jax.intervals import check_level
from mgm_jax.progress import Bar, progress

Method = Literal["ridge", "lasso", "elastic-net"]

_METHODS: dict[str, Regression] = {
    "ridge": Ridge(),
    "lasso": Sparse(share=1.0),
    "elastic-net": Sparse(share=0.5),
}

# The share of random sets below ``random_r2_high``.
_HIGH = 0.95


def predict_transfer(
    metrics: pd.DataFrame | pd.Series,
    scores: pd.DataFrame | pd.Series,
    *,
    families: Mapping[str, str] | pd.Series | Sequence[str] | None = None,
    baselines: pd.DataFrame | Mapping[str, pd.Series | pd.DataFrame] | None = None,
    method: Method = "ridge",
    ranks: bool = False,
    diagnostics: bool = False,
    name: str = "mgm",
    resamples: int = 2000,
    permutations: int = 1000,
    random_sets: int = 200,
    level: float = 0.95,
    seed: int = 0,
) -> TransferPrediction:
    """Predict the scores of each model from its metrics by what the other models show.

    Few models and many features fit anything, so only held-out predictions count. Each model in
    turn (and each family of models, where ``families`` are given) is left out; features are
    standardised and the penalty is chosen within the models that stay, by leaving out one model
    (one family) of them at a time. The held-out predictions are scored by R^2, Spearman's and the
    weighted Kendall correlation, with bootstrap intervals over the models. The p-value of R^2
    comes from permuted scores, predicted anew from start to end (families: see below), and is
    corrected over the tasks by Holm's method.

    Beside the features stand baselines, held out in the same way, each a single feature:
    those given, the mean of the other models (no feature at all), and, where there is more than
    one task, the model's mean standardised score on the other tasks. All baselines given are
    also taken together, with the features and without: what do the features add? And beside
    each stands what as many random features reach.

    To keep in mind: under leave-one-out the mean of the other models scores an R^2 slightly
    below 0. Correlations are NaN where the predictions differ less by the features than by what
    was left out of the mean: their order would be an artefact. One model unlike all others can
    make R^2 as low as one likes: ``worst_share`` tells. The intervals take the models as
    independent, which models of one family are not. With families, whole families are permuted,
    so few families cannot give a small p-value, and it is exact for families of equal size only.

    Args:
        metrics: ``[n, p]``, one row a model (its name in the index), numeric columns; a series is
            one column. Columns that are constant, rounding noise, missing for a model, or
            diagnostics do not enter (``left_out``).
        scores: one row a model, one column a task; NaN where a model has no score. Models are
            joined by name; those that only one table has are left out.
        families: family of each model, by its name, or in the order of ``metrics``; at least 3.
        baselines: by name, a value a model (a column or series), or a frame with a column a task
            (k-NN accuracy on the target, for example).
        method: ``ridge``; ``lasso`` and ``elastic-net`` (half of each penalty) choose features
            and take minutes where ridge takes seconds.
        ranks: predict ranks from ranks, taken within the training models.
        diagnostics: let columns enter that say how the measurement went, no property of the model
            (``nnk_kkt``, residuals, shares, widths, ends of intervals).
        name: what the features are called in the tables.
        resamples: bootstrap resamples for the intervals; a tenth of them, subsamples of four
            fifths of the models, for the stability of features.
        permutations: for the p-values.
        random_sets: sets of random features.
        level: coverage of the intervals, between 0 and 1.
        seed: of every random draw.

    Returns:
        A ``TransferPrediction``; ``to_pandas()`` is one row a task.

    Raises:
        InputError: fewer than 5 models with a score on some task, equal scores throughout, no
            usable feature, fewer than 3 families, a model named twice, options out of range.

    References:
        Ericsson, Gouk and Hospedales, "How well do self-supervised models transfer?", CVPR 2021.
        Phipson and Smyth, "Permutation p-values should never be zero", 2010. Vigna, "A weighted
        correlation index for rankings with ties", WWW 2015.

    Example:
        >>> models = [f"model{i}" for i in range(12)]
        >>> drawn = np.random.default_rng(0).normal(size=(12, 3))
        >>> metrics = pd.DataFrame(drawn, index=models, columns=["a", "b", "c"])
        >>> scores = pd.DataFrame({"task": 2 * metrics["a"] + 70})
        >>> result = predict_transfer(metrics, scores, permutations=99, random_sets=20)
        >>> bool(result.to_pandas().loc["task", "r2"] > 0.9)
        True
    """
    effort = _check_options(method, resamples, permutations, random_sets, level, seed)
    metrics, scores = as_table(metrics, name="metrics"), as_table(scores, name="scores")
    joined = match_models(metrics, scores, diagnostics=diagnostics)
    every = collect_predictors(joined, baselines, name=name)
    codes = family_codes(families, metrics, joined.models)
    context = _Context(
        scores=joined.scores,
        codes={"model": np.arange(len(joined.models)), **codes},
        regression=_METHODS[method],
        ranks=ranks,
        effort=effort,
    )
    with progress("predict", total=context.steps(every), unit="fit") as bar:
        rows, predictions = _all_rows(every, context, bar)
        of_features = feature_stability(
            every[0].values, every[0].columns, joined.scores, context.regression, ranks, effort
        )
    table = pd.DataFrame(rows)
    family_wise = table.groupby(["predictors", "held_out"], sort=False)["p_value"]
    table["p_holm"] = family_wise.transform(lambda p: holm(p.to_numpy()))
    order = {task: index for index, task in enumerate(joined.scores.columns)}
    table = table.sort_values("task", key=lambda task: task.map(order), kind="stable")
    return TransferPrediction(
        table=table.loc[:, list(TABLE_COLUMNS)].reset_index(drop=True),
        predictions=pd.concat(predictions, ignore_index=True),
        features=of_features,
        name=name,
        left_out=joined.left_out,
        method=method,
        ranks=ranks,
        level=level,
        resamples=resamples,
        permutations=permutations,
    )


@dataclass(frozen=True, kw_only=True)
class _Context:
    """What all rows of the table have in common.

    Attributes:
        scores: one row a model, one column a task, NaN where there is none.
        codes: what is held out together, by way of holding out.
    """

    scores: pd.DataFrame
    codes: dict[str, np.ndarray]
    regression: Regression
    ranks: bool
    effort: Effort

    def steps(self, every: Sequence[Predictors]) -> int:
        """Number of blocks that :func:`_all_rows` works through."""
        return len(self.codes) * sum(len(list(_blocks(one, self.scores))) for one in every)


def _blocks(
    predictors: Predictors, scores: pd.DataFrame
) -> Iterator[tuple[list[str], np.ndarray, np.ndarray]]:
    """Tasks with scores and features for the same models: tasks, features [n, p], these models."""
    together: dict[tuple[object, bytes], tuple[list[str], np.ndarray]] = {}
    for task in scores.columns:
        values = predictors.of_task(task)
        if values is None:
            continue
        rows = scores[task].notna().to_numpy() & np.isfinite(values).all(1)
        # One feature table for all tasks: their permutations and fits are shared.
        key = (None if predictors.shared else task, rows.tobytes())
        if rows.sum() >= MIN_MODELS:
            together.setdefault(key, ([], values))[0].append(task)
    for (_, rows), (tasks, values) in together.items():
        yield tasks, values, np.flatnonzero(np.frombuffer(rows, bool))


def _all_rows(
    every: Sequence[Predictors], context: _Context, bar: Bar
) -> tuple[list[dict[str, Any]], list[pd.DataFrame]]:
    rows: list[dict[str, Any]] = []
    predictions: list[pd.DataFrame] = []
    reach: dict[tuple[object, ...], dict[str, np.ndarray]] = {}
    for held_out, codes in context.codes.items():
        for predictors in every:
            for tasks, features, models in _blocks(predictors, context.scores):
                # Models without a score may leave too few families to hold one out.
                if held_out == "model" or len(np.unique(codes[models])) >= MIN_FAMILIES:
                    block = _Block(
                        tasks, models, codes[models], held_out, predictors, features, context
                    )
                    rows += block.rows(reach)
                    predictions += block.predictions()
                bar.advance()
    return rows, predictions


class _Block:
    """Tasks that are predicted together: same models, same features, same folds."""

    def __init__(
        self,
        tasks: list[str],
        models: np.ndarray,
        codes: np.ndarray,
        held_out: str,
        predictors: Predictors,
        features: np.ndarray,
        context: _Context,
    ) -> None:
        self._tasks, self._held_out, self._codes = tasks, held_out, codes
        self._predictors, self._context = predictors, context
        self._names = context.scores.index[models]
        self._scores = context.scores.iloc[models][tasks].to_numpy(np.float64)
        self._features = features[models]
        folds = list(hold_out(codes))
        mean = predict_mean(self._scores, folds=folds, ranks=context.ranks)
        self._predicted = mean
        if predictors.name != MEAN_OF_MODELS:
            self._predicted = predict_held_out(
                self._features[None],
                self._scores,
                folds=folds,
                regression=context.regression,
                ranks=context.ranks,
            )[0]
        self._measured = measured_scale(self._scores, ranks=context.ranks)
        # The mean of the others is low for a high score: predictions that hardly leave it are in
        # the reverse order, which says nothing of the features.
        self._ordered = (self._predicted - mean).std(0) > mean.std(0)

    def rows(self, reach: dict[tuple[object, ...], dict[str, np.ndarray]]) -> list[dict[str, Any]]:
        """A row of the table for each task."""
        context, width = self._context, self._features.shape[1]
        options: dict[str, Any] = {
            "codes": self._codes,
            "regression": context.regression,
            "ranks": context.ranks,
            "effort": context.effort,
        }
        observed = r2(self._measured.T, self._predicted.T)
        p_values = np.full(len(self._tasks), np.nan)
        random: dict[str, np.ndarray] = {}
        if width:
            p_values = permutation_p_values(self._features, self._scores, observed, **options)
            # The same random features serve all predictors of this width, and all tasks.
            key = (self._held_out, width, tuple(self._names))
            if key not in reach:
                known = context.scores.loc[self._names].dropna(axis=1)
                sets = random_reach(known.to_numpy(np.float64), width, **options)
                reach[key] = dict(zip(known.columns, sets.T, strict=True))
            random = reach[key]
        rows = []
        for column, task in enumerate(self._tasks):
            row: dict[str, Any] = {
                "task": task,
                "predictors": self._predictors.name,
                "held_out": self._held_out,
                "models": len(self._names),
                "features": width,
                **scores_of(
                    self._measured[:, column], self._predicted[:, column], effort=context.effort
                ),
                "p_value": p_values[column],
                "random_r2": np.nan,
                "random_r2_high": np.nan,
                **largest_error(self._names, self._measured[:, column], self._predicted[:, column]),
            }
            if width:
                row["random_r2"] = float(np.median(random[task]))
                row["random_r2_high"] = float(np.quantile(random[task], _HIGH))
            if not self._ordered[column]:
                row |= {key: np.nan for key in row if key.startswith(("spearman", "kendall"))}
            rows.append(row)
        return rows

    def predictions(self) -> list[pd.DataFrame]:
        """A frame for each task."""
        return [
            pd.DataFrame(
                {
                    "task": task,
                    "predictors": self._predictors.name,
                    "held_out": self._held_out,
                    "model": self._names,
                    "measured": self._measured[:, column],
                    "predicted": self._predicted[:, column],
                }
            )
            for column, task in enumerate(self._tasks)
        ]


def _check_options(
    method: str, resamples: int, permutations: int, random_sets: int, level: float, seed: int
) -> Effort:
    if method not in _METHODS:
        raise InputError(f"method must be one of {name_some(_METHODS)}; got {method!r}.")
    counts = {"resamples": resamples, "permutations": permutations, "random_sets": random_sets}
    for option, value in counts.items():
        if value < 1:
            raise InputError(f"{option} must be at least 1; got {value}.")
    check_level(level)
    return Effort(**counts, level=level, seed=seed)
