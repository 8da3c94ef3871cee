"""How many groups of models are there, and what do they stand for? By what resampling leaves."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd

from mgm_jax.analysis.clusters.manifold_draws import ManifoldDraws
from mgm_jax.analysis.clusters.ward import ModelClusters, best_silhouette, cluster_models, cut_tree
from mgm_jax.analysis.columns import as_table, usable_columns
from mgm_jax.errors import InputError
from mgm_jax.geometry.points.choice import choose_rows
from mgm_jax.geometry.points.groups import encode_groups
from mgm_jax.shown.result import Result
from mgm_jax.whole_numbers import seeded


@dataclass(frozen=True, kw_only=True)
class ClusterStability(Result):
    """Clusters of models, cut where resampled trees agree most.

    Attributes:
        clusters: the tree of all models, cut into the chosen number of groups.
        table: one row a number of ``groups`` tried: ``stability``, the mean adjusted Rand index
            between the cuts of two resampled trees (1: the same groups, 0: as by chance),
            ``low`` and ``high``, its quartiles, and ``silhouette`` of the cut of the full tree.
        resamples: number of resampled trees.
        settings_left_out: whether each resample left out a setting.
    """

    clusters: ModelClusters
    table: pd.DataFrame
    resamples: int
    settings_left_out: bool

    @property
    def groups(self) -> int:
        """The number of groups whose cuts agree most."""
        return self.clusters.groups

    @property
    def stability(self) -> float:
        """Mean adjusted Rand index at that number; NaN where nothing was tried."""
        rows = self.table.loc[self.table["groups"] == self.groups]
        return float(rows["stability"].iloc[0]) if len(rows) else float("nan")

    @property
    def why_not_silhouette(self) -> str:
        """Why this is not the number of groups that ``cluster_models`` names; empty where it is."""
        silhouettes = self.clusters.silhouettes
        other = best_silhouette(silhouettes)
        if other == self.groups:
            return ""
        by_groups = self.table.set_index("groups")["stability"]
        return (
            f"The silhouette is largest for {other} groups ({silhouettes[other]:.2f}, against "
            f"{silhouettes[self.groups]:.2f} for {self.groups}), but resampled trees agree less on "
            f"them ({by_groups[other]:.2f}, against {self.stability:.2f})."
        )

    def to_pandas(self) -> pd.DataFrame:
        """One row a number of groups, as ``table``."""
        return self.table

    def __repr__(self) -> str:
        """Groups, models and stability in one line."""
        return (
            f"ClusterStability({self.groups} groups of {len(self.clusters.models)} models; "
            f"adjusted Rand index between resampled trees {self.stability:.2f})"
        )

    def _line(self) -> str:
        return f"{self!r} {self.why_not_silhouette}"

    def _picture(self) -> str:
        from mgm_jax.shown.plot import curve_svg

        return curve_svg(
            self.table["groups"].to_numpy(),
            {"stability": self.table["stability"].to_numpy()},
            across="stability over number of groups",
            low=self.table["low"].to_numpy(),
            high=self.table["high"].to_numpy(),
        )


def cluster_stability(
    metrics: pd.DataFrame | pd.Series,
    *,
    manifolds: pd.DataFrame | None = None,
    most_groups: int = 8,
    diagnostics: bool = False,
    resamples: int = 200,
    share: float = 0.8,
    leave_out_settings: bool = True,
    seed: int = 0,
) -> ClusterStability:
    """Choose the number of groups of models by how well resampled trees agree on it.

    Each resample draws the manifolds (classes, images) with replacement, the same for all
    models, and averages their metrics again; leaves out one augmentation setting; and leaves out
    a fifth of the models. Its tree is Ward's on the standardised columns, as in
    :func:`~mgm_jax.analysis.clusters.ward.cluster_models`. For each number of groups, the cuts of
    two resampled trees are compared by the adjusted Rand index over the models that both have; the
    number with the largest mean is taken; of several with the same mean the one with the largest
    silhouette, which is what ``cluster_models`` goes by alone. Where the two name different numbers
    of groups, ``why_not_silhouette`` says why.

    Args:
        metrics: ``[n, c]``, one row a model; columns ``setting.metric`` belong to a setting. Or a
            series.
        manifolds: table ``groups`` of a study, of one image set and one tap a model: columns
            ``encoder, setting, strength, group`` and the metrics. Its means take the place of
            the columns that it holds; other columns stay as they are. None resamples no
            manifolds.
        most_groups: largest number of groups tried; it is also less than the models of a resample.
        diagnostics: as for ``cluster_models``.
        resamples: number of resampled trees, at least 2.
        share: of the models that a resample keeps, in (0, 1].
        leave_out_settings: leave out a setting a resample, where there are two or more.
        seed: of every draw.

    Raises:
        InputError: as ``cluster_models``; options out of range; a model without manifolds.

    References:
        Ben-Hur, Elisseeff and Guyon, "A stability based method for discovering structure in
        clustered data", 2002. Hubert and Arabie, "Comparing partitions", 1985.

    Example:
        >>> metrics = pd.DataFrame({"a.x": [0.0, 0.1, 0.2, 5.0, 5.1, 5.2]}, index=list("abcdef"))
        >>> cluster_stability(metrics, resamples=20).groups
        2
    """
    if resamples < 2 or not 0 < share <= 1:
        raise InputError(
            "resamples must be at least 2 and share in (0, 1]; "
            f"got resamples = {resamples}, share = {share}."
        )
    metrics = as_table(metrics, name="metrics")
    full = cluster_models(metrics, most_groups=most_groups, diagnostics=diagnostics)
    generator = seeded(seed)
    usable = metrics.set_axis(metrics.columns.map(str), axis=1).loc[:, list(full.columns)]
    draws = None if manifolds is None else ManifoldDraws.make(manifolds, usable)
    kept = max(3, round(share * len(full.models)))
    settings = _settings(full.columns) if leave_out_settings else ()
    most = min(most_groups, kept - 1)
    cuts: dict[int, list[np.ndarray]] = {count: [] for count in range(2, most + 1)}
    for number in range(resamples if cuts and len(full.models) > 3 else 0):
        drawn = usable if draws is None else draws.draw(generator)
        if len(settings) > 1:
            # In turn, so that all settings are left out equally often.
            left = settings[number % len(settings)] + "."
            drawn = drawn.loc[:, [name for name in drawn.columns if not name.startswith(left)]]
        rows = choose_rows(len(drawn), kept, seed=generator)
        _add_cuts(drawn.iloc[rows], rows, len(drawn), cuts)
    table = pd.DataFrame(
        [_agreement(count, labellings, full) for count, labellings in cuts.items()],
        columns=["groups", "stability", "low", "high", "silhouette"],
    )
    known = table.dropna(subset=["stability"])
    # Rounding must not decide between numbers that agree equally well.
    best = known.loc[known["stability"].round(9) == known["stability"].round(9).max()]
    chosen = best_silhouette({int(count): full.silhouettes[count] for count in best["groups"]})
    clusters = cluster_models(
        metrics, groups=chosen or full.groups, most_groups=most_groups, diagnostics=diagnostics
    )
    return ClusterStability(
        clusters=replace(clusters, chosen_by="stability" if chosen else "silhouette"),
        table=table,
        resamples=resamples,
        settings_left_out=len(settings) > 1,
    )


@dataclass(frozen=True, kw_only=True)
class LabelAgreement(Result):
    """Do groups of models follow a label, such as the training paradigm?

    Attributes:
        ari: adjusted Rand index, 1 where groups and labels are the same partition, 0 as by chance.
        p_value: share of permutations of the labels with an index at least as large.
        labels: number of different labels.
        models: number of models with a label.
    """

    ari: float
    p_value: float
    labels: int
    models: int

    def to_pandas(self) -> pd.DataFrame:
        """One row."""
        return pd.DataFrame([vars(self)])

    def __repr__(self) -> str:
        """Index and p-value in one line."""
        return (
            f"LabelAgreement(adjusted Rand index {self.ari:.3f}, p = {self.p_value:.3g}, "
            f"{self.labels} labels of {self.models} models)"
        )

    def _picture(self) -> str:
        from mgm_jax.shown.plot import intervals_svg

        return intervals_svg(["adjusted Rand index", "as by chance"], np.array([self.ari, 0.0]))


def label_agreement(
    groups: Sequence[int] | np.ndarray,
    labels: Sequence[str] | np.ndarray,
    *,
    permutations: int = 2000,
    seed: int = 0,
) -> LabelAgreement:
    """Compare groups of models with labels of theirs by the adjusted Rand index.

    Args:
        groups: group of each model, ``[n]``.
        labels: label of each model, ``[n]``.
        permutations: of the labels over the models; their actual order counts as one.
        seed: of the permutations.

    Returns:
        A ``LabelAgreement``; ``p_value`` is NaN where all models share a group or a label.

    Raises:
        InputError: arrays of unequal length, or empty; a label that is missing.

    Reference: Hubert and Arabie, "Comparing partitions", 1985.

    Example:
        >>> label_agreement([1, 1, 1, 2, 2, 2], ["a", "a", "a", "b", "b", "b"]).ari
        1.0
    """
    if len(groups) != len(labels) or not len(groups):
        raise InputError(
            "groups and labels must hold one entry a model, at least one; "
            f"got {len(groups)} and {len(labels)}."
        )
    distinct, of_group = np.unique(np.asarray(groups), return_inverse=True)
    named, of_label = _codes(labels)
    ari = float(adjusted_rand(of_group[None], of_label[None])[0])
    p_value = float("nan")
    if len(distinct) > 1 and len(named) > 1:
        generator = seeded(seed)
        shuffled = generator.permuted(np.tile(of_label, (permutations, 1)), axis=1)
        by_chance = adjusted_rand(np.broadcast_to(of_group, shuffled.shape), shuffled)
        p_value = float((1 + (by_chance >= ari - 1e-12).sum()) / (1 + permutations))
    return LabelAgreement(ari=ari, p_value=p_value, labels=len(named), models=len(of_group))


def _codes(labels: Sequence[str] | np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Distinct labels, and the place of each label among them."""
    encoded = encode_groups(labels, len(labels), name="labels")
    return encoded.values, encoded.codes


def agreement_over_cuts(
    linkage: np.ndarray,
    labels: Sequence[str] | np.ndarray,
    *,
    groups: Sequence[int],
    permutations: int = 2000,
    seed: int = 0,
) -> pd.DataFrame:
    """Compare every cut of one tree with labels of its leaves.

    The most stable number of groups need not be the one that a label follows. Looking at all cuts
    is a search, so each gets a second p-value that allows for it.

    Args:
        linkage: of SciPy, n leaves.
        labels: label of each leaf, ``[n]``.
        groups: numbers of groups to cut into, each from 2 to n.
        permutations: of the labels over the leaves; their actual order counts as one.
        seed: of the permutations.

    Returns:
        One row a cut: ``groups``, ``ari``, ``p_value`` of this cut alone, and ``p_any``: how often
        shuffled labels agree as well with any of the cuts.

    Raises:
        InputError: no number of groups, or one that the tree cannot be cut into.

    Reference: Westfall and Young, "Resampling-based multiple testing", 1993 (the maximum over
    tests as statistic).
    """
    n = len(linkage) + 1
    if not len(groups) or min(groups) < 2 or max(groups) > n:
        raise InputError(f"groups must be numbers from 2 to the {n} leaves; got {list(groups)}.")
    if len(labels) != n:
        raise InputError(f"labels must hold one entry for each of {n} leaves; got {len(labels)}.")
    named, of_label = _codes(labels)
    cuts = np.stack([cut_tree(linkage, count) for count in groups])
    ari = adjusted_rand(cuts, np.broadcast_to(of_label, cuts.shape))
    p_value = p_any = np.full(len(cuts), np.nan)
    if len(named) > 1:
        generator = seeded(seed)
        shuffled = generator.permuted(np.tile(of_label, (permutations, 1)), axis=1)
        by_chance = np.stack(
            [adjusted_rand(np.broadcast_to(cut, shuffled.shape), shuffled) for cut in cuts]
        )
        reached = by_chance >= ari[:, None] - 1e-12
        best = by_chance.max(axis=0) >= ari[:, None] - 1e-12
        p_value = (1 + reached.sum(axis=1)) / (1 + permutations)
        p_any = (1 + best.sum(axis=1)) / (1 + permutations)
    return pd.DataFrame({"groups": list(groups), "ari": ari, "p_value": p_value, "p_any": p_any})


def adjusted_rand(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Adjusted Rand index of pairs of partitions ``[r, n]``, ``[r]``; codes from 0."""
    one, other = (
        (codes[:, :, None] == np.arange(codes.max() + 1)).astype(np.float64)
        for codes in (first, second)
    )
    n = first.shape[1]
    together = _pairs(one.swapaxes(1, 2) @ other).sum((1, 2))
    of_first, of_second = _pairs(one.sum(1)).sum(1), _pairs(other.sum(1)).sum(1)
    expected = of_first * of_second / max(_pairs(n), 1)
    above, below = together - expected, (of_first + of_second) / 2 - expected
    # Two partitions that cannot differ (all together, or all alone) agree.
    return np.divide(above, below, out=np.ones_like(above), where=below > 1e-12)


def _pairs(count: Any) -> Any:
    return count * (count - 1) / 2


def _settings(columns: Sequence[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(name.partition(".")[0] for name in columns if "." in name))


def _add_cuts(
    drawn: pd.DataFrame, rows: np.ndarray, models: int, cuts: dict[int, list[np.ndarray]]
) -> None:
    """Cut the tree of a resample into every number of groups; -1 for models left out."""
    from scipy.cluster import hierarchy

    columns, _ = usable_columns(drawn)
    if not columns:
        return
    values = drawn[list(columns)].to_numpy(np.float64)
    linkage = hierarchy.linkage((values - values.mean(0)) / values.std(0), method="ward")
    for count, labellings in cuts.items():
        codes = np.full(models, -1)
        codes[rows] = cut_tree(linkage, count)
        labellings.append(codes)


def _agreement(count: int, labellings: list[np.ndarray], full: ModelClusters) -> tuple[float, ...]:
    """Mean and quartiles of the index between each resample and the next, as a ring."""
    indices = []
    for one, other in zip(labellings, [*labellings[1:], *labellings[:1]], strict=True):
        both = (one >= 0) & (other >= 0)
        if both.sum() > 2:
            indices.append(adjusted_rand(one[None, both], other[None, both])[0])
    silhouette = full.silhouettes.get(count, float("nan"))
    if not indices:
        return count, float("nan"), float("nan"), float("nan"), silhouette
    low, high = np.quantile(indices, [0.25, 0.75])
    return count, float(np.mean(indices)), float(low), float(high), silhouette
