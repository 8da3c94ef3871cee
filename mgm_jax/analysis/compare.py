"""Two models over the same images: which differences are real?"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from mgm_jax.analysis.clusters.manifold_draws import HEAD_COLUMNS
from mgm_jax.errors import InputError, name_some
from mgm_jax.metrics.manifold import ManifoldMetrics
from mgm_jax.metrics.summary import group_means, paired_difference
from mgm_jax.shown.result import Result


@dataclass(frozen=True, kw_only=True)
class ModelComparison(Result):
    """Differences of two models, manifold by manifold.

    Attributes:
        first: name of one model.
        second: name of the other.
        table: one row an image set, setting, strength, tap (``pool | cls`` where each model is
            read at its own) and metric: the mean of each model
            over the manifolds that both have, ``difference`` (first - second), ``low`` and
            ``high`` of its paired bootstrap interval, ``share`` of the manifolds in which the
            first is larger, and the number of ``groups``.
        level: coverage of the intervals.
    """

    first: str
    second: str
    table: pd.DataFrame
    level: float

    def to_pandas(self) -> pd.DataFrame:
        """The table."""
        return self.table

    def __repr__(self) -> str:
        """The models, and how many differences are beyond chance, in one line."""
        low, high = (self.table[end].to_numpy(np.float64) for end in ("low", "high"))
        sure = int(np.sum((low > 0) | (high < 0)))
        return (
            f"ModelComparison({self.first} minus {self.second}: {len(self.table)} differences, "
            f"{sure} with a {self.level:.0%} interval away from 0)"
        )

    def _picture(self) -> str:
        from mgm_jax.shown.plot import intervals_svg

        # Metrics have units of their own: each difference in half-widths of its interval.
        half = ((self.table["high"] - self.table["low"]) / 2).to_numpy(np.float64)
        scale = np.where(half > 0, half, np.nan)
        values, low, high = (
            self.table[name].to_numpy(np.float64) / scale for name in ("difference", "low", "high")
        )
        return intervals_svg(self.table["metric"].tolist(), values, low=low, high=high)


def compare_models(
    groups: pd.DataFrame | ManifoldMetrics,
    first: str | ManifoldMetrics,
    second: str | None = None,
    *,
    taps: tuple[str, str] | None = None,
    names: tuple[str, str] = ("first", "second"),
    resamples: int = 2000,
    seed: int = 0,
    level: float = 0.95,
) -> ModelComparison:
    """Compare two models in pairs over the same manifolds.

    The manifolds (classes of images, or the views of one image) are drawn with replacement, the
    same for both models, so what makes a manifold hard for both cancels.

    Two models of a table are compared at the taps that both have; of different architectures,
    which name their layers differently, each at the tap that stands for it: its first in the table,
    which in a study is the default feature. Two ``ManifoldMetrics`` of the same groups are compared
    as they are: ``compare_models(one, other)``.

    Args:
        groups: table ``groups`` of a study: ``encoder, images, setting, strength, tap, group``
            and one column a metric. Or the ``ManifoldMetrics`` of one model.
        first: name of one model, as in ``encoder``. Or the ``ManifoldMetrics`` of the other.
        second: name of the other; None with ``ManifoldMetrics``.
        taps: the tap of each, where they are not to be those above.
        names: what two ``ManifoldMetrics`` are called.
        resamples: bootstrap resamples of the manifolds.
        seed: of the resamples.
        level: coverage of the intervals, between 0 and 1.

    Raises:
        InputError: a missing column, an unknown model or tap, twice the same, no manifold in
            common, or options out of range.

    Example:
        >>> head = {"images": "i", "setting": "crop", "strength": 1.0, "tap": "pool"}
        >>> rows = [
        ...     {"encoder": encoder, **head, "group": group, "nnk_degree": degree + group}
        ...     for encoder, degree in (("a", 5.0), ("b", 3.0))
        ...     for group in range(4)
        ... ]
        >>> float(compare_models(pd.DataFrame(rows), "a", "b").table["difference"].iloc[0])
        2.0
    """
    if not isinstance(groups, pd.DataFrame):
        groups = _in_memory(groups, first, names)
        first, second = names
    missing = sorted(set(HEAD_COLUMNS) - set(groups.columns))
    if missing:
        raise InputError(f"groups: missing the column(s) {name_some(missing)}.")
    unknown = [name for name in (first, second) if name not in set(groups["encoder"])]
    if unknown or first == second:
        raise InputError(
            f"first and second must be two models of the table, got {first!r} and {second!r}; it "
            f"has {name_some(groups['encoder'].unique())}."
        )
    first, second = str(first), str(second)
    metrics = [name for name in groups.columns if name not in HEAD_COLUMNS]
    conditions = ["images", "setting", "strength", "tap"]
    groups = _at_taps(groups, (first, second), taps)
    one, other = (_by_condition(groups, name, conditions) for name in (first, second))
    shared = [key for key in one if key in other]
    if not shared:
        raise InputError(
            f"{first!r} and {second!r} share no image set, setting and strength; measure both in "
            "one study."
        )
    options = {"resamples": resamples, "seed": seed, "level": level}
    parts = [
        _differences(one[key], other[key], metrics, **options).assign(
            **dict(zip(conditions, key, strict=True))
        )
        for key in shared
    ]
    table = pd.concat(parts, ignore_index=True)
    ordered = [*conditions, *(name for name in table.columns if name not in conditions)]
    return ModelComparison(first=first, second=second, table=table.loc[:, ordered], level=level)


def _in_memory(one: Any, other: Any, names: tuple[str, str]) -> pd.DataFrame:
    """Two ``ManifoldMetrics`` as a table of groups."""
    parts = []
    for metrics, name in zip((one, other), names, strict=True):
        if not isinstance(metrics, ManifoldMetrics):
            raise InputError(
                "groups must be the table of a study, followed by two names, or the "
                f"ManifoldMetrics of one model, followed by those of another; got a "
                f"{type(metrics).__name__}."
            )
        columns = {column: getattr(metrics, column) for column in metrics.columns}
        means = group_means(columns, metrics.group).reset_index()
        head = {"encoder": name, "images": "", "setting": "", "strength": 1.0, "tap": ""}
        parts.append(means.assign(**head))
    return pd.concat(parts, ignore_index=True)


def _at_taps(
    groups: pd.DataFrame, models: tuple[str, str], taps: tuple[str, str] | None
) -> pd.DataFrame:
    """The rows of two models, under one name of tap where each is read at its own."""
    own = [groups.loc[groups["encoder"] == model] for model in models]
    if taps is None:
        known = [set(rows["tap"]) for rows in own]
        if known[0] & known[1]:
            return pd.concat(own)
        taps = own[0]["tap"].iloc[0], own[1]["tap"].iloc[0]
    kept = [rows.loc[rows["tap"] == tap] for rows, tap in zip(own, taps, strict=True)]
    for rows, all_rows, model, tap in zip(kept, own, models, taps, strict=True):
        if rows.empty:
            raise InputError(
                f"taps: {model!r} was not measured at {tap!r}; it has "
                f"{name_some(all_rows['tap'].unique())}."
            )
    together = taps[0] if taps[0] == taps[1] else " | ".join(taps)
    return pd.concat(kept).assign(tap=together)


def _by_condition(
    groups: pd.DataFrame, name: str, conditions: list[str]
) -> dict[tuple[Any, ...], pd.DataFrame]:
    """The rows of a model under each condition."""
    own: Any = groups.loc[groups["encoder"] == name]
    return dict(iter(own.groupby(conditions, sort=False)))


def _differences(
    one: pd.DataFrame,
    other: pd.DataFrame,
    metrics: list[str],
    *,
    resamples: int,
    seed: int,
    level: float,
) -> pd.DataFrame:
    first, second = (
        frame.set_index("group").loc[:, metrics].astype(np.float64) for frame in (one, other)
    )
    paired = paired_difference(first, second, resamples=resamples, seed=seed, level=level)
    shared = first.index.intersection(second.index)
    both = first.loc[shared].notna() & second.loc[shared].notna()
    own, others = first.loc[shared].where(both), second.loc[shared].where(both)
    table = pd.DataFrame(
        {
            "metric": paired.index,
            "first": own.mean().reindex(paired.index).to_numpy(),
            "second": others.mean().reindex(paired.index).to_numpy(),
            "difference": paired["mean"].to_numpy(),
            "low": paired["low"].to_numpy(),
            "high": paired["high"].to_numpy(),
            "share": (own > others).sum().reindex(paired.index).to_numpy()
            / np.maximum(paired["groups"].to_numpy(), 1),
            "groups": paired["groups"].to_numpy(),
        }
    )
    # Columns that no manifold defines for both models are no comparison.
    return table.loc[table["groups"] > 0]
