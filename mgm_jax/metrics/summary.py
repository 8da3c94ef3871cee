"""Statistics of per-point values over groups, with bootstrap intervals.

The points of one group depend on each other (views of one image, images of one class), so a group
counts as one observation: its mean. Intervals come from resampling groups with replacement.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from mgm_jax.errors import InputError
from mgm_jax.intervals import bootstrap_intervals, check_level

if TYPE_CHECKING:
    import pandas as pd

SUMMARY_COLUMNS = (
    "mean",
    "std",
    "median",
    "q25",
    "q75",
    "low",
    "high",
    "groups",
    "points",
    "left_out",
)


@dataclass(frozen=True, kw_only=True, repr=False)
class ManifoldSummary:
    """Statistics of a measurement over its groups.

    Attributes:
        table: a row a metric; columns as :func:`summarise` describes them.
        groups: group means, a row a group, a column a metric.
        level: coverage of the intervals, 0 to 1.
    """

    table: pd.DataFrame
    groups: pd.DataFrame
    level: float

    def to_pandas(self) -> pd.DataFrame:
        """The table, one row a metric."""
        return self.table

    def __repr__(self) -> str:
        """What a terminal shows: the metrics with their intervals."""
        shown = self.table[["mean", "low", "high", "std", "left_out"]]
        return (
            f"{len(self.groups)} groups; low and high: {self.level:.0%} interval over groups\n"
            f"{shown.to_string(float_format='%.4g')}"
        )

    def _repr_html_(self) -> str:
        """What a notebook shows: the table under a line that says what it holds."""
        title = f"{len(self.groups)} groups; low and high: {self.level:.0%} interval over groups"
        return f"<p>{title}</p>{self.table.to_html(float_format='%.4g')}"


def group_means(values: Mapping[str, np.ndarray], groups: np.ndarray) -> pd.DataFrame:
    """Mean of every group, over the points whose value is defined.

    Args:
        values: per-point columns, each ``[n]``; NaN where undefined.
        groups: group of every point, ``[n]``.

    Returns:
        A row a group, indexed by its value in sorted order, a column a metric; NaN where no
        point of the group has a value.

    Raises:
        InputError: columns of unequal length, or no points.

    Example:
        >>> group_means({"a": np.array([1.0, 3.0, 5.0])}, np.array([0, 0, 1]))["a"].tolist()
        [2.0, 5.0]
    """
    import pandas as pd

    groups = _check_columns(values, groups)
    names, codes = np.unique(groups, return_inverse=True)
    means = {}
    for name, column in values.items():
        column = np.asarray(column, np.float64)
        defined = ~np.isnan(column)
        total = np.bincount(codes, np.where(defined, column, 0), minlength=names.size)
        count = np.bincount(codes, defined, minlength=names.size)
        means[name] = np.divide(total, count, out=np.full(names.size, np.nan), where=count > 0)
    return pd.DataFrame(means, index=pd.Index(names, name="group"))


def summarise(
    values: Mapping[str, np.ndarray],
    groups: np.ndarray,
    *,
    resamples: int = 2000,
    seed: int = 0,
    level: float = 0.95,
) -> pd.DataFrame:
    """Summarise per-point values over groups.

    Args:
        values: per-point columns, each ``[n]``; NaN where undefined.
        groups: group of every point, ``[n]``.
        resamples: bootstrap resamples of the groups.
        seed: of the resampling; equal seeds and numbers of groups draw equal resamples.
        level: coverage of the interval, between 0 and 1.

    Returns:
        A row a metric: ``mean``, ``std`` (with n - 1), ``median``, ``q25`` and ``q75`` of the
        group means; ``low`` and ``high``, the percentile bootstrap interval of the mean;
        ``groups`` and ``points`` that had a value, and points ``left_out`` because theirs was
        undefined. The interval and ``std`` are NaN where fewer than two groups have a value.

    Raises:
        InputError: columns of unequal length, no points, or options out of range.

    Example:
        >>> table = summarise({"a": np.array([1.0, 3.0, 5.0])}, np.array([0, 0, 1]))
        >>> float(table.loc["a", "mean"])
        3.5
    """
    return means_and_summary(values, groups, resamples=resamples, seed=seed, level=level)[1]


def means_and_summary(
    values: Mapping[str, np.ndarray],
    groups: np.ndarray,
    *,
    resamples: int = 2000,
    seed: int = 0,
    level: float = 0.95,
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Both :func:`group_means` and :func:`summarise`, with the means taken once."""
    import pandas as pd

    _check_options(resamples, level)
    means = group_means(values, groups)
    described = _describe(means, resamples=resamples, seed=seed, level=level)
    rows = {}
    for name, statistics in described.items():
        undefined = int(np.isnan(np.asarray(values[name], np.float64)).sum())
        counts = {"points": len(groups) - undefined, "left_out": undefined}
        rows[name] = statistics | counts
    table = pd.DataFrame.from_dict(rows, orient="index", columns=list(SUMMARY_COLUMNS))
    return means, table.rename_axis("metric")


def paired_difference(
    first: pd.DataFrame,
    second: pd.DataFrame,
    *,
    resamples: int = 2000,
    seed: int = 0,
    level: float = 0.95,
) -> pd.DataFrame:
    """Difference of two models measured on the same groups, ``first - second`` group by group.

    Args:
        first: group means of one model, from :func:`group_means`.
        second: group means of the other; groups and metrics that only one has are left out.
        resamples: bootstrap resamples of the groups.
        seed: of the resampling.
        level: coverage of the interval, between 0 and 1.

    Returns:
        A row a common metric: ``mean``, ``std``, ``median``, ``q25``, ``q75`` of the differences,
        ``low`` and ``high`` of their mean, and the number of ``groups``.

    Raises:
        InputError: no group or no metric in common, or options out of range.

    Example:
        >>> a = group_means({"a": np.array([1.0, 2.0])}, np.array([0, 1]))
        >>> float(paired_difference(a + 1, a).loc["a", "mean"])
        1.0
    """
    import pandas as pd

    _check_options(resamples, level)
    shared = first.index.intersection(second.index).sort_values()
    metrics = [name for name in first.columns if name in second.columns]
    if shared.empty or not metrics:
        raise InputError(
            f"The two models share {len(shared)} groups and {len(metrics)} metrics; both must be "
            "above 0. Measure them on the same images."
        )
    gaps = first.loc[shared, metrics].astype(np.float64) - second.loc[shared, metrics]
    rows = _describe(gaps, resamples=resamples, seed=seed, level=level)
    columns = list(SUMMARY_COLUMNS[:8])
    return pd.DataFrame.from_dict(rows, orient="index", columns=columns).rename_axis("metric")


def _describe(
    means: pd.DataFrame, *, resamples: int, seed: int, level: float
) -> dict[str, dict[str, float]]:
    """Statistics of every column over the rows that have a value, and how many these are."""
    columns = [means[name].to_numpy(np.float64) for name in means.columns]
    columns = [column[~np.isnan(column)] for column in columns]
    intervals = bootstrap_intervals(columns, resamples=resamples, seed=seed, level=level)
    means_of = {}
    for name, observed, (low, high) in zip(means.columns, columns, intervals, strict=True):
        if observed.size == 0:
            means_of[str(name)] = {**dict.fromkeys(SUMMARY_COLUMNS[:7], float("nan")), "groups": 0}
            continue
        q25, median, q75 = np.quantile(observed, [0.25, 0.5, 0.75])
        means_of[str(name)] = {
            "mean": float(observed.mean()),
            "std": float(observed.std(ddof=1)) if observed.size > 1 else float("nan"),
            "median": float(median),
            "q25": float(q25),
            "q75": float(q75),
            "low": low,
            "high": high,
            "groups": observed.size,
        }
    return means_of


def _check_columns(values: Mapping[str, np.ndarray], groups: np.ndarray) -> np.ndarray:
    labels = np.asarray(groups)
    wrong = {name: np.shape(column) for name, column in values.items()}
    wrong = {name: shape for name, shape in wrong.items() if shape != labels.shape}
    if labels.ndim != 1 or labels.size == 0 or wrong:
        raise InputError(
            "values and groups must hold one entry for each of at least one point; "
            f"groups has shape {labels.shape}" + (f", values {wrong}." if wrong else ".")
        )
    return labels


def _check_options(resamples: int, level: float) -> None:
    if resamples < 1:
        raise InputError(f"resamples must be at least 1; got {resamples}.")
    check_level(level)
