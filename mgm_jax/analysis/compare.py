"""Two models over the same images: which differences are real?"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from mgm_jax.analysis.clusters.manifold_draws import HEAD_COLUMNS
from mgm_jax.errors import InputError, name_some
from mgm_jax.metrics.summary import paired_difference


@dataclass(frozen=True, kw_only=True)
class ModelComparison:
    """Differences of two models, manifold by manifold.

    Attributes:
        first: name of one model.
        second: name of the other.
        table: one row an image set, setting, strength, tap and metric: the mean of each model
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

    def _repr_html_(self) -> str:
        from html import escape

        title = (
            f"{escape(self.first)} minus {escape(self.second)}; {self.level:.0%} intervals, "
            "paired over manifolds"
        )
        return f"<p>{title}</p>{self.table.to_html(index=False, float_format='%.4g', escape=True)}"


def compare_models(
    groups: pd.DataFrame,
    first: str,
    second: str,
    *,
    resamples: int = 2000,
    seed: int = 0,
    level: float = 0.95,
) -> ModelComparison:
    """Compare two models in pairs over the same manifolds.

    The manifolds (classes of images, or the views of one image) are drawn with replacement, the
    same for both models, so what makes a manifold hard for both cancels.

    Args:
        groups: table ``groups`` of a study: ``encoder, images, setting, strength, tap, group``
            and one column a metric.
        first: name of one model, as in ``encoder``.
        second: name of the other.
        resamples: bootstrap resamples of the manifolds.
        seed: of the resamples.
        level: coverage of the intervals, between 0 and 1.

    Raises:
        InputError: a missing column, an unknown model, twice the same, no manifold or tap in
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
    missing = sorted(set(HEAD_COLUMNS) - set(groups.columns))
    if missing:
        raise InputError(f"groups: missing the column(s) {name_some(missing)}.")
    unknown = [name for name in (first, second) if name not in set(groups["encoder"])]
    if unknown or first == second:
        raise InputError(
            f"first and second must be two models of the table, got {first!r} and {second!r}; it "
            f"has {name_some(groups['encoder'].unique())}."
        )
    metrics = [name for name in groups.columns if name not in HEAD_COLUMNS]
    conditions = ["images", "setting", "strength", "tap"]
    one, other = (_by_condition(groups, name, conditions) for name in (first, second))
    shared = [key for key in one if key in other]
    if not shared:
        raise InputError(
            f"{first!r} and {second!r} share no image set, setting, strength and tap; measure "
            "both in one study, at taps of one name."
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
