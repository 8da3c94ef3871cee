"""Intrinsic dimension from distances to neighbours: TwoNN and Levina-Bickel.

Rows that repeat another row have neighbours at distance zero, which no estimator survives. Both
functions look at the distinct rows alone and say how many points they left out.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from mgm_jax.errors import InputError, name_some
from mgm_jax.geometry.duplicates import Distinct, distinct_rows
from mgm_jax.geometry.groups import Groups, encode_groups
from mgm_jax.geometry.knn_search import find_neighbours
from mgm_jax.geometry.points import check_points

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True, kw_only=True)
class TwoNN:
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


@dataclass(frozen=True, kw_only=True)
class LevinaBickel:
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


def two_nn(x: Any, *, groups: Any = None, discard: float = 0.1) -> TwoNN:
    """Dimension of each group from the two nearest neighbours of its points (Facco et al. 2017).

    With ``mu_i = r_i2 / r_i1`` sorted ascending and ``F_i = i / n``, the dimension is the slope
    through the origin of ``-log(1 - F_i)`` over ``log mu_i``, the largest ratios left out.

    Args:
        x: points ``[n, d]``, NumPy or JAX; distances are Euclidean.
        groups: one integer or string a point; None for one cloud.
        discard: share of the largest ratios to leave out, in [0, 1); the paper takes 0.1.

    Returns:
        A ``TwoNN``.

    Raises:
        InputError: unusable points, or a share outside [0, 1).

    Example:
        >>> square = np.random.default_rng(0).random((500, 2))
        >>> bool(abs(two_nn(square).dimension[0] - 2) < 0.3)
        True
    """
    if not 0 <= discard < 1:
        raise InputError(f"discard must be at least 0 and below 1; got {discard}.")
    points = check_points(x, name="x")
    partition = encode_groups(groups, points.shape[0])
    kept, distances = _distances_between_distinct(points, partition, k=2)
    first, second = distances[:, 0].astype(np.float64), distances[:, 1].astype(np.float64)
    dimension = np.full(len(partition), np.nan)
    for code in range(len(partition)):
        mine = (kept.groups.codes == code) & np.isfinite(second)
        logs = np.sort(np.log(second[mine] / first[mine]))
        used = logs.size - int(np.floor(discard * logs.size))
        # The last point of all has F = 1, whose logarithm is infinite.
        logs = logs[: min(used, mine.sum() - 1)]
        share = np.arange(1, logs.size + 1) / max(mine.sum(), 1)
        squares = logs @ logs
        if squares > 0:
            dimension[code] = logs @ -np.log1p(-share) / squares
    return TwoNN(
        groups=partition.values,
        dimension=dimension,
        valid=~np.isnan(dimension),
        left_out=partition.sizes - kept.groups.sizes,
    )


def levina_bickel(x: Any, *, k: int = 20, groups: Any = None) -> LevinaBickel:
    """Maximum-likelihood dimension at every point (Levina & Bickel 2004, equation 8).

    ``1 / m_i = 1/(k-1) sum_{j<k} log(T_ik / T_ij)`` with ``T_ij`` the distance from point i to
    its j-th nearest distinct neighbour. A group's average is one over the mean of ``1 / m_i``.

    Args:
        x: points ``[n, d]``, NumPy or JAX; distances are Euclidean.
        k: neighbours a point, at least 2.
        groups: one integer or string a point; neighbours stay within the group.

    Returns:
        A ``LevinaBickel``.

    Raises:
        InputError: unusable points, k below 2, or groups of k points or fewer, which are named.

    Example:
        >>> square = np.random.default_rng(0).random((500, 2))
        >>> bool(abs(levina_bickel(square).average[0] - 2) < 0.3)
        True
    """
    if k < 2:
        raise InputError(f"k must be at least 2, to compare two distances; got {k}.")
    points = check_points(x, name="x")
    partition = encode_groups(groups, points.shape[0])
    small = np.flatnonzero(partition.sizes <= k)
    if small.size:
        sizes = (f"{partition.values[code]!s} ({partition.sizes[code]})" for code in small)
        raise InputError(
            f"k must be below the number of points of every group; got k = {k} and the groups "
            f"{name_some(sizes)}. Lower k, or leave these groups out."
        )
    kept, distances = _distances_between_distinct(points, partition, k=k)
    inverse = np.full(kept.rows.size, np.nan)
    full = np.isfinite(distances[:, -1])
    logs = np.log(distances[full].astype(np.float64))
    inverse[full] = np.sum(logs[:, -1:] - logs, axis=1) / (k - 1)
    valid = inverse > 0
    safe = np.where(valid, inverse, 0)
    used = np.bincount(kept.groups.codes[valid], minlength=len(partition))
    sums = np.bincount(kept.groups.codes, weights=safe, minlength=len(partition))
    return LevinaBickel(
        dimension=np.divide(1, inverse, out=np.full_like(inverse, np.nan), where=valid)[kept.codes],
        valid=valid[kept.codes],
        repeated=np.isin(np.arange(points.shape[0]), kept.repeated),
        groups=partition.values,
        average=np.divide(used, sums, out=np.full(len(partition), np.nan), where=used > 0),
        left_out=(partition.sizes - used).astype(np.int32),
    )


def _distances_between_distinct(
    points: Any, groups: Groups, *, k: int
) -> tuple[Distinct, np.ndarray]:
    """The distinct rows, and each one's distances to its k nearest; infinity for want of rows."""
    n = points.shape[0]
    kept = distinct_rows(points, groups) or Distinct(
        rows=np.arange(n), codes=np.arange(n), repeated=np.arange(0), groups=groups
    )
    found = find_neighbours(points[kept.rows], kept.groups, k=k, metric="euclidean", distinct=None)
    return kept, found.distances


def _frame(result: TwoNN, *, index: str) -> pd.DataFrame:
    import pandas as pd

    columns = {name: value for name, value in vars(result).items() if name != index}
    return pd.DataFrame(columns, index=pd.Index(getattr(result, index), name="group"))
