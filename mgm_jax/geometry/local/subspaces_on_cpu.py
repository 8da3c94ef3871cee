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

from mgm_jax.geometry.backend.packed_symmetric import (
    add_to_diagonal,
    packed_products,
    packed_size,
    packed_sums,
)
from mgm_jax.geometry.backend.triangular import inverse_of_lower
from mgm_jax.geometry.local.subspaces import (
    RANK_THRESHOLD,
    Axes,
    orthonormal_basis,
    smaller_side,
)
from mgm_jax.geometry.nnk.kernel import COINCIDENT

# Vectors that are made orthonormal together, of how many points at most, and the steps of how many
# vectors these have.
_LOT_BYTES, _LOT, _STEP = 2**20, 128, 4
# One more axis of coordinates ``[g, m, r]``.
_ONE_AXIS = ((0, 0), (0, 0), (0, 1))
# So far above the smallest distance that counts the rounding of a factor does not matter.
_SAFE = 1e3
# Largest deviation from orthonormal vectors whose square is below rounding.
_NEARLY = 1e-9
# Vectors of those that take the greedy way, in steps so that few shapes compile, and how many
# points of these at once.
_COLUMN_STEP, _GREEDY = 8, 16

# Largest array that a thread keeps for its next call: the projectors of a batch of groups of 50.
_KEPT_BYTES = 2**24

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
    chosen, count, outside = smaller_side(support, mask, values, squared_lengths)
    if values.shape[1] % 2 == 0:
        # A packed projector has an odd number of rows; an axis of length 0 says nothing.
        values, coordinates = np.pad(values, ((0, 0), (0, 1))), np.pad(coordinates, _ONE_AXIS)
    g, m, r = coordinates.shape
    real = np.arange(r) < mask.sum(axis=1)[:, None] - 1
    safe = np.where(values > 0, values, 1)
    gradients = np.where(real[:, None], coordinates / safe[:, None], 0)
    # Whatever a vector is the difference of: points, or gradients and nothing.
    table = np.concatenate(
        [coordinates.reshape(g * m, r), gradients.reshape(g * m, r), np.zeros((1, r))]
    )
    count = count.ravel()
    # Of all points, one after the other, the members that were chosen, and one that is nobody's.
    members = np.append(np.flatnonzero(chosen), 0) % m
    first = np.cumsum(count) - count
    beyond = outside.ravel()
    smallest = np.where(outside, 0, COINCIDENT * squared_lengths).ravel()
    projectors = _room.array("projectors", g * m, packed_size(r))
    if not mask.all():
        projectors[~mask.ravel()] = 0
    dimension = np.zeros(g * m, np.int32)
    for points, p in _lots(mask.ravel(), count, r):
        around = beyond[points]
        own = np.where(around, 2 * g * m, points)
        column = np.arange(p)
        counted = column < count[points, None]
        chosen_members = members.take(first[points, None] + column, mode="clip")
        # Points of a group stand in the table one after the other.
        group = points // m
        start = m * (group + g * around)
        index = np.where(counted, start[:, None] + chosen_members, own[:, None])
        vectors = _room.array("vectors", points.size, p, r)
        np.take(table, index, axis=0, out=vectors, mode="clip")
        vectors -= table[own][:, None]
        sign = np.where(around, -1.0, 1.0)
        packed, spanned = _projectors(_Lot(vectors, counted, smallest[points], sign))
        if around.any():
            # The projector onto what is orthogonal to the members outside.
            add_to_diagonal(packed, real[group] & around[:, None])
            spanned = np.where(around, real[group].sum(axis=1) - spanned, spanned)
        projectors[points] = packed
        dimension[points] = spanned
    return packed_products(projectors.reshape(g, m, -1)), dimension.reshape(g, m)


def _lots(mask: np.ndarray, count: np.ndarray, r: int) -> Iterator[tuple[np.ndarray, int]]:
    """Points that need about as many vectors of r numbers, and for how many there is room.

    That depends on the number of the point alone, so that no last bit depends on its company.
    """
    points = np.flatnonzero(mask)
    room = np.maximum(-(-count[points] // _STEP), 1) * _STEP
    for p in np.unique(room):
        alike = points[room == p]
        lot = max(1, min(_LOT, _LOT_BYTES // (8 * r * int(p))))
        for start in range(0, alike.size, lot):
            yield alike[start : start + lot], int(p)


def _products(rows: np.ndarray, name: str) -> np.ndarray:
    """Inner products of the rows of matrices, ``[b, p, r]`` to ``[b, p, p]``, in the room.

    NumPy takes one triangle of a matrix and its own transpose, which is slower where it is small.
    """
    b, p, _ = rows.shape
    copy = _room.array("copy", *rows.shape)
    copy[:] = rows
    return np.matmul(rows, copy.transpose(0, 2, 1), out=_room.array(name, b, p, p))


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


def _projectors(lot: _Lot) -> tuple[np.ndarray, np.ndarray]:
    """Projectors onto the spans of vectors, as :func:`orthonormal_basis` counts their directions.

    Args:
        lot: vectors of b points.

    Returns:
        Packed projectors ``[b, t]`` in the room, and dimensions ``[b]``.
    """
    vectors, real, smallest, sign = lot
    b, p, r = vectors.shape
    gram = _products(vectors, "gram")
    diagonal = gram.reshape(b, p * p)[:, :: p + 1]
    apart = _SAFE * np.maximum(RANK_THRESHOLD * diagonal.sum(axis=1), smallest)
    diagonal += ~real
    try:
        inverse = inverse_of_lower(np.linalg.cholesky(gram))
    except np.linalg.LinAlgError:
        if b > 1:
            return _one_by_one(lot)
        return _greedy_projectors(lot)
    # One over the squared distance of each vector to the span of all others, the least that it
    # is ever to any of them.
    closeness = np.where(real, np.einsum("bij,bij->bj", inverse, inverse), 0)
    basis = np.matmul(inverse, vectors, out=_room.array("basis", b, p, r))
    # What the rounding of the Gram matrix left is taken off, but for its square.
    deviation = _products(basis, "deviation")
    flat = deviation.reshape(b, p * p)
    flat[:, :: p + 1] -= real
    certain = closeness.max(axis=1) * apart < 1
    certain &= np.maximum(flat.max(axis=1), -flat.min(axis=1)) < _NEARLY
    np.negative(deviation, out=deviation)
    flat[:, :: p + 1] += 1
    deviation *= sign[:, None, None]
    corrected = np.matmul(deviation, basis, out=_room.array("copy", b, p, r))
    packed = packed_sums(basis, corrected, _room.array("packed", b, packed_size(r)))
    dimension = real.sum(axis=1)
    left = np.flatnonzero(~certain)
    if left.size:
        packed[left], dimension[left] = _greedy_projectors(lot.take(left))
    return packed, dimension


def _one_by_one(lot: _Lot) -> tuple[np.ndarray, np.ndarray]:
    """What :func:`_projectors` says, where one of them has no Cholesky factor."""
    b, _, r = lot.vectors.shape
    packed, dimension = np.empty((b, packed_size(r))), np.empty(b, np.int64)
    # The room is written to again.
    lot = lot._replace(vectors=lot.vectors.copy())
    for row in range(b):
        one = slice(row, row + 1)
        packed[one], dimension[one] = _projectors(lot.take(one))
    return packed, dimension


def _greedy_projectors(lot: _Lot) -> tuple[np.ndarray, np.ndarray]:
    """What :func:`_projectors` says, of vectors that may depend on each other."""
    vectors, real, smallest, sign = lot
    b, p, r = vectors.shape
    packed, dimension = np.empty((b, packed_size(r))), np.empty(b, np.int64)
    # Filled up, so that few shapes compile.
    vectors = np.pad(vectors, ((0, 0), (0, -p % _COLUMN_STEP), (0, 0)))
    real = np.pad(real, ((0, 0), (0, -p % _COLUMN_STEP)))
    for start in range(0, b, _GREEDY):
        part = np.arange(start, min(start + _GREEDY, b))
        full = np.pad(part, (0, _GREEDY - part.size), mode="edge")
        results = _basis(vectors[full], real[full], smallest[full])
        basis, dimension[part] = (np.asarray(result)[: part.size] for result in results)
        rows = basis.transpose(0, 2, 1)
        packed_sums(rows, rows * sign[part, None, None], packed[start : start + part.size])
    return packed, dimension
