"""Spans of polytopes on a CPU: as in ``subspaces``, with work made to measure.

The cost of a basis grows with the square of its vectors, and points have very different numbers of
neighbours. Here the points of all groups of a batch are sorted by that number and taken in lots, so
that hardly a vector is padding; and NumPy computes one triangle of every symmetric product.
"""

from __future__ import annotations

from collections.abc import Iterator

import jax
import numpy as np

from mgm_jax.geometry.local.subspaces import Axes, orthonormal_basis, smaller_sides
from mgm_jax.geometry.nnk.kernel import COINCIDENT

# Points that are sorted by vectors together, and vectors that are made orthonormal together, of as
# many points at a time as have so many: a basis is read again with each of its vectors.
_BATCH, _VECTORS = 64, 512
_COLUMN_STEP = 8

_basis = jax.jit(orthonormal_basis)


def overlaps_on_host(
    axes: Axes, mask: np.ndarray, squared_lengths: np.ndarray, support: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Overlap ``||U_i' U_j||_F^2`` of every pair of polytopes of each of some groups.

    To be called in double precision.

    Args:
        axes: principal axes of the groups.
        mask: which places are points, ``[g, m]`` bool.
        squared_lengths: of the points, ``[g, m]``.
        support: which members are neighbours of which, ``[g, m, m]`` bool.

    Returns:
        The overlaps ``[g, m, m]``, 0 to min(d_i, d_j), and the dimensions d ``[g, m]`` int32.
    """
    values, coordinates = axes
    r = values.shape[1]
    members, outside = smaller_sides(support, mask, values, squared_lengths)
    real = np.arange(r) < mask.sum(axis=1)[:, None] - 1
    safe = np.where(values > 0, values, 1)
    gradients = np.where(real[:, None], coordinates / safe[:, None], 0)
    dimension = np.zeros(mask.shape, np.int32)
    # Of a symmetric projector its upper triangle, row by row.
    triangle = np.flatnonzero(np.triu(np.ones((r, r), bool)))
    diagonal = np.searchsorted(triangle, np.arange(r) * (r + 1))
    projectors = np.zeros((*mask.shape, triangle.size))
    for group, point, p in _batches(mask, members):
        beyond = outside[group, point]
        chosen = members[group, point, :p]
        rows = group[:, None], np.maximum(chosen, 0)
        vectors = coordinates[rows] - coordinates[group, point][:, None]
        vectors[beyond] = gradients[rows][beyond]
        smallest = np.where(beyond, 0, COINCIDENT * squared_lengths[group, point])
        basis, spanned = map(np.asarray, _basis(vectors, chosen >= 0, smallest))
        packed = (basis @ basis.transpose(0, 2, 1)).reshape(len(group), -1)[:, triangle]
        packed[beyond] *= -1
        packed[np.ix_(beyond, diagonal)] += real[group[beyond]]
        projectors[group, point] = packed
        dimension[group, point] = np.where(beyond, real[group].sum(axis=1) - spanned, spanned)
    on_diagonal = projectors[:, :, diagonal]
    # Every entry off the diagonal stands for two.
    overlaps = 2 * (projectors @ projectors.transpose(0, 2, 1))
    return overlaps - on_diagonal @ on_diagonal.transpose(0, 2, 1), dimension


def _batches(mask: np.ndarray, members: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray, int]]:
    """Groups and places of points that need about as many vectors, and how many at most."""
    group, point = np.nonzero(mask)
    count = (members[group, point] >= 0).sum(axis=1)
    order = np.argsort(count, kind="stable")
    for start in range(0, order.size, _BATCH):
        lot = order[start : start + _BATCH]
        most = max(1, int(count[lot[-1]]))
        columns = min(-(-most // _COLUMN_STEP) * _COLUMN_STEP, members.shape[2])
        together = _BATCH
        while together > 16 and together * columns > _VECTORS:
            together //= 2
        for first in range(0, lot.size, together):
            part = lot[first : first + together]
            # The last one is filled up with its last point, so that few shapes compile.
            part = np.pad(part, (0, together - part.size), mode="edge")
            yield group[part], point[part], columns
