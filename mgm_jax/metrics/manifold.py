"""Manifold graph metrics: points and their groups in, one record a point out."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any, Literal

import jax
import numpy as np
from jax.sharding import Mesh

from mgm_jax.errors import InputError
from mgm_jax.geometry.nnk.bandwidth import BandwidthRule, bandwidths, tell_of_narrow_kernel
from mgm_jax.geometry.nnk.candidates import check_group_sizes, check_policy, tell_about_repeats
from mgm_jax.geometry.nnk.kernel import KernelName, check_kernel
from mgm_jax.geometry.points.checks import DuplicatePolicy, as_array, check_points, common_offset
from mgm_jax.geometry.points.duplicates import distinct_rows
from mgm_jax.geometry.points.frames import refuse_other_order
from mgm_jax.geometry.points.groups import Groups, encode_groups
from mgm_jax.metrics.columns import FLAG_COLUMNS, INTEGER_COLUMNS, METRIC_COLUMNS
from mgm_jax.metrics.measure import measure_points
from mgm_jax.metrics.options import Options
from mgm_jax.metrics.summary import ManifoldSummary, means_and_summary
from mgm_jax.parallel.devices import fetch, fetch_rows, mesh_of
from mgm_jax.shown.result import Result
from mgm_jax.whole_numbers import whole_number

if TYPE_CHECKING:
    import pandas as pd

# Columns whose distribution a notebook draws.
_SHOWN = ("nnk_degree", "nnk_diameter", "nnk_affinity_excess", "pca_dimension")


@dataclass(frozen=True, kw_only=True)
class ManifoldMetrics(Result):
    """One record a point; every field is a NumPy array ``[n]``.

    A metric that a point does not have is NaN, and the point is flagged as ``degenerate``: it has
    a single neighbour (no diameter), its group is two points (no affinity either), its neighbours
    all coincide with it, it has none (all candidates are opposite to it), or (for the excess) its
    polytope spans the whole space. :data:`METRIC_COLUMNS` says what each metric means.

    Attributes:
        group: group of the point, as it was handed in.
        nnk_degree: number of NNK neighbours, int32.
        nnk_diameter: largest distance between two of them; NaN where there are fewer.
        nnk_radius: largest distance to one of them.
        nnk_affinity: mean affinity with the polytopes of the neighbours.
        nnk_affinity_excess: the same above chance.
        nnk_affinity_null: mean affinity with all other points of the group, or random ones.
        nnk_residual: squared kernel distance from the point to its reproduction.
        nnk_kkt: violation of the optimality conditions.
        pca_dimension: local principal components, int32.
        pca_participation_ratio: local participation ratio.
        knn_distance: distance to the nearest candidate.
        k_effective: number of candidates, int32.
        saturated: whether all candidates are neighbours, bool.
        duplicates: share of repeats among the candidates.
        degenerate: whether a metric is NaN, bool.
        relative_diameter: diameter over the reference distance; None where none was given.
    """

    group: np.ndarray
    nnk_degree: np.ndarray
    nnk_diameter: np.ndarray
    nnk_radius: np.ndarray
    nnk_affinity: np.ndarray
    nnk_affinity_excess: np.ndarray
    nnk_affinity_null: np.ndarray
    nnk_residual: np.ndarray
    nnk_kkt: np.ndarray
    pca_dimension: np.ndarray
    pca_participation_ratio: np.ndarray
    knn_distance: np.ndarray
    k_effective: np.ndarray
    saturated: np.ndarray
    duplicates: np.ndarray
    degenerate: np.ndarray
    relative_diameter: np.ndarray | None = None

    def __len__(self) -> int:
        """Number of points."""
        return self.group.size

    @property
    def columns(self) -> tuple[str, ...]:
        """Names of the metrics at hand, in the order of :data:`METRIC_COLUMNS`."""
        return tuple(name for name in METRIC_COLUMNS if getattr(self, name) is not None)

    def to_pandas(self) -> pd.DataFrame:
        """A row a point: its group, then the metrics."""
        import pandas as pd

        names = ("group", *self.columns)
        return pd.DataFrame({name: getattr(self, name) for name in names})

    def summary(
        self, *, resamples: int = 2000, seed: int = 0, level: float = 0.95
    ) -> ManifoldSummary:
        """Statistics over groups with bootstrap intervals; see :func:`summarise`.

        Args:
            resamples: bootstrap resamples of the groups.
            seed: of the resampling.
            level: coverage of the intervals.
        """
        values = {name: getattr(self, name) for name in self.columns}
        means, table = means_and_summary(
            values, self.group, resamples=resamples, seed=seed, level=level
        )
        return ManifoldSummary(table=table, groups=means, level=level)

    def __repr__(self) -> str:
        """Number of points and groups in one line."""
        groups = np.unique(self.group).size
        return (
            f"ManifoldMetrics({len(self)} points in {groups} groups, "
            f"{int(self.degenerate.sum())} degenerate)"
        )

    def _picture(self) -> str:
        from mgm_jax.shown.histogram import histogram_svg

        return "".join(
            f'<figure style="display:inline-block;margin:0 1.5em 1em 0"><figcaption>{name}'
            f"</figcaption>{histogram_svg(getattr(self, name))}</figure>"
            for name in _SHOWN
        )

    def _shown_table(self) -> pd.DataFrame:
        return self.summary().table


def manifold_metrics(
    x: Any,
    *,
    groups: Any = None,
    k: int | None = None,
    kernel: KernelName = "cosine",
    bandwidth: float | np.ndarray | BandwidthRule | None = None,
    normalize: bool = True,
    center: Literal["global"] | np.ndarray | None = None,
    reference_distance: float | None = None,
    pca_threshold: float = 0.95,
    duplicates: DuplicatePolicy = "warn",
    seed: int = 0,
    max_points_per_batch: int | None = None,
    devices: Mesh | None = None,
) -> ManifoldMetrics:
    """Measure the manifold around every point, within the group of the point.

    Each point is reproduced from its k nearest neighbours by non-negative kernel regression; the
    candidates with weight above 1e-6 are its NNK neighbours N(i) and span its polytope.

    - degree: ``|N(i)|``; diameter: ``max_{j,l in N(i)} |x_j - x_l|``; radius:
      ``max_{j in N(i)} |x_j - x_i|``
    - affinity: mean over j in N(i) of ``||U_i' U_j||_F / sqrt(min(d_i, d_j))``, with U_i an
      orthonormal basis of ``span{x_l - x_i : l in N(i)}`` of dimension d_i; excess:
      ``(aff^2 - e) / (1 - e)`` with ``e = max(d_i, d_j) / d``; null: the same mean over all
      other points of the group, or eight random ones of a group of more than 256
    - local PCA of the candidates, KKT violation and residual of the weights

    All follow from one Gram matrix a group, in float64; nothing depends on batches, devices or
    the order of groups. Groups of more than 256 points take their neighbours from an exact k-NN
    graph; those of more than 8192, and all on an accelerator, never form the matrix of all pairs.
    The formulas of the metrics are a reconstruction.

    Args:
        x: points ``[n, d]``, NumPy or JAX, float32 or bfloat16 (other real types become float32).
        groups: one integer or string a point; None measures all points as one cloud.
        k: candidates of a point; None takes 50, or all other members of a smaller group.
        kernel: ``"cosine"``, which is (1 + cos) / 2, or ``"gaussian"``.
        bandwidth: of the Gaussian, one number or one a point; None takes the distance of each
            point to its farthest candidate, ``"hurtado"`` one for the group, by the rule of
            arXiv 2210.17475.
        normalize: put the points on the unit sphere first; the cosine kernel needs it.
        center: taken off before normalising: ``"global"`` for the mean of all points, or a
            point ``[d]``.
        reference_distance: distance of two different images of the encoder, as
            :func:`mgm_jax.geometry.cloud.views.pair_distance` gives it for points that are
            centred alike; where given, the record has ``relative_diameter``.
        pca_threshold: share of the local variance that ``pca_dimension`` explains, 0 to 1.
        duplicates: equal rows of one group: ``"warn"`` measures them as they are (a repeated
            point has its copy as only neighbour, hence no diameter), ``"drop"`` measures the
            distinct rows, gives repeats the record of the first and counts in ``duplicates``
            the share of the group that was dropped, ``"raise"`` refuses them.
        seed: of the random points of groups of more than 256.
        max_points_per_batch: most points measured at once, for memory; None for a good size.
        devices: mesh of one axis to spread the groups over; None follows x. What is spread over
            devices is not brought together on a host, but for the rule ``"hurtado"``, a centre,
            ``duplicates="drop"``, and, where float64 is fast, a group of more than 256 points (one
            after the other); where it is slow (TPUs) such a group goes from device to device.

    Returns:
        A ``ManifoldMetrics`` on the host.

    Raises:
        InputError: unusable points (see ``check_points``), groups of one point or (for an
            explicit k) of k points or fewer, an unknown or impossible option.

    References:
        S. Shekkizhar and A. Ortega, "Graph construction from data by non-negative kernel
        regression", ICASSP 2020. M. Soltanolkotabi and E. J. Candes, "A geometric analysis of
        subspace clustering with outliers", 2012.

    Example:
        >>> x = np.random.default_rng(0).normal(size=(30, 8))
        >>> manifold_metrics(x, groups=np.arange(30) // 10)
        ManifoldMetrics(30 points in 3 groups, 0 degenerate)
    """
    check_kernel(kernel)
    k = None if k is None else whole_number(k, name="k")
    options = Options(
        k=k,
        kernel=kernel,
        normalize=normalize,
        pca_threshold=pca_threshold,
        seed=seed,
        max_points=max_points_per_batch,
    )
    check_policy(duplicates)
    _check_options(options, reference_distance)
    mesh = mesh_of(x) if devices is None and isinstance(x, jax.Array) else devices
    refuse_other_order(x, groups, names=("x", "groups"))
    x = as_array(x)
    if center is None:
        offset = None if normalize else common_offset(x)
        checked = check_points(x, cosine=normalize, offset=offset)
    else:
        checked = _centred(x, center, normalize=normalize)
    # What is spread stays so: groups are fetched one batch after the other.
    spread = isinstance(checked, jax.Array) and mesh_of(checked) is not None
    points = checked if spread else np.asarray(fetch(checked), np.float32)
    partition = encode_groups(groups, points.shape[0])
    check_group_sizes(partition, k)
    widths = bandwidths(points, partition, bandwidth, kernel=kernel, normalize=normalize)
    distinct = distinct_rows(points, partition)
    if distinct is not None:
        tell_about_repeats(distinct, partition, duplicates, stacklevel=2)
    if distinct is None or duplicates != "drop":
        columns = measure_points(points, partition, widths, options, mesh)
    else:
        rows = distinct.rows
        check_group_sizes(distinct.groups, k, least=1, distinct=True)
        part = None if widths is None else widths[rows]
        kept = np.asarray(fetch_rows(points, rows), np.float32)
        columns = measure_points(kept, distinct.groups, part, options, mesh)
        columns = {name: column[distinct.codes] for name, column in columns.items()}
        columns["duplicates"] = _share_dropped(partition, distinct.groups)
    tell_of_narrow_kernel(columns["nnk_degree"], widths)
    return _record(columns, partition.values[partition.codes], reference_distance)


def _share_dropped(all_points: Groups, kept: Groups) -> np.ndarray:
    """Share of the other members of its group that were dropped as repeats, of every point."""
    dropped = (all_points.sizes - kept.sizes) / np.maximum(all_points.sizes - 1, 1)
    return dropped[all_points.codes]


def _record(
    columns: dict[str, np.ndarray], group: np.ndarray, reference_distance: float | None
) -> ManifoldMetrics:
    if reference_distance is not None:
        columns["relative_diameter"] = columns["nnk_diameter"] / reference_distance
    columns["degenerate"] = np.any(np.isnan(list(columns.values())), axis=0)
    typed = {name: column.astype(_dtype(name)) for name, column in columns.items()}
    known = {field.name for field in fields(ManifoldMetrics)}
    return ManifoldMetrics(group=group, **{n: c for n, c in typed.items() if n in known})


def _dtype(name: str) -> type:
    if name in FLAG_COLUMNS:
        return np.bool_
    return np.int32 if name in INTEGER_COLUMNS else np.float64


def _centred(
    x: jax.Array | np.ndarray, center: Literal["global"] | np.ndarray, *, normalize: bool
) -> jax.Array | np.ndarray:
    """Take the centre off, in float64; refuse points that then have no direction."""
    if isinstance(center, str) and center != "global":
        raise InputError(f"center must be None, 'global' or a point; got {center!r}.")
    points = check_points(x)
    if isinstance(center, str):
        center = np.asarray(fetch(points)).mean(axis=0, dtype=np.float64)
    middle = np.asarray(center, np.float64)
    if middle.shape != (points.shape[1],) or not np.isfinite(middle).all():
        raise InputError(
            f"center must hold {points.shape[1]} finite numbers; got shape {middle.shape}."
        )
    # Of the points as they came: what they have in common costs no digits then.
    return check_points(np.asarray(fetch(x)), name="x - center", cosine=normalize, offset=middle)


def _check_options(options: Options, reference_distance: float | None) -> None:
    if options.kernel == "cosine" and not options.normalize:
        raise InputError(
            "kernel='cosine' compares directions and needs normalize=True; got normalize=False. "
            "Use kernel='gaussian' for points off the unit sphere."
        )
    if options.max_points is not None and options.max_points < 1:
        raise InputError(f"max_points_per_batch must be at least 1; got {options.max_points}.")
    if not 0 < options.pca_threshold <= 1:
        raise InputError(f"pca_threshold must lie in (0, 1]; got {options.pca_threshold}.")
    if reference_distance is not None and not (
        np.isfinite(reference_distance) and reference_distance > 0
    ):
        raise InputError(
            f"reference_distance must be finite and above 0; got {reference_distance}."
        )
