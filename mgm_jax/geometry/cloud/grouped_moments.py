"""Moments within and between groups of points that come in chunks, such as views of images.

One group may be spread over any number of chunks and shards: every group keeps its own size and
mean, and what two shards know of one group is merged exactly. That takes ``g x d`` numbers for g
groups, beside the ``d x d`` of the scatter within groups.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from mgm_jax.errors import InputError, name_some
from mgm_jax.geometry.cloud.moments import check_chunk, products_of, row_blocks
from mgm_jax.geometry.points.groups import encode_groups


@dataclass(frozen=True, kw_only=True, eq=False)
class GroupedMoments:
    """Moments of points in g groups, of d features.

    Attributes:
        labels: what the groups are called, ``[g]``, sorted.
        sizes: points of every group, ``[g]`` int64, at least 1.
        means: mean of every group, ``[g, d]`` float64.
        spreads: ``sum_i |x_i - mean|^2`` of every group, ``[g]`` float64.
        within: ``sum_i (x_i - mean)(x_i - mean)'`` over the points of all groups, each about its
            own group's mean, ``[d, d]`` float64; None where it was not asked for.
        on_sphere: whether the points were scaled to length 1 first.
    """

    labels: np.ndarray
    sizes: np.ndarray
    means: np.ndarray
    spreads: np.ndarray
    within: np.ndarray | None
    on_sphere: bool

    def __len__(self) -> int:
        """Number of groups."""
        return int(self.sizes.size)

    @property
    def count(self) -> int:
        """Number of points."""
        return int(self.sizes.sum())

    def add(self, chunk: Any, groups: Any) -> GroupedMoments:
        """Moments of these points and those of a chunk, scaled or not like these.

        Args:
            chunk: points ``[m, d]``, m at least 1.
            groups: one integer or string a point; groups seen before go on.

        Raises:
            InputError: unusable points or labels, another number of features.
        """
        points = check_chunk(chunk, features=self.means.shape[1])
        return self.merge(
            grouped_moments_of(
                points, groups, on_sphere=self.on_sphere, covariance=self.within is not None
            )
        )

    def merge(self, other: GroupedMoments) -> GroupedMoments:
        """Moments of the points of both; a group that both know becomes one.

        Raises:
            InputError: moments of another kind: features, labels, scaling, scatter.
        """
        _check_alike(self, other)
        labels = np.union1d(self.labels, other.labels)
        own, theirs = np.searchsorted(labels, self.labels), np.searchsorted(labels, other.labels)
        sizes = np.zeros(labels.size, np.int64)
        means = np.zeros((labels.size, self.means.shape[1]))
        spreads = np.zeros(labels.size)
        sizes[own], means[own], spreads[own] = self.sizes, self.means, self.spreads
        # Where the group is new its mean is 0 with weight 0, and the shift brings the other's.
        before, added = sizes[theirs], other.sizes
        shift = other.means - means[theirs]
        weight = before * added / (before + added)
        sizes[theirs] += added
        means[theirs] += shift * (added / (before + added))[:, None]
        spreads[theirs] += other.spreads + weight * np.sum(shift * shift, axis=1)
        within = self.within
        if within is not None and other.within is not None:
            both = weight > 0
            within = within + other.within
            if both.any():
                within += products_of(shift[both] * np.sqrt(weight[both])[:, None])
        return replace(
            self, labels=labels, sizes=sizes, means=means, spreads=spreads, within=within
        )

    def several(self, *, least: int = 1) -> GroupedMoments:
        """These moments, refused where a group has one point or where there are few groups.

        Raises:
            InputError: fewer than ``least`` groups, or groups of one point, which are named.
        """
        if len(self) < least:
            raise InputError(f"groups must name at least {least} images; got {len(self)}.")
        single = np.flatnonzero(self.sizes < 2)
        if single.size:
            raise InputError(
                "groups must hold at least two views of every image; "
                f"got one of {name_some(self.labels[single])}. Leave these out."
            )
        return self

    def __repr__(self) -> str:
        """Number of points, groups and features in one line."""
        return (
            f"GroupedMoments({self.count} points in {len(self)} groups, "
            f"{self.means.shape[1]} features{', on the sphere' * self.on_sphere})"
        )


def grouped_moments_of(
    x: Any, groups: Any, *, on_sphere: bool = False, covariance: bool = True
) -> GroupedMoments:
    """Moments of points held in one array, within and between their groups.

    Args:
        x: points ``[n, d]``, NumPy or JAX.
        groups: one integer or string a point; None for one group of all.
        on_sphere: whether to scale every point to length 1 first, in float64.
        covariance: whether the scatter within groups is wanted, the one costly part.

    Raises:
        InputError: unusable points or labels; rows of zeros where they are to be scaled.

    Example:
        >>> grouped_moments_of([[0.0], [2.0], [5.0]], [7, 7, 9]).means.ravel().tolist()
        [1.0, 5.0]
    """
    points = check_chunk(x, name="x", cosine=on_sphere)
    n, d = points.shape
    if n == 0:
        raise InputError("x must have at least one row; got none. Leave empty chunks out.")
    partition = encode_groups(groups, n, of=x)
    prepare: Callable[[np.ndarray], np.ndarray] = _unit if on_sphere else _wide
    order = np.argsort(partition.codes, kind="stable")
    means = np.zeros((len(partition), d))
    for rows, codes, starts in _runs(order, partition.codes):
        means[codes[starts]] += np.add.reduceat(prepare(np.asarray(points[rows])), starts, axis=0)
    means /= partition.sizes[:, None]
    spreads = np.zeros(len(partition))
    within = np.zeros((d, d)) if covariance else None
    for rows, codes, starts in _runs(order, partition.codes):
        # From differences to the group mean: identical views come out as 0, not as rounding.
        centred = prepare(np.asarray(points[rows])) - means[codes]
        spreads[codes[starts]] += np.add.reduceat(np.sum(centred * centred, axis=1), starts)
        if within is not None:
            within += products_of(centred)
    return GroupedMoments(
        labels=partition.values,
        sizes=partition.sizes.astype(np.int64),
        means=means,
        spreads=spreads,
        within=within,
        on_sphere=on_sphere,
    )


def _runs(order: np.ndarray, codes: np.ndarray):
    """Blocks of rows ordered by group: rows, their codes, and where a new group starts."""
    for part in row_blocks(order.size):
        rows = order[part]
        ordered = codes[rows]
        yield rows, ordered, np.flatnonzero(np.diff(ordered, prepend=-1))


def _wide(points: np.ndarray) -> np.ndarray:
    return points.astype(np.float64)


def _unit(points: np.ndarray) -> np.ndarray:
    wide = points.astype(np.float64)
    wide /= np.abs(wide).max(axis=1, keepdims=True)
    return wide / np.linalg.norm(wide, axis=1, keepdims=True)


def _check_alike(one: GroupedMoments, other: GroupedMoments) -> None:
    kinds = [
        {
            "features": moments.means.shape[1],
            "labels": "strings" if moments.labels.dtype.kind in "US" else "integers",
            "on_sphere": moments.on_sphere,
            "covariance": moments.within is not None,
        }
        for moments in (one, other)
    ]
    unlike = [name for name in kinds[0] if kinds[0][name] != kinds[1][name]]
    if unlike:
        raise InputError(
            "other must be moments of the same kind; got different "
            + ", ".join(f"{name} ({kinds[0][name]} and {kinds[1][name]})" for name in unlike)
            + "."
        )
