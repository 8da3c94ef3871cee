# pyright: strict, reportMissingTypeStubs=false, reportUnknownMemberType=false
# pyright: reportUnknownVariableType=false, reportUnknownArgumentType=false
"""Curvature as arXiv 2210.17475 measures it: angles between component subspaces."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from mgm_jax.geometry.local.affinity import null_partners
from mgm_jax.geometry.nnk.graph import NnkGraph
from mgm_jax.geometry.points.groups import Groups, encode_groups
from mgm_jax.geometry.variants.components import THRESHOLD, points_and_graph
from mgm_jax.geometry.variants.neighbourhoods import bases, compact, extents, in_blocks
from mgm_jax.shown.result import Result

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True, kw_only=True)
class CurvatureAngles(Result):
    """Principal angles between component subspaces of n points and of others, in degrees, 0 to 90.

    Attributes:
        near_mean: mean angle to the subspace of the nearest NNK neighbour that has components,
            ``[n]``; NaN where point or neighbours have none.
        near_largest: the largest of these angles, ``[n]``.
        random_mean: the same beside a random other point of the group, ``[n]``.
        random_largest: the largest of those, ``[n]``.
        neighbour: row of that neighbour ``[n]`` int32, -1 for none.
        partner: row of the random point ``[n]`` int32, -1 for none.
    """

    near_mean: np.ndarray
    near_largest: np.ndarray
    random_mean: np.ndarray
    random_largest: np.ndarray
    neighbour: np.ndarray
    partner: np.ndarray

    @property
    def difference_mean(self) -> np.ndarray:
        """Mean angle to the random point less that to the neighbour, ``[n]``: 0 at chance."""
        return self.random_mean - self.near_mean

    @property
    def difference_largest(self) -> np.ndarray:
        """Largest angle to the random point less that to the neighbour, ``[n]``."""
        return self.random_largest - self.near_largest

    def to_pandas(self) -> pd.DataFrame:
        """One row a point, angles in degrees."""
        import pandas as pd

        return pd.DataFrame(
            {
                "near_angle_mean": self.near_mean,
                "near_angle_largest": self.near_largest,
                "random_angle_mean": self.random_mean,
                "random_angle_largest": self.random_largest,
                "angle_difference_mean": self.difference_mean,
                "angle_difference_largest": self.difference_largest,
            }
        )

    def __repr__(self) -> str:
        """Number of points and median angles in one line."""
        near, other = np.nanmedian(self.near_mean), np.nanmedian(self.random_mean)
        return (
            f"CurvatureAngles({self.near_mean.size} points, median of the mean angle "
            f"{near:.1f} degrees to a neighbour, {other:.1f} to a random point)"
        )

    def _picture(self) -> str:
        from mgm_jax.shown.histogram import histogram_svg

        return histogram_svg(self.near_mean)


def curvature_angles(
    x: Any,
    *,
    graph: NnkGraph | None = None,
    groups: Any = None,
    threshold: float = THRESHOLD,
    seed: int = 0,
) -> CurvatureAngles:
    """Curvature as in arXiv 2210.17475: angles between subspaces of neighbouring points.

    The component subspace of a point is spanned by the principal components that
    :func:`pca_components` counts among its NNK neighbours. Measured are the principal angles,
    ``arccos`` of the singular values of ``U_i' U_j``, min(d_i, d_j) of them, between it and that
    of one NNK neighbour (the nearest that has components), and of a random other point of the
    group. A flat manifold has small angles to both; a curved one small to neighbours alone. Thin
    directions, which the full span of ``nnk_affinity`` counts like any other, are left out.

    Args:
        x: points ``[n, d]``.
        graph: NNK graph of these points; None makes theirs (see :func:`pca_components`).
        groups: groups of the points; of the graph that is made, and of the random partners.
        threshold: share of the largest variance that counts, in (0, 1].
        seed: of the random partners.

    Returns:
        A ``CurvatureAngles``.

    Raises:
        InputError: as :func:`pca_components`.

    Reference:
        C. Hurtado and others, arXiv:2210.17475, and the code of the thesis behind it.

    Example:
        >>> square = np.stack(np.meshgrid(np.arange(5.0), np.arange(5.0)), -1).reshape(-1, 2)
        >>> bool((curvature_angles(square @ np.eye(2, 4)).near_largest[[12]] < 1e-4).all())
        True
    """
    points, graph = points_and_graph(x, graph=graph, groups=groups, threshold=threshold)
    neighbours = compact(graph.indices, graph.weights > 0)
    has = extents(points, neighbours, threshold=threshold).components > 0
    nearest = np.full(len(points), -1, np.int32)
    for column in neighbours.T[::-1]:
        nearest = np.where((column >= 0) & has[np.maximum(column, 0)], column, nearest)
    nearest = np.where(has, nearest, -1).astype(np.int32)
    partners = random_partners(encode_groups(groups, len(points)), has, seed=seed)

    def work(rows: np.ndarray) -> np.ndarray:
        own = bases(points, rows, neighbours[rows], threshold=threshold)
        results = []
        for others in (nearest[rows], partners[rows]):
            at = np.maximum(others, 0)
            angles = principal_angles(own, bases(points, at, neighbours[at], threshold=threshold))
            results += [np.where(others >= 0, part, np.nan) for part in angles]
        return np.stack(results)

    width = max(neighbours.shape[1], 1) * points.shape[1] * 3
    columns = np.concatenate(in_blocks(work, np.arange(len(points)), values_a_row=width), axis=1)
    return CurvatureAngles(
        near_mean=columns[0],
        near_largest=columns[1],
        random_mean=columns[2],
        random_largest=columns[3],
        neighbour=nearest,
        partner=partners,
    )


def principal_angles(
    first: tuple[np.ndarray, np.ndarray], second: tuple[np.ndarray, np.ndarray]
) -> tuple[np.ndarray, np.ndarray]:
    """Mean and largest principal angle of pairs of subspaces, in degrees.

    Args:
        first: orthonormal bases ``[b, d, r]``, columns beyond the dimension 0, and dimensions.
        second: the same of the other subspaces.

    Returns:
        Two arrays ``[b]``; NaN where a dimension is 0.

    Example:
        >>> line, plane = np.eye(3)[None, :, :1], np.eye(3)[None, :, 1:]
        >>> mean, largest = principal_angles((line, np.array([1])), (plane, np.array([2])))
        >>> mean.tolist()
        [90.0]
    """
    cosines = np.linalg.svd(first[0].transpose(0, 2, 1) @ second[0], compute_uv=False)
    count = np.minimum(first[1], second[1])
    angles = np.degrees(np.arccos(np.clip(cosines, 0, 1)))
    real = np.arange(angles.shape[1]) < count[:, None]
    defined = count > 0
    mean = np.where(real, angles, 0).sum(axis=1) / np.maximum(count, 1)
    largest = np.where(real, angles, 0).max(axis=1, initial=0)
    return np.where(defined, mean, np.nan), np.where(defined, largest, np.nan)


def random_partners(groups: Groups, eligible: np.ndarray, *, seed: int) -> np.ndarray:
    """A random other eligible point of the same group for every eligible point.

    Args:
        groups: of the points.
        eligible: ``[n]`` bool.
        seed: of the draw.

    Returns:
        Rows ``[n]`` int32; -1 where the point is not eligible or alone.

    Example:
        >>> random_partners(encode_groups(None, 3), np.array([True, True, False]), seed=0).tolist()
        [1, 0, -1]
    """
    partners = np.full(eligible.size, -1, np.int32)
    for code, members in enumerate(groups.members()):
        members = members[eligible[members]]
        if members.size > 1:
            drawn = null_partners(members.size, seed=(seed, code), pairs=1)
            partners[members] = members[drawn[:, 0]]
    return partners
