# pyright: strict, reportMissingTypeStubs=false, reportUnknownMemberType=false
# pyright: reportUnknownVariableType=false, reportUnknownArgumentType=false
"""The geometry at coarser and coarser scales: close pairs are merged, and all is measured again."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from mgm_jax.errors import InputError
from mgm_jax.geometry.nnk.graph import NnkGraph, nnk_graph
from mgm_jax.geometry.nnk.kernel import KernelName
from mgm_jax.geometry.points.checks import as_array, check_points, common_offset, normalise
from mgm_jax.geometry.points.duplicates import distinct_rows
from mgm_jax.geometry.points.groups import encode_groups
from mgm_jax.geometry.variants.angles import curvature_angles
from mgm_jax.geometry.variants.components import DEFAULT_K, THRESHOLD, pca_components
from mgm_jax.parallel.devices import fetch
from mgm_jax.progress import progress
from mgm_jax.shown.result import Result
from mgm_jax.whole_numbers import whole_number

if TYPE_CHECKING:
    import pandas as pd

# A graph of fewer points says little of a manifold.
_FEWEST_POINTS = 16

#: Columns of the table, each with its unit.
MEASURES = {
    "degree": "NNK neighbours",
    "nnk_components": "principal components, NNK neighbours",
    "knn_components": "principal components, all candidates",
    "diameter": "NNK diameter, unit of the points",
    "near_angle": "mean angle to a neighbour, degrees",
    "random_angle": "mean angle to a random point, degrees",
}


@dataclass(frozen=True, kw_only=True)
class Multiscale(Result):
    """Geometry of a cloud at several scales, finest first.

    Attributes:
        points: number of points left at each scale, ``[s]`` int32.
        mean: mean of each measure over the points, by name (:data:`MEASURES`), ``[s]``; NaN where
            no point has it.
        sd: standard deviation over the points, by name, ``[s]``.
        share: share of the points that a step merges with another.
        kernel: of the graphs.
    """

    points: np.ndarray
    mean: dict[str, np.ndarray]
    sd: dict[str, np.ndarray]
    share: float
    kernel: KernelName

    def to_pandas(self) -> pd.DataFrame:
        """One row a scale: points, and mean and standard deviation of every measure."""
        import pandas as pd

        columns = {"points": self.points}
        for name in MEASURES:
            columns |= {name: self.mean[name], f"{name}_sd": self.sd[name]}
        return pd.DataFrame(columns)

    def __repr__(self) -> str:
        """Scales and how degree and angle change over them, in one line."""
        degree, angle = self.mean["degree"], self.mean["near_angle"]
        return (
            f"Multiscale({len(self.points)} scales, {self.points[0]} to {self.points[-1]} points, "
            f"mean degree {degree[0]:.1f} to {degree[-1]:.1f}, angle to a neighbour "
            f"{angle[0]:.1f} to {angle[-1]:.1f} degrees)"
        )

    def _picture(self) -> str:
        from mgm_jax.shown.plot import curve_svg

        scales = np.arange(1, len(self.points) + 1)
        return curve_svg(scales, {"degree": self.mean["degree"]}, across="scale, finest first")


def multiscale(
    x: Any,
    *,
    k: int = DEFAULT_K,
    kernel: KernelName = "gaussian",
    share: float = 0.1,
    scales: int = 20,
    threshold: float = THRESHOLD,
    seed: int = 0,
) -> Multiscale:
    """Geometry against scale as in arXiv 2210.17475: merge close pairs, measure, repeat.

    At each scale the NNK graph is made anew and degree, number of components, diameter and
    angles are measured. Then the pairs with the largest weights, each point in one pair at most,
    are replaced by their midpoints (unit length again under the cosine), until ``share`` of the
    points are gone.

    Args:
        x: points ``[n, d]``; equal points count once.
        k: candidates of a point, all others where fewer are left.
        kernel: ``"gaussian"`` with one bandwidth by the authors' rule at every scale, or
            ``"cosine"``.
        share: of the points that a step takes away, above 0 and at most 0.5.
        scales: how many at most; it ends before fewer than 16 points are left.
        threshold: share of the largest variance of a component that counts, in (0, 1].
        seed: of the random partners of the angles.

    Returns:
        A ``Multiscale``.

    Raises:
        InputError: unusable points, fewer than 16 distinct ones, or an impossible option.

    Reference:
        C. Hurtado and others, arXiv:2210.17475, and the code of the thesis behind it.

    Example:
        >>> result = multiscale(np.random.default_rng(0).standard_normal((40, 3)), k=10, scales=3)
        >>> result.points.tolist()
        [40, 36, 32]
    """
    k, scales = whole_number(k, name="k"), whole_number(scales, name="scales")
    if not 0 < share <= 0.5:
        raise InputError(f"share must be above 0 and at most 0.5; got {share}.")
    x = as_array(x)
    offset = None if kernel == "cosine" else common_offset(x)
    points = np.asarray(fetch(check_points(x, cosine=kernel == "cosine", offset=offset)))
    points = np.asarray(normalise(points) if kernel == "cosine" else points, np.float32)
    distinct = distinct_rows(points, encode_groups(None, len(points)))
    points = points if distinct is None else points[distinct.rows]
    if len(points) < _FEWEST_POINTS:
        raise InputError(
            f"x must have at least {_FEWEST_POINTS} distinct points; got {len(points)}."
        )
    rows = []
    with progress("scales", total=scales, unit="scale") as bar:
        while True:
            bandwidth = "hurtado" if kernel == "gaussian" else None
            graph = nnk_graph(
                points,
                k=min(k, len(points) - 1),
                kernel=kernel,
                bandwidth=bandwidth,
                duplicates="drop",
            )
            rows.append((len(points), *_measure(points, graph, threshold=threshold, seed=seed)))
            bar.advance(1)
            gone = max(1, round(share * len(points)))
            if len(rows) == scales or len(points) - gone < _FEWEST_POINTS:
                break
            points = merged(points, graph, pairs=gone)
            if kernel == "cosine":
                points = np.asarray(normalise(points))
    number, mean, sd = zip(*rows, strict=True)
    return Multiscale(
        points=np.array(number, np.int32),
        mean={name: np.array([one[name] for one in mean]) for name in MEASURES},
        sd={name: np.array([one[name] for one in sd]) for name in MEASURES},
        share=share,
        kernel=kernel,
    )


def merged(points: np.ndarray, graph: NnkGraph, *, pairs: int) -> np.ndarray:
    """Replace the pairs of largest weight by their midpoints, each point in one pair at most.

    Args:
        points: ``[n, d]`` float32.
        graph: of these points; the weight of a pair is the larger of its two directions.
        pairs: how many at most.

    Returns:
        Fewer points, those that were kept first.
    """
    source, column = np.nonzero(graph.weights)
    target, weight = graph.indices[source, column], graph.weights[source, column]
    free = np.ones(len(points), bool)
    first, second = [], []
    # Equal weights: by rows, so that the same points merge on every machine.
    for edge in np.lexsort((target, source, -weight)):
        one, other = source[edge], target[edge]
        if free[one] and free[other]:
            free[[one, other]] = False
            first.append(one)
            second.append(other)
            if len(first) == pairs:
                break
    middle = (points[first].astype(np.float64) + points[second]) / 2
    return np.concatenate([points[free], middle.astype(np.float32)])


def _measure(
    points: np.ndarray, graph: NnkGraph, *, threshold: float, seed: int
) -> tuple[dict[str, float], dict[str, float]]:
    components = pca_components(points, graph=graph, threshold=threshold)
    angles = curvature_angles(points, graph=graph, threshold=threshold, seed=seed)
    columns = {
        "degree": components.degree,
        "nnk_components": components.nnk,
        "knn_components": components.knn,
        "diameter": components.diameter,
        "near_angle": angles.near_mean,
        "random_angle": angles.random_mean,
    }
    kept = {name: column[np.isfinite(column)] for name, column in columns.items()}
    return (
        {name: float(one.mean()) if one.size else np.nan for name, one in kept.items()},
        {name: float(one.std()) if one.size else np.nan for name, one in kept.items()},
    )
