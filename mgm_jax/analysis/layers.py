"""Metrics against the depth of the layer, seeds of one network put together."""

from __future__ import annotations

import numpy as np
import pandas as pd

from mgm_jax.analysis.collapse.families import MEASURES, require_columns
from mgm_jax.intervals import student_reach

#: What stands for a setting where a metric is one value a model, not a mean over manifolds.
WHOLE_MODEL = "whole image set"

_LINE = ["images", "setting", "strength", "metric", "family", "line", "tap", "depth"]
_COLUMNS = [*_LINE, "mean", "low", "high", "seeds"]
_BOUNDS = {measure.name: (measure.low, measure.high) for measure in MEASURES}


def layer_profile(
    summary_df: pd.DataFrame,
    models_df: pd.DataFrame,
    *,
    model_metrics: tuple[str, ...] = (),
    level: float = 0.95,
) -> pd.DataFrame:
    """Every metric at every layer, a line a network.

    Encoders that differ in nothing but the seed of their random weights are one line: its value
    is the mean over seeds, its interval that of Student's t over seeds, cut at the bounds that a
    metric has. A line of one encoder keeps the interval over manifolds that the summary holds.

    Args:
        summary_df: table ``summary`` of a study, with its column ``depth``: 0 the first layer, 1
            the last, missing where a tap is no layer; such rows are left out.
        models_df: table ``models`` of the same study.
        model_metrics: columns of ``models_df`` to take as well; those that it lacks are passed by.
        level: coverage of the intervals over seeds, in (0, 1).

    Returns:
        ``images, setting, strength, metric, family, line, tap, depth, mean, low, high, seeds``,
        sorted by depth within a line. The setting of a metric of ``models_df`` is
        :data:`WHOLE_MODEL`. ``low`` and ``high`` are missing where nothing gives a spread.

    Raises:
        InputError: a column is missing.

    Example::

        layer_profile(pd.read_parquet("out/summary.parquet"), pd.read_parquet("out/models.parquet"))
    """
    need = ("encoder", "family", "images", "setting", "strength", "tap", "depth", "metric", "mean")
    require_columns(summary_df, need, name="summary_df")
    require_columns(models_df, ("encoder", "family", "images", "tap", "seed"), name="models_df")
    lines = _line_names(models_df)
    depths = summary_df.drop_duplicates(["encoder", "tap"])[["encoder", "tap", "depth"]]
    rows = [summary_df, *_of_models(models_df.merge(depths, on=["encoder", "tap"]), model_metrics)]
    table = pd.concat([part[[*need, "low", "high"]] for part in rows], ignore_index=True)
    known = np.isfinite(np.asarray(table[["depth", "mean"]], np.float64)).all(axis=1)
    table = table.loc[known]
    table = table.assign(line=[lines[str(name)] for name in table["encoder"]])
    made = table.groupby(_LINE, sort=False, dropna=False).agg(
        mean=("mean", "mean"),
        low=("low", "first"),
        high=("high", "first"),
        deviation=("mean", "std"),
        seeds=("mean", "size"),
    )
    made = _with_seed_intervals(made.reset_index(), level=level)
    made = made.sort_values("depth", kind="stable").reset_index(drop=True)
    return made.reindex(columns=_COLUMNS)


def _line_names(models: pd.DataFrame) -> dict[str, str]:
    """Name of the line of each encoder: its own name, the number of a seed at its end left off."""
    pairs = models.drop_duplicates("encoder")[["encoder", "seed"]]
    return {
        str(name): str(name) if pd.isna(seed) else str(name).removesuffix(f"-s{int(seed)}")
        for name, seed in pairs.itertuples(index=False)
    }


def _of_models(models: pd.DataFrame, metrics: tuple[str, ...]) -> list[pd.DataFrame]:
    """One long table a metric of the whole model."""
    missing = pd.Series(np.nan, index=models.index)
    return [
        models.assign(
            setting=WHOLE_MODEL,
            strength=1.0,
            metric=metric,
            mean=models[metric],
            low=models.get(f"{metric}_low", missing),
            high=models.get(f"{metric}_high", missing),
        )
        for metric in metrics
        if metric in models
    ]


def _with_seed_intervals(table: pd.DataFrame, *, level: float) -> pd.DataFrame:
    several = table["seeds"] > 1
    seeds = table["seeds"].where(several, 2)
    half = student_reach(table["deviation"], seeds, level=level)
    lowest = table["metric"].map(lambda name: _BOUNDS.get(name, (-np.inf, np.inf))[0])
    highest = table["metric"].map(lambda name: _BOUNDS.get(name, (-np.inf, np.inf))[1])
    return table.assign(
        low=table["low"].where(~several, (table["mean"] - half).clip(lower=lowest)),
        high=table["high"].where(~several, (table["mean"] + half).clip(upper=highest)),
    )
