# pyright: strict, reportMissingTypeStubs=false, reportUnknownMemberType=false
# pyright: reportUnknownVariableType=false, reportUnknownArgumentType=false
"""Several estimates of intrinsic dimension side by side, with intervals, and against scale."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist
from typing import TYPE_CHECKING, Any, Literal, get_args

import numpy as np

from mgm_jax.errors import InputError, name_some
from mgm_jax.geometry.cloud.gride import ratio_fit
from mgm_jax.geometry.cloud.intrinsic_dimension import inverse_dimensions, slopes
from mgm_jax.geometry.cloud.shared_neighbours import overlap_error
from mgm_jax.geometry.cloud.spanning_trees import MIN_POINTS, tree_dimension_with_error
from mgm_jax.geometry.knn.search import find_neighbours
from mgm_jax.geometry.points.checks import as_array, check_points, common_offset
from mgm_jax.geometry.points.duplicates import distinct_rows
from mgm_jax.geometry.points.groups import encode_groups
from mgm_jax.shown.result import Result
from mgm_jax.whole_numbers import seeded, whole_number

if TYPE_CHECKING:
    import pandas as pd

Estimator = Literal["two_nn", "levina_bickel", "gride", "mst"]

_ALL: tuple[Estimator, ...] = get_args(Estimator)
_FARTHEST = 64
_HALVES = 8
# What `two_nn` leaves out unless told otherwise.
_DISCARD = 0.1


@dataclass(frozen=True, kw_only=True)
class IntrinsicDimension(Result):
    """Estimates of one cloud's dimension, a row an estimator and scale.

    Attributes:
        estimator: ``"two_nn"``, ``"levina_bickel"``, ``"gride"`` or ``"mst"``, ``[r]``.
        neighbours: the farthest neighbour that the estimate looks at, ``[r]`` int32: 2 for TwoNN,
            k for Levina-Bickel, n2 for Gride; 0 for the trees, which choose none.
        radius: mean distance to that neighbour, ``[r]`` float64: the scale; NaN for the trees.
        dimension: the estimate, ``[r]`` float64, above 0; NaN where the points allow none.
        low: lower end of the interval, ``[r]``.
        high: its upper end, ``[r]``.
        level: what the intervals cover.
        points: number of distinct points.
        left_out: rows that repeat an earlier one.
    """

    estimator: np.ndarray
    neighbours: np.ndarray
    radius: np.ndarray
    dimension: np.ndarray
    low: np.ndarray
    high: np.ndarray
    level: float
    points: int
    left_out: int

    def to_pandas(self) -> pd.DataFrame:
        """One row an estimator and scale."""
        import pandas as pd

        names = ("estimator", "neighbours", "radius", "dimension", "low", "high")
        return pd.DataFrame({name: getattr(self, name) for name in names})

    def __repr__(self) -> str:
        """Number of points and every estimate in one line; of Gride, at both ends of the scale."""
        said = []
        for name in dict.fromkeys(self.estimator):
            rows = np.flatnonzero(self.estimator == name)
            values = " to ".join(
                f"{self.dimension[row]:.2f}" for row in dict.fromkeys([rows[0], rows[-1]])
            )
            ends = self.neighbours[rows[[0, -1]]]
            where = f" (from {ends[0]} to {ends[1]} neighbours)" if rows.size > 1 else ""
            said.append(f"{name} {values}{where}")
        return f"IntrinsicDimension({self.points} points: {', '.join(said)})"

    def _picture(self) -> str:
        from mgm_jax.shown.plot import curve_svg, intervals_svg

        own = self.estimator == "gride"
        if own.sum() < 2:
            return intervals_svg(
                self.estimator.tolist(), self.dimension, low=self.low, high=self.high
            )
        scale = curve_svg(
            self.neighbours[own],
            {"gride": self.dimension[own]},
            across="gride: dimension over the farther neighbour",
            low=self.low[own],
            high=self.high[own],
            logarithmic=True,
        )
        if own.all():
            return scale
        rest = ~own
        return scale + intervals_svg(
            self.estimator[rest].tolist(),
            self.dimension[rest],
            low=self.low[rest],
            high=self.high[rest],
        )


def intrinsic_dimension(
    x: Any,
    *,
    estimators: Sequence[Estimator] = _ALL,
    k: int = 20,
    scales: Sequence[int] | None = None,
    tree_points: int = 2048,
    level: float = 0.95,
    seed: int = 0,
) -> IntrinsicDimension:
    """Intrinsic dimension of a cloud by several estimators at once, with intervals.

    - ``two_nn``: the two nearest neighbours; see ``two_nn``.
    - ``levina_bickel``: maximum likelihood over k neighbours, averaged; see ``levina_bickel``.
    - ``gride``: ratios of the distances to the n1-th and the 2 n1-th neighbour, maximum likelihood,
      n1 doubled again and again: one dimension a scale (Denti et al. 2022).
    - ``mst``: ``1 / (1 - a)``, a the slope of log length over log number of points of minimum
      spanning trees through all points, halves, quarters and eighths (Steele 1988).

    Where they agree over scales, that is the dimension. A fall with scale is noise fading or a
    curved manifold; all are biased low where dimension is high and points are few: ten thousand
    points are few for dimension 20.

    Intervals are normal. Of the first three the error is that of a mean over points that depend on
    each other as far as their neighbourhoods overlap; of the trees, a delete-half jackknife of
    ``1 / dimension``. They hold what other points of the same cloud would change, not the bias.

    Args:
        x: points ``[n, d]``, anything that ``check_points`` takes; distances are Euclidean, so
            scale the rows to length 1 first where cosines matter. Rows that repeat another are
            left out and counted.
        estimators: which ones, in this order.
        k: neighbours of ``levina_bickel``, at least 2.
        scales: n1 of ``gride``, each at least 1; None takes 1, 2, 4 and so on up to 32, as far as
            2 n1 neighbours are less than half of the points.
        tree_points: most points that trees go through, drawn at random; at least 128. Their squared
            distances are held, 8 bytes a pair.
        level: coverage of the intervals, between 0 and 1.
        seed: of the draws of ``mst``.

    Returns:
        An ``IntrinsicDimension``.

    Raises:
        InputError: unusable points, an unknown estimator, too few distinct points for k, a scale or
            the trees, options out of range.

    References:
        Facco et al., Scientific Reports 7, 2017. Levina and Bickel, NIPS 2004. Denti, Doimo, Laio
        and Mira, "The generalized ratios intrinsic dimension estimator", Scientific Reports 12,
        2022. Steele, "Growth rates of Euclidean minimal spanning trees", Annals of Probability 16,
        1988.

    Example:
        >>> square = np.random.default_rng(0).random((500, 2))
        >>> result = intrinsic_dimension(square, estimators=("two_nn", "levina_bickel", "mst"))
        >>> bool(np.all(abs(result.dimension - 2) < 0.3))
        True
    """
    asked = _check_estimators(estimators)
    if not 0 < level < 1:
        raise InputError(f"level must be between 0 and 1; got {level}.")
    x = as_array(x)
    points = check_points(x, name="x", offset=common_offset(x))
    partition = encode_groups(None, points.shape[0])
    kept = distinct_rows(points, partition)
    if kept is not None:
        points, partition = points[kept.rows], kept.groups
    n = points.shape[0]
    rows: list[tuple[str, int, float, float, float, float]] = []
    reach = NormalDist().inv_cdf((1 + level) / 2)
    near = _farthest_neighbours(asked, n, k=k, scales=scales)
    distances, indices = np.zeros((n, 0)), np.zeros((n, 0), np.int32)
    if near:
        most = max(max(several) for several in near.values())
        nearest = find_neighbours(points, partition, k=most, metric="euclidean", distinct=None)
        distances, indices = nearest.distances.astype(np.float64), nearest.indices
    for name in asked:
        if name == "mst":
            dimension, low, high = _by_trees(
                points, most=tree_points, reach=reach, rng=seeded(seed)
            )
            rows.append((name, 0, float("nan"), dimension, low, high))
            continue
        for farthest in near[name]:
            part, who = distances[:, :farthest], indices[:, :farthest]
            dimension, error = _by_neighbours(name, part, who)
            ends = max(dimension - reach * error, 0.0), dimension + reach * error
            rows.append((name, farthest, float(part[:, -1].mean()), dimension, *ends))
    columns = [np.array(column) for column in zip(*rows, strict=True)]
    names = ("estimator", "neighbours", "radius", "dimension", "low", "high")
    return IntrinsicDimension(
        **dict(zip(names, columns, strict=True)),
        level=level,
        points=n,
        left_out=int(x.shape[0] - n),
    )


def _by_neighbours(
    name: Estimator, distances: np.ndarray, neighbours: np.ndarray
) -> tuple[float, float]:
    """A dimension and its standard error from distances ``[n, m]`` and rows of m neighbours."""
    n, farthest = distances.shape
    # A point with another so near that float32 has no number for the distance has no ratio.
    nearest = farthest // 2 if name == "gride" else 1
    usable = distances[:, nearest - 1] > 0
    own = distances[usable]
    if len(own) < 3 or not np.any(own[:, -1] > own[:, nearest - 1]):
        return float("nan"), float("nan")
    if name == "gride":
        fit = ratio_fit(own[:, nearest - 1], own[:, -1], n1=nearest, n2=farthest)
        dimension, moved = fit.dimension, fit.influence
    elif name == "two_nn":
        dimension, moved = _two_nn(own)
    else:
        inverse = inverse_dimensions(own)
        dimension = float(1 / inverse.mean())
        moved = -(dimension**2) * (inverse - inverse.mean()) / inverse.size
    influence = np.zeros(n)
    influence[usable] = moved
    return float(dimension), overlap_error(influence, neighbours)


def _two_nn(distances: np.ndarray) -> tuple[float, np.ndarray]:
    """The slope, and how far each point moves it where the ratios follow the law of TwoNN.

    A point at ``L = log mu`` moves the slope d by ``-d/2 (min(L, L_q)^2 - mean)`` over the sum of
    squares that it was fitted to, L_q the largest that entered.
    """
    dimension = float(
        slopes(distances, encode_groups(None, len(distances)), discard=_DISCARD)["dimension"][0]
    )
    logs = np.log(distances[:, 1] / distances[:, 0])
    entered = np.sort(logs)[: min(int(logs.size * (1 - _DISCARD)), logs.size - 1)]
    bounded = np.minimum(logs, entered[-1]) ** 2
    moved = -dimension / 2 * (bounded - bounded.mean()) / np.sum(entered * entered)
    return dimension, moved


def _by_trees(
    points: Any, *, most: int, reach: float, rng: np.random.Generator
) -> tuple[float, float, float]:
    most = whole_number(most, name="tree_points", least=2 * MIN_POINTS)
    n = points.shape[0]
    if n < 2 * MIN_POINTS:
        raise InputError(
            f"x must have at least {2 * MIN_POINTS} distinct points for 'mst'; got {n}. "
            "Leave it out of estimators."
        )
    if n > most:
        points = points[np.sort(rng.permutation(n)[:most])]
    wide = np.asarray(points).astype(np.float64)
    wide -= wide.mean(axis=0)
    lengths = np.sum(wide * wide, axis=1)
    squared = np.maximum(lengths[:, None] + lengths - 2 * (wide @ wide.T), 0)
    inverse, error = tree_dimension_with_error(squared, halves=_HALVES, rng=rng)
    ends = (inverse + reach * error, inverse - reach * error)
    low, high = (1 / end if end > 0 else float("inf") for end in ends)
    return (1 / inverse if inverse else float("inf")), low, high


def _check_estimators(estimators: Sequence[Estimator]) -> tuple[Estimator, ...]:
    asked = (estimators,) if isinstance(estimators, str) else tuple(estimators)
    unknown = [name for name in asked if name not in _ALL]
    if unknown or not asked:
        raise InputError(
            f"estimators must be some of {name_some(_ALL)}; got {name_some(unknown) or 'none'}."
        )
    return tuple(dict.fromkeys(asked))  # type: ignore[return-value]


def _farthest_neighbours(
    asked: tuple[Estimator, ...], n: int, *, k: int, scales: Sequence[int] | None
) -> dict[Estimator, list[int]]:
    """The farthest neighbour of every estimate, by estimator."""
    near: dict[Estimator, list[int]] = {}
    if "two_nn" in asked:
        near["two_nn"] = [2]
    if "levina_bickel" in asked:
        near["levina_bickel"] = [whole_number(k, name="k", least=2)]
    if "gride" in asked:
        if scales is None:
            doubled = [2**power for power in range(1, _FARTHEST.bit_length())]
            near["gride"] = [count for count in doubled if count == 2 or 2 * count < n]
        else:
            near["gride"] = [2 * whole_number(n1, name="scales") for n1 in scales]
            if not near["gride"]:
                raise InputError("scales must name at least one n1; got none.")
    for name, counts in near.items():
        if counts and max(counts) >= n:
            raise InputError(
                f"x must have more than {max(counts)} distinct points for {name!r}; got {n}. "
                "Take a smaller k or smaller scales, or leave it out of estimators."
            )
    return near
