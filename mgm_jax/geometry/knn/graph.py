# pyright: strict, reportMissingTypeStubs=false, reportUnknownMemberType=false
# pyright: reportUnknownVariableType=false, reportUnknownArgumentType=false
"""The k-nearest-neighbour graph: what users call, and what they get."""

from __future__ import annotations

import warnings
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any, get_args

import jax
import numpy as np
from jax.sharding import Mesh

from mgm_jax.errors import InputError, name_some
from mgm_jax.geometry.backend.precision import ScanPrecision
from mgm_jax.geometry.knn.distance import Metric
from mgm_jax.geometry.knn.search import find_neighbours
from mgm_jax.geometry.points.checks import DuplicatePolicy, as_array, check_points, common_offset
from mgm_jax.geometry.points.duplicates import Distinct, distinct_rows
from mgm_jax.geometry.points.frames import refuse_other_order
from mgm_jax.geometry.points.groups import Groups, encode_groups
from mgm_jax.parallel.devices import choose_mesh
from mgm_jax.shown.result import Result
from mgm_jax.whole_numbers import whole_number

if TYPE_CHECKING:
    import pandas as pd


@partial(
    jax.tree_util.register_dataclass,
    data_fields=["indices", "distances", "certified"],
    meta_fields=["metric"],
)
@dataclass(frozen=True, kw_only=True)
class KnnGraph(Result):
    """The k nearest neighbours of n points, exact.

    Attributes:
        indices: rows of the neighbours, ``[n, k]`` int32, nearest first; of equal distances the
            smaller index comes first.
        distances: their distances, ``[n, k]`` float32, each computed from the two points in
            float64 and rounded once.
        certified: whether the fast scan settled the row, ``[n]`` bool. The other rows were
            searched again in higher precision; every row is exact either way.
        metric: the distance, ``"cosine"``, ``"sqeuclidean"`` or ``"euclidean"``.
    """

    indices: np.ndarray
    distances: np.ndarray
    certified: np.ndarray
    metric: Metric

    @property
    def n(self) -> int:
        """Number of points."""
        return self.indices.shape[0]

    @property
    def k(self) -> int:
        """Number of neighbours a point."""
        return self.indices.shape[1]

    def to_pandas(self) -> pd.DataFrame:
        """One row an edge: source, target, rank (from 1) and distance."""
        import pandas as pd

        return pd.DataFrame(
            {
                "source": np.repeat(np.arange(self.n, dtype=np.int32), self.k),
                "target": self.indices.ravel(),
                "rank": np.tile(np.arange(1, self.k + 1, dtype=np.int32), self.n),
                "distance": self.distances.ravel(),
            }
        )

    def __repr__(self) -> str:
        """Size, metric and typical distance in one line."""
        return (
            f"KnnGraph({self.n} points, k={self.k}, {self.metric}, "
            f"median distance {np.median(self.distances):.4g}, "
            f"{self.certified.mean():.2%} certified at once)"
        )

    def _picture(self) -> str:
        from mgm_jax.shown.histogram import histogram_svg

        return histogram_svg(self.distances)

    def _shown_table(self) -> pd.DataFrame:
        edges = replace(
            self,
            indices=self.indices[:3, :4],
            distances=self.distances[:3, :4],
            certified=self.certified[:3],
        )
        return edges.to_pandas()


def knn_graph(
    x: Any,
    *,
    k: int,
    metric: Metric = "cosine",
    groups: Any = None,
    base: Any = None,
    duplicates: DuplicatePolicy = "warn",
    devices: Mesh | None = None,
    precision: ScanPrecision = "auto",
    tile_rows: int | None = None,
    tile_columns: int | None = None,
) -> KnnGraph:
    """Exact k nearest neighbours of every point, among all others or within its group.

    The distance is ``1 - cos(x_i, x_j)``, ``|x_i - x_j|^2`` or ``|x_i - x_j|``. Candidates come
    from a fast scan with a proven error bound, their order from distances in float64; rows that
    the bound cannot settle fall back. So the graph depends on the points alone: not on tiles,
    precision of the scan, devices, or the order of groups. The n x n matrix never exists.

    Args:
        x: points ``[n, d]``, NumPy or JAX, float32 or bfloat16 (other real types become float32),
            on one device or spread by rows over several.
        k: number of neighbours, at least 1. A point is never its own neighbour: it is left out by
            its index, so an equal row at another index counts.
        metric: ``"cosine"`` (0 to 2), ``"sqeuclidean"`` or ``"euclidean"`` (0 up).
        groups: one integer or string a point; neighbours are sought within the group alone.
        base: other points ``[m, d]`` to seek neighbours among; then no point is left out.
        duplicates: what to do about equal rows (of one group) among the points sought from:
            ``"warn"`` keeps them as neighbours and warns, ``"drop"`` lets only the first of them
            be a neighbour, and never of its equals, ``"raise"`` refuses them.
        devices: mesh of one axis to work on; None follows x, so spread points stay spread.
        precision: type of the scan, ``"auto"``, ``"float32"`` or ``"bfloat16"``.
        tile_rows: points scanned at once; None for a good size.
        tile_columns: points they are compared with at once; None for a good size.

    Returns:
        A ``KnnGraph``: indices, distances and certificates on the host.

    Raises:
        InputError: unusable points (see ``check_points``), k below 1 or not below the number of
            points to choose from (the groups are named), an unknown option, ``groups`` together
            with ``base``, distances beyond the range of float32.

    Example:
        >>> knn_graph([[0.0, 1.0], [0.0, 2.0], [3.0, 1.0]], k=1, metric="euclidean").indices.T
        array([[1, 0, 0]], dtype=int32)
    """
    _check_choice("metric", metric, Metric)
    _check_choice("duplicates", duplicates, DuplicatePolicy)
    _check_choice("precision", precision, ScanPrecision)
    k = whole_number(k, name="k")
    tile_rows = None if tile_rows is None else whole_number(tile_rows, name="tile_rows")
    tile_columns = None if tile_columns is None else whole_number(tile_columns, name="tile_columns")
    # One point alone has no neighbours, but may be looked up among others.
    cosine = metric == "cosine"
    refuse_other_order(x, groups, names=("x", "groups"))
    x, base = as_array(x), None if base is None else as_array(base, name="base")
    # Lengths of differences: what all points have in common is taken off before it costs digits.
    offset = None if cosine else common_offset(x, base)
    points = check_points(x, name="x", cosine=cosine, least=2 if base is None else 1, offset=offset)
    others = _check_base(base, groups, points, cosine=cosine, offset=offset)
    sought = points if others is None else others
    partition = encode_groups(groups, sought.shape[0])
    own = others is None
    _check_k(k, partition, own=own)
    distinct = distinct_rows(sought, partition)
    if distinct is not None:
        _apply_policy(distinct, duplicates, k=k, own=own)
    results = find_neighbours(
        points,
        partition,
        base=others,
        distinct=distinct,
        repeats=duplicates != "drop",
        k=k,
        metric=metric,
        precision=precision,
        mesh=choose_mesh(devices, x=points),
        tile_rows=tile_rows,
        tile_columns=tile_columns,
    )
    return KnnGraph(
        indices=results.indices,
        distances=results.distances,
        certified=results.certified,
        metric=metric,
    )


def _check_choice(name: str, value: object, choices: Any) -> None:
    if value not in get_args(choices):
        raise InputError(f"{name} must be one of {name_some(get_args(choices))}; got {value!r}.")


def _check_base(
    base: Any,
    groups: Any,
    points: jax.Array | np.ndarray,
    *,
    cosine: bool,
    offset: np.ndarray | None,
) -> jax.Array | np.ndarray | None:
    if base is None:
        return None
    if groups is not None:
        raise InputError("groups and base exclude each other; got both. Leave one of them out.")
    others = check_points(base, name="base", cosine=cosine, least=1, offset=offset)
    if others.shape[1] != points.shape[1]:
        raise InputError(
            f"base must have as many columns as x, {points.shape[1]}; got {others.shape[1]}."
        )
    return others


def _check_k(k: int, groups: Groups, *, own: bool, what: str = "points") -> None:
    """Refuse a k that some group cannot serve, a point itself not counted where it is its own."""
    groups.refuse_smaller(
        k + own,
        need=f"k must be at most the number of {what} to choose from"
        f"{', less the point itself' * own}; got k = {k} and too few {what}",
        remedy="Lower k, or leave small groups out.",
    )


def _apply_policy(distinct: Distinct, policy: DuplicatePolicy, *, k: int, own: bool) -> None:
    """Warn of equal rows, refuse them, or refuse a k that the distinct rows cannot serve."""
    name = "x" if own else "base"
    repeats = f"{distinct.repeated.size} rows of {name} equal an earlier row"
    repeats += f" (rows {name_some(distinct.repeated)})"
    if policy == "raise":
        raise InputError(
            f"{name} must hold distinct rows; {repeats}. Remove them, or pass duplicates='drop'."
        )
    if policy == "drop":
        _check_k(k, distinct.groups, own=own, what="distinct points")
    else:
        warnings.warn(
            f"{repeats}; they stay neighbours at distance 0. Pass duplicates='drop' to leave the "
            "repeats out as neighbours.",
            stacklevel=3,
        )
