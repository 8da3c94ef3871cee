"""Spans of polytopes on a CPU: as in ``subspaces``, with work made to measure.

The cost of a projector grows with the square of its vectors, and points have very different numbers
of neighbours. Here the points of all groups of a batch are sorted by that number and taken in lots,
so that hardly a vector is padding, and made orthonormal by the Cholesky factor of their Gram
matrix. Vectors that are independent whatever the order in which they are taken need no search for
the next one; the factor says which are, and the others take the greedy way.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Iterator
from typing import NamedTuple

import jax
import numpy as np

from mgm_jax.geometry.local.subspaces import (
    RANK_THRESHOLD,
    Axes,
    orthonormal_basis,
    smaller_sides,
)
from mgm_jax.geometry.nnk.kernel import COINCIDENT

# Points that are made orthonormal together at most, and the steps of how many vectors they have.
_LOT, _STEP = 64, 4
# Rows of a triangular factor that LAPACK inverts at once.
_BLOCK = 8
# So far above the smallest distance that counts the rounding of a factor does not matter.
_SAFE = 1e3
# Largest deviation from orthonormal vectors whose square is below rounding.
_NEARLY = 1e-9
# Vectors of those that take the greedy way, in steps so that few shapes compile, and how many
# points of these at once.
_COLUMN_STEP, _GREEDY = 8, 16

# Largest array that a thread keeps for its next call.
_KEPT_BYTES = 2**22

_basis = jax.jit(orthonormal_basis)


class _Room(threading.local):
    """Arrays that a thread writes to again and again.

    A system clears fresh memory page by page, which takes as long as the work that is done in it.
    """

    def __init__(self) -> None:
        self._kept: dict[str, np.ndarray] = {}

    def array(self, name: str, *shape: int) -> np.ndarray:
        """An array of float64 with any content, the same memory for the same name."""
        size = math.prod(shape)
        kept = self._kept.get(name)
        if kept is None or kept.size < size:
            kept = np.empty(size)
            if kept.nbytes <= _KEPT_BYTES:
                self._kept[name] = kept
        return kept[:size].reshape(shape)


_room = _Room()


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
    r = axes.values.shape[1]
    # As many groups at once as their projectors find room.
    step = max(1, _KEPT_BYTES // (8 * mask.shape[1] * r * (r + 1) // 2))
    parts = []
    for start in range(0, len(mask), step):
        some = slice(start, start + step)
        of_some = Axes(axes.values[some], axes.coordinates[some])
        parts.append(_overlaps(of_some, mask[some], squared_lengths[some], support[some]))
    overlaps, dimension = map(np.concatenate, zip(*parts, strict=True))
    return overlaps, dimension


def _overlaps(
    axes: Axes, mask: np.ndarray, squared_lengths: np.ndarray, support: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    values, coordinates = axes
    r = values.shape[1]
    members, outside = smaller_sides(support, mask, values, squared_lengths)
    g, m = mask.shape
    real = np.arange(r) < mask.sum(axis=1)[:, None] - 1
    safe = np.where(values > 0, values, 1)
    gradients = np.where(real[:, None], coordinates / safe[:, None], 0)
    # Whatever a vector is the difference of: points, or gradients and nothing.
    table = np.concatenate(
        [coordinates.reshape(g * m, r), gradients.reshape(g * m, r), np.zeros((1, r))]
    )
    # Of a symmetric projector its upper triangle, row by row.
    triangle = np.flatnonzero(np.triu(np.ones((r, r), bool)))
    diagonal = np.searchsorted(triangle, np.arange(r) * (r + 1))
    count = (members >= 0).sum(axis=2)
    projectors = _room.array("projectors", g, m, triangle.size)
    projectors[~mask] = 0
    dimension = np.zeros(mask.shape, np.int32)
    for group, point, p in _lots(mask, count, most=members.shape[2]):
        parts = group, point
        beyond = outside[parts]
        chosen = members[parts][:, :p]
        own = np.where(beyond, 2 * g * m, group * m + point)
        first = m * (group + g * beyond)
        index = np.where(chosen < 0, own[:, None], first[:, None] + chosen)
        vectors = _room.array("vectors", *chosen.shape, r)
        np.take(table, index, axis=0, out=vectors, mode="clip")
        vectors -= table[own][:, None]
        smallest = np.where(beyond, 0, COINCIDENT * squared_lengths[parts])
        sign = np.where(beyond, -1.0, 1.0)
        packed, spanned = _projectors(_Lot(vectors, chosen >= 0, smallest, sign), triangle)
        # The projector onto what is orthogonal to the members outside.
        packed[:, diagonal] += beyond[:, None] & real[group]
        projectors[parts] = packed
        dimension[parts] = np.where(beyond, real[group].sum(axis=1) - spanned, spanned)
    on_diagonal = projectors[:, :, diagonal]
    # Every entry off the diagonal stands for two.
    overlaps = 2 * (projectors @ projectors.transpose(0, 2, 1))
    overlaps -= on_diagonal @ on_diagonal.transpose(0, 2, 1)
    return overlaps, dimension


def _lots(
    mask: np.ndarray, count: np.ndarray, *, most: int
) -> Iterator[tuple[np.ndarray, np.ndarray, int]]:
    """Groups and places of points that need about as many vectors, and for how many there is room.

    That depends on the number of the point alone, so that no last bit depends on its company.
    """
    group, point = np.nonzero(mask)
    room = np.minimum(np.maximum(-(-count[group, point] // _STEP), 1) * _STEP, most)
    for p in np.unique(room):
        alike = np.flatnonzero(room == p)
        for start in range(0, alike.size, _LOT):
            lot = alike[start : start + _LOT]
            yield group[lot], point[lot], int(p)


def _products(rows: np.ndarray, name: str) -> np.ndarray:
    """Inner products of the rows of matrices, ``[b, p, r]`` to ``[b, p, p]``, in the room.

    NumPy takes one triangle of a matrix and its own transpose, which is slower where it is small.
    """
    b, p, _ = rows.shape
    copy = _room.array("copy", *rows.shape)
    copy[:] = rows
    return np.matmul(rows, copy.transpose(0, 2, 1), out=_room.array(name, b, p, p))


def _inverse(factor: np.ndarray) -> np.ndarray:
    """Inverses of lower triangular matrices ``[b, p, p]``; LAPACK would take them as full."""
    p = factor.shape[1]
    if p <= _BLOCK:
        return np.linalg.inv(factor)
    half = -(-p // (2 * _BLOCK)) * _BLOCK
    first, last = slice(0, half), slice(half, p)
    inverse = np.zeros_like(factor)
    inverse[:, first, first] = _inverse(factor[:, first, first])
    inverse[:, last, last] = _inverse(factor[:, last, last])
    between = factor[:, last, first] @ inverse[:, first, first]
    inverse[:, last, first] = -(inverse[:, last, last] @ between)
    return inverse


class _Lot(NamedTuple):
    """Vectors that span the spaces of b points.

    Attributes:
        vectors: ``[b, p, r]``, 0 where they do not count.
        real: which count, ``[b, p]`` bool.
        smallest: squared distance that is rounding, ``[b]``.
        sign: what the projectors are multiplied by ``[b]``.
    """

    vectors: np.ndarray
    real: np.ndarray
    smallest: np.ndarray
    sign: np.ndarray

    def take(self, rows: slice | np.ndarray) -> _Lot:
        """Some of the points."""
        return _Lot(*(part[rows] for part in self))


def _projectors(lot: _Lot, triangle: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Projectors onto the spans of vectors, as :func:`orthonormal_basis` counts their directions.

    Args:
        lot: vectors of b points.
        triangle: entries of a projector to keep, ``[t]``.

    Returns:
        The entries ``[b, t]`` in the room, and dimensions ``[b]``.
    """
    vectors, real, smallest, sign = lot
    b, p, r = vectors.shape
    gram = _products(vectors, "gram")
    apart = _SAFE * np.maximum(RANK_THRESHOLD * np.trace(gram, axis1=1, axis2=2), smallest)
    places = np.arange(p)
    gram[:, places, places] += ~real
    try:
        inverse = _inverse(np.linalg.cholesky(gram))
    except np.linalg.LinAlgError:
        if b > 1:
            return _one_by_one(lot, triangle)
        return _greedy_projectors(lot, triangle)
    # One over the squared distance of each vector to the span of all others, the least that it
    # is ever to any of them.
    closeness = np.where(real, np.einsum("bij,bij->bj", inverse, inverse), 0)
    basis = np.matmul(inverse, vectors, out=_room.array("basis", b, p, r))
    # What the rounding of the Gram matrix left is taken off, but for its square.
    deviation = _products(basis, "deviation")
    deviation[:, places, places] -= real
    certain = (closeness * apart[:, None] < 1).all(axis=1)
    certain &= np.abs(deviation).max(axis=(1, 2)) < _NEARLY
    corrected = np.matmul(deviation, basis, out=_room.array("copy", b, p, r))
    np.subtract(basis, corrected, out=corrected)
    corrected *= sign[:, None, None]
    projectors = _room.array("whole", b, r, r)
    np.matmul(basis.transpose(0, 2, 1), corrected, out=projectors)
    packed = _room.array("packed", b, triangle.size)
    np.take(projectors.reshape(b, -1), triangle, axis=1, out=packed, mode="clip")
    dimension = real.sum(axis=1)
    left = np.flatnonzero(~certain)
    if left.size:
        packed[left], dimension[left] = _greedy_projectors(lot.take(left), triangle)
    return packed, dimension


def _one_by_one(lot: _Lot, triangle: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """What :func:`_projectors` says, where one of them has no Cholesky factor."""
    b = len(lot.vectors)
    packed, dimension = np.empty((b, triangle.size)), np.empty(b, np.int64)
    # The room is written to again.
    lot = lot._replace(vectors=lot.vectors.copy())
    for row in range(b):
        one = slice(row, row + 1)
        packed[one], dimension[one] = _projectors(lot.take(one), triangle)
    return packed, dimension


def _greedy_projectors(lot: _Lot, triangle: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """What :func:`_projectors` says, of vectors that may depend on each other."""
    vectors, real, smallest, sign = lot
    b, p, _ = vectors.shape
    packed, dimension = np.empty((b, triangle.size)), np.empty(b, np.int64)
    # Filled up, so that few shapes compile.
    vectors = np.pad(vectors, ((0, 0), (0, -p % _COLUMN_STEP), (0, 0)))
    real = np.pad(real, ((0, 0), (0, -p % _COLUMN_STEP)))
    for start in range(0, b, _GREEDY):
        part = np.arange(start, min(start + _GREEDY, b))
        full = np.pad(part, (0, _GREEDY - part.size), mode="edge")
        results = _basis(vectors[full], real[full], smallest[full])
        basis, dimension[part] = (np.asarray(result)[: part.size] for result in results)
        packed[part] = (basis @ basis.transpose(0, 2, 1)).reshape(part.size, -1)[:, triangle]
    return packed * sign[:, None], dimension
