# pyright: strict, reportMissingTypeStubs=false, reportUnknownMemberType=false
# pyright: reportUnknownVariableType=false, reportUnknownArgumentType=false
"""Intrinsic dimension from distances to neighbours: TwoNN and Levina-Bickel.

Rows that repeat another row have neighbours at distance zero, which no estimator survives. Both
functions look at the distinct rows alone and say how many points they left out.

Each has a twin that takes the distances of a k-NN graph, so that one search serves them all.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from mgm_jax.errors import InputError, name_some
from mgm_jax.geometry.knn.graph import KnnGraph
from mgm_jax.geometry.knn.search import find_neighbours
from mgm_jax.geometry.points.checks import as_array, check_points, common_offset
from mgm_jax.geometry.points.duplicates import Distinct, distinct_rows
from mgm_jax.geometry.points.frames import refuse_other_order
from mgm_jax.geometry.points.groups import Groups, encode_groups
from mgm_jax.shown.result import Result
from mgm_jax.whole_numbers import whole_number

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True, kw_only=True)
class TwoNN(Result):
    """One dimension a group.

    Attributes:
        groups: what the groups are called, ``[g]``.
        dimension: estimates ``[g]`` float64, above 0; NaN exactly where ``valid`` is False.
        valid: whether the group allows an estimate, ``[g]`` bool: at least three distinct
            points, not all with two equally near neighbours.
        left_out: points that repeat another one, ``[g]`` int32.
    """

    groups: np.ndarray
    dimension: np.ndarray
    valid: np.ndarray
    left_out: np.ndarray

    def to_pandas(self) -> pd.DataFrame:
        """One row a group."""
        return _frame(self, index="groups")

    def __repr__(self) -> str:
        """The dimension, or the range of those of the groups, in one line."""
        return f"TwoNN({_range(self.dimension)}{_counted(self.groups)})"

    def _picture(self) -> str:
        from mgm_jax.shown.plot import intervals_svg

        return intervals_svg(self.groups.tolist(), self.dimension)


@dataclass(frozen=True, kw_only=True)
class LevinaBickel(Result):
    """A dimension for every point and an average for every group.

    Attributes:
        dimension: estimates ``[n]`` float64, above 0; NaN exactly where ``valid`` is False.
        valid: whether the point allows an estimate, ``[n]`` bool: enough distinct points in its
            group, not all at one distance.
        repeated: whether the point equals an earlier one, ``[n]`` bool; it then has that point's
            estimate and does not enter the average.
        groups: what the groups are called, ``[g]``.
        average: one over the mean of ``1 / dimension`` in each group, ``[g]`` float64 (MacKay &
            Ghahramani 2005); NaN exactly where a group has no valid point.
        left_out: points that did not enter the average, ``[g]`` int32.
    """

    dimension: np.ndarray
    valid: np.ndarray
    repeated: np.ndarray
    groups: np.ndarray
    average: np.ndarray
    left_out: np.ndarray

    def to_pandas(self) -> pd.DataFrame:
        """One row a point: dimension, valid and repeated."""
        import pandas as pd

        return pd.DataFrame(
            {"dimension": self.dimension, "valid": self.valid, "repeated": self.repeated}
        )

    def __repr__(self) -> str:
        """The average, or the range of those of the groups, in one line."""
        points = f"{self.dimension.size} points"
        return f"LevinaBickel({points}, average {_range(self.average)}{_counted(self.groups)})"

    def _picture(self) -> str:
        from mgm_jax.shown.histogram import histogram_svg

        return histogram_svg(self.dimension)


def two_nn(x: Any, *, groups: Any = None, discard: float = 0.1) -> TwoNN:
    """Dimension of each group from the two nearest neighbours of its points (Facco et al. 2017).

    With ``mu_i = r_i2 / r_i1`` sorted ascending and ``F_i = i / n``, the dimension is the slope
    through the origin of ``-log(1 - F_i)`` over ``log mu_i``, the largest ratios left out.

    Args:
        x: points ``[n, d]``, NumPy or JAX; distances are Euclidean.
        groups: one integer or string a point; None for one cloud.
        discard: share of the largest ratios to leave out, in [0, 1); the paper takes 0.1. Of n
            ratios the ``floor(n (1 - discard))`` smallest are used, and never the very largest,
            whose F is 1.

    Returns:
        A ``TwoNN``.

    Raises:
        InputError: unusable points, or a share outside [0, 1).

    Example:
        >>> square = np.random.default_rng(0).random((500, 2))
        >>> bool(abs(two_nn(square).dimension[0] - 2) < 0.3)
        True
    """
    _check_discard(discard)
    refuse_other_order(x, groups, names=("x", "groups"))
    x = as_array(x)
    points = check_points(x, name="x", offset=common_offset(x))
    partition = encode_groups(groups, points.shape[0])
    kept, distances = _distances_between_distinct(points, partition, k=2)
    return TwoNN(
        groups=partition.values,
        left_out=partition.sizes - kept.groups.sizes,
        **slopes(distances, kept.groups, discard=discard),
    )


def two_nn_of(graph: KnnGraph, *, groups: Any = None, discard: float = 0.1) -> TwoNN:
    """``two_nn`` from the distances of a graph of distinct points, with k of at least 2.

    Args:
        graph: from ``knn_graph``, in any metric: a cosine distance c is the Euclidean distance
            ``sqrt(2 c)`` on the unit sphere.
        groups: one integer or string a point, as the graph was made with.
        discard: as in ``two_nn``.

    Raises:
        InputError: k below 2, points at distance 0, or a share outside [0, 1).

    Example:
        >>> from mgm_jax import knn_graph
        >>> square = np.random.default_rng(0).random((500, 2))
        >>> graph = knn_graph(square, k=5, metric="euclidean")
        >>> bool(np.isclose(two_nn_of(graph).dimension, two_nn(square).dimension)[0])
        True
    """
    _check_discard(discard)
    partition = encode_groups(groups, graph.n)
    return TwoNN(
        groups=partition.values,
        left_out=np.zeros_like(partition.sizes),
        **slopes(_distances_of(graph, k=2), partition, discard=discard),
    )


def levina_bickel(
    x: Any, *, k: int = 20, groups: Any = None, unbiased: bool = False
) -> LevinaBickel:
    """Maximum-likelihood dimension at every point (Levina & Bickel 2004, equation 8).

    ``1 / m_i = 1/(k-1) sum_{j<k} log(T_ik / T_ij)`` with ``T_ij`` the distance from point i to
    its j-th nearest distinct neighbour. A group's average is one over the mean of ``1 / m_i``.

    Args:
        x: points ``[n, d]``, NumPy or JAX; distances are Euclidean.
        k: neighbours a point, at least 2, at least 3 where ``unbiased``.
        groups: one integer or string a point; neighbours stay within the group.
        unbiased: whether to take ``k - 2`` for ``k - 1``, after which the plain mean of ``m_i``
            has no bias. The average of a group, which has next to none without, changes by the
            same factor, as in scikit-dimension.

    Returns:
        A ``LevinaBickel``.

    Raises:
        InputError: unusable points, k too small, or groups of k points or fewer, which are named.

    Example:
        >>> square = np.random.default_rng(0).random((500, 2))
        >>> bool(abs(levina_bickel(square).average[0] - 2) < 0.3)
        True
    """
    k = whole_number(k, name="k")
    _check_k(k, unbiased=unbiased)
    refuse_other_order(x, groups, names=("x", "groups"))
    x = as_array(x)
    points = check_points(x, name="x", offset=common_offset(x))
    partition = encode_groups(groups, points.shape[0])
    partition.refuse_smaller(
        k + 1,
        need=f"k must be below the number of points of every group; got k = {k} and too few points",
        remedy="Lower k, or leave these groups out.",
    )
    kept, distances = _distances_between_distinct(points, partition, k=k)
    return _likeliest(distances, kept, partition, unbiased=unbiased)


def levina_bickel_of(
    graph: KnnGraph, *, k: int | None = None, groups: Any = None, unbiased: bool = False
) -> LevinaBickel:
    """``levina_bickel`` from the distances of a graph of distinct points.

    Args:
        graph: from ``knn_graph``, in any metric; see ``two_nn_of``.
        k: neighbours a point, at most those of the graph; None for all of them.
        groups: one integer or string a point, as the graph was made with.
        unbiased: as in ``levina_bickel``.

    Raises:
        InputError: k too small or too large, or points at distance 0.

    Example:
        >>> from mgm_jax import knn_graph
        >>> square = np.random.default_rng(0).random((500, 2))
        >>> graph = knn_graph(square, k=25, metric="euclidean")
        >>> result = levina_bickel_of(graph, k=20).average, levina_bickel(square).average
        >>> bool(np.isclose(*result)[0])
        True
    """
    count = graph.k if k is None else k
    _check_k(count, unbiased=unbiased)
    partition = encode_groups(groups, graph.n)
    return _likeliest(
        _distances_of(graph, k=count),
        _all_rows(graph.n, partition),
        partition,
        unbiased=unbiased,
    )


def slopes(distances: np.ndarray, groups: Groups, *, discard: float) -> dict[str, np.ndarray]:
    """Slope of every group, and whether it has one, from distances ``[n, 2]``."""
    # A point with fewer than two distinct others has no ratio, nor one with another so near that
    # float32 has no number for the distance.
    usable = np.flatnonzero(np.isfinite(distances[:, 1]) & (distances[:, 0] > 0))
    wide = distances[usable].astype(np.float64)
    logs, codes = np.log(wide[:, 1] / wide[:, 0]), groups.codes[usable]
    order = np.lexsort((logs, codes))
    logs, codes = logs[order], codes[order]
    sizes = np.bincount(codes, minlength=len(groups))
    ranks = np.arange(1, logs.size + 1) - (np.cumsum(sizes) - sizes)[codes]
    used = np.minimum((sizes * (1 - discard)).astype(int), sizes - 1)
    kept = ranks <= used[codes]
    logs, codes, shares = logs[kept], codes[kept], (ranks / sizes[codes])[kept]
    squares = np.bincount(codes, weights=logs * logs, minlength=len(groups))
    products = np.bincount(codes, weights=logs * -np.log1p(-shares), minlength=len(groups))
    valid = squares > 0
    dimension = np.divide(products, squares, out=np.full(len(groups), np.nan), where=valid)
    return {"dimension": dimension, "valid": valid}


def _likeliest(
    distances: np.ndarray, kept: Distinct, partition: Groups, *, unbiased: bool
) -> LevinaBickel:
    """Estimates of all points and groups from the distances ``[u, k]`` of the distinct points."""
    k = distances.shape[1]
    inverse = np.full(kept.rows.size, np.nan)
    full = np.isfinite(distances[:, -1]) & (distances[:, 0] > 0)
    inverse[full] = inverse_dimensions(distances[full])
    if unbiased:
        inverse *= (k - 1) / (k - 2)
    # Where all neighbours are at one distance, what is left is the rounding of the sum.
    alike = distances[:, 0] == distances[:, -1]
    valid = (inverse > 0) & ~alike
    safe = np.where(valid, inverse, 0)
    used = np.bincount(kept.groups.codes[valid], minlength=len(partition))
    sums = np.bincount(kept.groups.codes, weights=safe, minlength=len(partition))
    dimension = np.divide(1, inverse, out=np.full_like(inverse, np.nan), where=valid)
    return LevinaBickel(
        dimension=dimension[kept.codes],
        valid=valid[kept.codes],
        repeated=np.isin(np.arange(kept.codes.size), kept.repeated),
        groups=partition.values,
        average=np.divide(used, sums, out=np.full(len(partition), np.nan), where=used > 0),
        left_out=(partition.sizes - used).astype(np.int32),
    )


def inverse_dimensions(distances: np.ndarray) -> np.ndarray:
    """``1/(k-1) sum_{j<k} log(T_k / T_j)`` of every point, from distances ``[n, k]`` above 0."""
    k = distances.shape[1]
    logs = np.log(distances.astype(np.float64))
    return (k * logs[:, -1] - logs.sum(axis=1)) / (k - 1)


def _distances_between_distinct(
    points: Any, groups: Groups, *, k: int
) -> tuple[Distinct, np.ndarray]:
    """The distinct rows, and each one's distances to its k nearest; infinity for want of rows."""
    kept = distinct_rows(points, groups) or _all_rows(points.shape[0], groups)
    chosen = points if kept.rows.size == points.shape[0] else points[kept.rows]
    results = find_neighbours(chosen, kept.groups, k=k, metric="euclidean", distinct=None)
    return kept, results.distances


def _all_rows(n: int, groups: Groups) -> Distinct:
    return Distinct(rows=np.arange(n), codes=np.arange(n), repeated=np.arange(0), groups=groups)


def _distances_of(graph: KnnGraph, *, k: int) -> np.ndarray:
    """Euclidean distances ``[n, k]`` float64 of a graph."""
    if graph.k < k:
        raise InputError(
            f"graph must have at least {k} neighbours a point; got {graph.k}. "
            f"Make it with k = {k}, or ask for fewer."
        )
    distances = graph.distances[:, :k].astype(np.float64)
    rows = np.flatnonzero(distances[:, 0] == 0)
    if rows.size:
        raise InputError(
            f"graph must be of distinct points; got {rows.size} with a neighbour at distance 0 "
            f"(rows {name_some(rows)}). Leave repeated points out before the search, or hand the "
            "points over instead of the graph."
        )
    if graph.metric == "euclidean":
        return distances
    return np.sqrt(distances if graph.metric == "sqeuclidean" else 2 * distances)


def _check_discard(discard: float) -> None:
    if not 0 <= discard < 1:
        raise InputError(f"discard must be at least 0 and below 1; got {discard}.")


def _check_k(k: int, *, unbiased: bool) -> None:
    if k < 2 + unbiased:
        needed = "3, as k - 2 divides" if unbiased else "2, to compare two distances"
        raise InputError(f"k must be at least {needed}; got {k}.")


def _frame(result: TwoNN, *, index: str) -> pd.DataFrame:
    import pandas as pd

    columns = {name: value for name, value in vars(result).items() if name != index}
    return pd.DataFrame(columns, index=pd.Index(getattr(result, index), name="group"))


def _range(values: np.ndarray) -> str:
    """The value, or the smallest and the largest of several."""
    known = values[np.isfinite(values)]
    if known.size == 0:
        return "undefined"
    ends = dict.fromkeys((f"{known.min():.2f}", f"{known.max():.2f}"))
    return f"dimension {' to '.join(ends)}"


def _counted(groups: np.ndarray) -> str:
    return f" in {groups.size} groups" if groups.size > 1 else ""
