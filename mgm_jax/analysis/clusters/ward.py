"""Which models are alike: Ward linkage on standardised metric columns."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from mgm_jax.analysis.columns import as_table, check_models, some_column, usable_columns
from mgm_jax.errors import InputError, name_some
from mgm_jax.shown.result import Result


@dataclass(frozen=True, kw_only=True)
class ModelClusters(Result):
    """Models in a tree of likeness, cut into groups.

    Attributes:
        models: the n model names, in the order they were given.
        columns: the metric columns that entered the distances.
        left_out: columns that did not enter, each with the reason.
        linkage: [n - 1, 4] merges in SciPy's layout; column 2 is the Ward height.
        order: the model names as the leaves of the tree read from one side to the other.
        labels: [n] group of each model, 1 .. groups, numbered along ``order``.
        groups: number of groups that the tree was cut into.
        silhouette: mean silhouette of that cut in -1 .. 1; NaN where n < 3.
        silhouettes: mean silhouette of every number of groups that was tried.
        chosen_by: what chose the number of groups: ``silhouette``, ``stability`` (see
            :func:`~mgm_jax.analysis.clusters.stability.cluster_stability`) or ``caller``.
    """

    models: tuple[str, ...]
    columns: tuple[str, ...]
    left_out: dict[str, str]
    linkage: np.ndarray
    order: tuple[str, ...]
    labels: np.ndarray
    groups: int
    silhouette: float
    silhouettes: dict[int, float]
    chosen_by: str = "silhouette"

    @property
    def cut_height(self) -> float:
        """Height between the last merge kept and the first one cut; 0 where nothing is cut."""
        if self.groups <= 1:
            return 0.0
        heights = np.concatenate([[0.0], self.linkage[:, 2]])
        first_cut = len(heights) - self.groups + 1
        return float((heights[first_cut - 1] + heights[first_cut]) / 2)

    def to_pandas(self) -> pd.DataFrame:
        """One row a model in the order of the tree: its group and position."""
        position = {model: rank for rank, model in enumerate(self.order)}
        frame = pd.DataFrame(
            {"group": self.labels, "position": [position[model] for model in self.models]},
            index=pd.Index(self.models, name="model"),
        )
        return frame.sort_values("position")

    def __repr__(self) -> str:
        """Models, groups and what they were measured by, in one line."""
        groups = f"{len(self.models)} models in {self.groups} group{'s' * (self.groups != 1)}"
        measured = f"Ward linkage on {len(self.columns)} standardised columns"
        if np.isfinite(self.silhouette):
            measured += f", silhouette {self.silhouette:.2f}"
        return f"ModelClusters({groups}: {measured})"

    def _line(self) -> str:
        left_out = name_some(f"{name} ({why})" for name, why in self.left_out.items())
        return f"{self!r}{f'; without {left_out}' if left_out else ''}"

    def _picture(self) -> str:
        from mgm_jax.shown.tree import tree_svg

        return tree_svg(self.models, self.linkage, self.order, self.labels, cut=self.cut_height)


def cluster_models(
    metrics: pd.DataFrame | pd.Series,
    *,
    groups: int | None = None,
    most_groups: int = 8,
    diagnostics: bool = False,
) -> ModelClusters:
    """Join models whose metrics are alike into a tree and cut it.

    Each column is standardised to mean 0 and standard deviation 1 over the models, so that a
    degree of 15 and an affinity of 0.6 weigh the same; the tree is Ward's, on Euclidean
    distances. The number of groups is the one with the largest mean silhouette (Rousseeuw
    1987) among 2 .. ``most_groups``; on a tie, the smaller number.

    Args:
        metrics: [n, c] one row a model (its name in the index), numeric columns; or a series.
        groups: number of groups, 1 .. n, or None to let the silhouette choose. (How surely a
            number of groups is there is what ``cluster_stability`` says, which may choose another
            and then says why.)
        most_groups: largest number of groups that the silhouette may choose.
        diagnostics: let columns enter that say how the measurement went, no property of the model
            (``nnk_kkt``, residuals, shares, widths, ends of intervals).

    Columns that are constant, rounding noise about zero, diagnostics, or missing (NaN, Inf) for
    some model, do not enter; they are named with the reason in ``left_out``.

    Raises:
        InputError: no model, a name given twice, a column that is not numeric, or no column
            left to compare by although there is more than one model.

    >>> frame = pd.DataFrame({"degree": [3.0, 3.1, 9.0, 9.2]}, index=["a", "b", "c", "d"])
    >>> cluster_models(frame).to_pandas()["group"].nunique()
    2
    """
    from scipy.cluster import hierarchy

    metrics = as_table(metrics, name="metrics")
    models = check_models(metrics, name="metrics")
    if groups is not None and not 1 <= groups <= len(models):
        raise InputError(
            f"groups: expected 1 to {len(models)} (the number of models), got {groups}."
        )
    columns, left_out = usable_columns(metrics, diagnostics=diagnostics)
    if len(models) == 1:
        return _single_model(models, columns, left_out)
    some_column(columns, left_out)
    values = metrics.set_axis(metrics.columns.map(str), axis=1)[list(columns)].to_numpy(np.float64)
    standardised = (values - values.mean(0)) / values.std(0)
    linkage = hierarchy.linkage(standardised, method="ward", optimal_ordering=True)
    leaves = hierarchy.leaves_list(linkage)
    silhouettes = _silhouettes(standardised, linkage, most_groups)
    chosen_by = "silhouette" if groups is None else "caller"
    if groups is None:
        groups = best_silhouette(silhouettes) or 1
    return ModelClusters(
        models=models,
        columns=columns,
        left_out=left_out,
        linkage=linkage,
        order=tuple(models[i] for i in leaves),
        labels=_number_along(cut_tree(linkage, groups), leaves),
        groups=groups,
        silhouette=silhouettes.get(groups, float("nan")),
        silhouettes=silhouettes,
        chosen_by=chosen_by,
    )


def _single_model(
    models: tuple[str, ...], columns: tuple[str, ...], left_out: dict[str, str]
) -> ModelClusters:
    return ModelClusters(
        models=models,
        columns=columns,
        left_out=left_out,
        linkage=np.zeros((0, 4)),
        order=models,
        labels=np.ones(1, np.int32),
        groups=1,
        silhouette=float("nan"),
        silhouettes={},
    )


def best_silhouette(silhouettes: dict[int, float]) -> int:
    """Number of groups of the largest silhouette, the smaller on a tie; 0 where none was tried."""
    return max(silhouettes, key=lambda count: (silhouettes[count], -count), default=0)


def cut_tree(linkage: np.ndarray, groups: int) -> np.ndarray:
    from scipy.cluster import hierarchy

    # cut_tree undoes exactly groups - 1 merges; fcluster may return fewer groups on ties.
    return hierarchy.cut_tree(linkage, n_clusters=groups)[:, 0]


def _silhouettes(
    standardised: np.ndarray, linkage: np.ndarray, most_groups: int
) -> dict[int, float]:
    from sklearn.metrics import silhouette_score

    # The silhouette needs a group of two or more, hence fewer groups than models.
    most = min(most_groups, len(standardised) - 1)
    return {
        count: float(silhouette_score(standardised, cut_tree(linkage, count)))
        for count in range(2, most + 1)
    }


def _number_along(codes: np.ndarray, leaves: np.ndarray) -> np.ndarray:
    """Number the groups 1, 2, ... as they are met along the leaves."""
    number: dict[int, int] = {}
    for leaf in leaves:
        number.setdefault(int(codes[leaf]), len(number) + 1)
    return np.array([number[int(code)] for code in codes], np.int32)
