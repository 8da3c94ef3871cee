# pyright: strict, reportMissingTypeStubs=false, reportUnknownMemberType=false
# pyright: reportUnknownVariableType=false, reportUnknownArgumentType=false
"""Dimension as arXiv 2210.17475 counts it: principal components of a fair share of variance."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from mgm_jax.errors import InputError
from mgm_jax.geometry.nnk.graph import NnkGraph, nnk_graph
from mgm_jax.geometry.points.checks import as_array, check_points, common_offset, normalise
from mgm_jax.geometry.points.groups import encode_groups
from mgm_jax.geometry.variants.neighbourhoods import compact, extents
from mgm_jax.parallel.devices import fetch
from mgm_jax.shown.result import Result

if TYPE_CHECKING:
    import pandas as pd

#: Share of the largest variance that a component must have, and candidates, as in the thesis.
THRESHOLD = 0.1
DEFAULT_K = 100


@dataclass(frozen=True, kw_only=True)
class PcaComponents(Result):
    """Principal components of the neighbourhoods of n points.

    Attributes:
        nnk: components of the differences to the NNK neighbours, ``[n]`` int32; 0 where there are
            fewer than two of them or they coincide.
        knn: the same for all k candidates, ``[n]`` int32.
        degree: number of NNK neighbours, ``[n]``.
        diameter: largest distance of two NNK neighbours, ``[n]``, in the unit of the points (of
            unit vectors under the cosine); NaN where there are fewer than two.
        threshold: share of the largest variance that counts.
    """

    nnk: np.ndarray
    knn: np.ndarray
    degree: np.ndarray
    diameter: np.ndarray
    threshold: float

    def to_pandas(self) -> pd.DataFrame:
        """One row a point."""
        import pandas as pd

        return pd.DataFrame(
            {
                "nnk_components": self.nnk,
                "knn_components": self.knn,
                "nnk_degree": self.degree,
                "nnk_diameter": self.diameter,
            }
        )

    def __repr__(self) -> str:
        """Number of points and mean counts in one line."""
        return (
            f"PcaComponents({self.nnk.size} points, mean {self.nnk.mean():.2f} among NNK "
            f"neighbours, {self.knn.mean():.2f} among all candidates)"
        )

    def _picture(self) -> str:
        from mgm_jax.shown.histogram import histogram_svg

        return histogram_svg(self.nnk)


def pca_components(
    x: Any,
    *,
    graph: NnkGraph | None = None,
    groups: Any = None,
    threshold: float = THRESHOLD,
) -> PcaComponents:
    """Local dimension as in arXiv 2210.17475: principal components of a tenth of the largest.

    Counts the principal components of the differences ``x_j - x_i`` to the NNK neighbours j of
    point i whose variance is at least ``threshold`` of the largest; and the same for all
    candidates of the graph. A variant of :func:`mgm_jax.local_pca`, which counts the directions
    that hold a share of the whole variance.

    Args:
        x: points ``[n, d]``.
        graph: NNK graph of these points; None makes theirs, Gaussian with
            ``bandwidth="hurtado"`` and 100 candidates (all others where a group has fewer).
        groups: groups of the points where the graph is to be made.
        threshold: in (0, 1].

    Returns:
        A ``PcaComponents``. Under a graph of the cosine the points are unit vectors.

    Raises:
        InputError: unusable points or groups, a graph of other points, or a threshold outside
            (0, 1].

    Reference:
        C. Hurtado and others, arXiv:2210.17475, and the code of the thesis behind it.

    Example:
        >>> line = np.arange(20.0)[:, None] * np.ones((1, 3))
        >>> pca_components(line).knn.tolist() == [1] * 20
        True
    """
    points, graph = points_and_graph(x, graph=graph, groups=groups, threshold=threshold)
    wide = extents(points, graph.indices, threshold=threshold)
    near = extents(points, compact(graph.indices, graph.weights > 0), threshold=threshold)
    return PcaComponents(
        nnk=near.components,
        knn=wide.components,
        degree=graph.degree,
        diameter=near.diameter,
        threshold=threshold,
    )


def points_and_graph(
    x: Any, *, graph: NnkGraph | None, groups: Any, threshold: float
) -> tuple[np.ndarray, NnkGraph]:
    """Checked points on the host, scaled as the graph sees them, and the graph.

    Raises:
        InputError: as :func:`pca_components`.
    """
    if not 0 < threshold <= 1:
        raise InputError(f"threshold must be above 0 and at most 1; got {threshold}.")
    cosine = graph is not None and graph.kernel == "cosine"
    x = as_array(x)
    offset = None if cosine else common_offset(x)
    points = np.asarray(fetch(check_points(x, cosine=cosine, offset=offset)), np.float32)
    if graph is None:
        graph = authors_graph(points, groups=groups)
    elif len(graph.indices) != len(points) or graph.indices.max(initial=-1) >= len(points):
        raise InputError(
            f"graph must be of the {len(points)} points of x; got one of {len(graph.indices)} "
            "points."
        )
    return (np.asarray(normalise(points)) if cosine else points), graph


def authors_graph(points: np.ndarray, *, groups: Any) -> NnkGraph:
    """NNK graph as in arXiv 2210.17475: Gaussian, one bandwidth a group, 100 candidates."""
    partition = encode_groups(groups, len(points))
    # A group of at most 100 points has all its others as candidates.
    k = None if int(partition.sizes.min()) <= DEFAULT_K else DEFAULT_K
    return nnk_graph(
        points, k=k, kernel="gaussian", bandwidth="hurtado", groups=groups, duplicates="drop"
    )
