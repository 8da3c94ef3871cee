"""What a prediction of transfer says."""

from __future__ import annotations

from dataclasses import dataclass

import pandas as pd

from mgm_jax.analysis.transfer.predictors import has_baselines_added
from mgm_jax.shown.result import Result

#: Columns of :attr:`TransferPrediction.table`, in order.
TABLE_COLUMNS = (
    "task",
    "predictors",
    "held_out",
    "models",
    "features",
    *(f"{score}{end}" for score in ("r2", "spearman", "kendall") for end in ("", "_low", "_high")),
    "p_value",
    "p_holm",
    "random_r2",
    "random_r2_high",
    "worst_model",
    "worst_share",
)


@dataclass(frozen=True, kw_only=True, repr=False)
class TransferPrediction(Result):
    """How well features of models predict their scores on tasks, held out.

    Attributes:
        table: one row a task, set of predictors and way of holding out (``model`` or ``family``).
            The sets are the features under ``name``, each baseline, all baselines given, and the
            features with these. Columns: number of ``models`` and ``features``; held-out ``r2``,
            ``spearman`` and ``kendall`` with intervals ``_low`` and ``_high``; ``p_value`` of R^2
            by permutation and ``p_holm``, corrected over the tasks; ``random_r2`` and
            ``random_r2_high``, the median and the upper end (95 %) of what as many random
            features reach; ``worst_model``, the one that is missed most, and ``worst_share``, its
            share of the squared error of all.
        predictions: one row a task, predictors, held_out and model: ``measured`` and
            ``predicted``; ranks between 0 and 1 where ``ranks``.
        features: one row a task and feature: ``coefficient``, standard deviations of the score a
            standard deviation of the feature, fitted on all models; ``selected``, share of
            subsamples of the models in which the feature is chosen; ``sign``, share in which its
            coefficient has the same sign.
        name: what the features are called in ``predictors``.
        left_out: features that did not enter, each with the reason.
        method: ``ridge``, ``lasso`` or ``elastic-net``.
        ranks: whether ranks took the place of values.
        level: coverage of the intervals.
        resamples: of the models, for the intervals and the stability.
        permutations: of the scores, for the p-values.
    """

    table: pd.DataFrame
    predictions: pd.DataFrame
    features: pd.DataFrame
    name: str
    left_out: dict[str, str]
    method: str
    ranks: bool
    level: float
    resamples: int
    permutations: int

    @property
    def tasks(self) -> tuple[str, ...]:
        """The tasks, in the order of the scores."""
        return tuple(self.table["task"].unique())

    def to_pandas(self, *, held_out: str = "model") -> pd.DataFrame:
        """One row a task: the scores of the features, and beside them those of the baselines.

        The columns are those of ``table``, then ``baseline``, the one with the largest R^2, its
        R^2 as ``baseline_r2``; ``with_baselines_r2`` of the features joined with those given; and
        the R^2 of each baseline as ``r2 of NAME``.

        Args:
            held_out: ``model`` or, where families were given, ``family``.
        """
        rows = self.table.loc[self.table["held_out"] == held_out]
        own = rows.loc[rows["predictors"] == self.name].set_index("task")
        own = own.drop(columns=["predictors", "held_out"])
        added = has_baselines_added(rows["predictors"], self.name)
        others = rows.loc[(rows["predictors"] != self.name) & ~added]
        wide = others.pivot(index="task", columns="predictors", values="r2").reindex(own.index)
        wide = wide[list(others["predictors"].unique())]
        own["baseline"] = wide.idxmax(axis=1)
        own["baseline_r2"] = wide.max(axis=1)
        wide.columns = [f"r2 of {name}" for name in wide.columns]
        if added.any():
            own["with_baselines_r2"] = rows.loc[added].set_index("task")["r2"].reindex(own.index)
        return pd.concat([own, wide], axis=1)

    def __repr__(self) -> str:
        """Predictors and held-out R^2 of every task in one line."""
        own = self.to_pandas()["r2"]
        scores = ", ".join(f"{task} {value:.3f}" for task, value in own.items())
        return f"TransferPrediction({self.method} on {self.name}, held-out R2: {scores})"

    def __str__(self) -> str:
        """What ``print`` shows: one line a task."""
        return f"{self._title()}\n{self._brief().to_string(float_format='%.3g')}"

    def _title(self) -> str:
        values = "ranks" if self.ranks else "values"
        return (
            f"Transfer predicted by {self.method} on {values} of {self.name}, held out; "
            f"intervals {self.level:.0%} over models, p by {self.permutations} permutations"
        )

    def _brief(self) -> pd.DataFrame:
        shown = ["models", "features", "r2", "r2_low", "r2_high", "spearman", "kendall"]
        shown += ["p_holm", "random_r2_high", "baseline", "baseline_r2"]
        ways = list(self.table["held_out"].unique())
        return pd.concat({way: self.to_pandas(held_out=way)[shown] for way in ways}).rename_axis(
            ["held out", "task"]
        )

    def _line(self) -> str:
        return self._title()

    def _picture(self) -> str:
        from mgm_jax.shown.plot import intervals_svg

        own = self.to_pandas()
        return intervals_svg(
            [f"R2 of {task}" for task in own.index],
            own["r2"].to_numpy(),
            low=own["r2_low"].to_numpy(),
            high=own["r2_high"].to_numpy(),
        )

    def _shown_table(self) -> pd.DataFrame:
        return self._brief()
