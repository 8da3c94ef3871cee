"""Spans of the polytopes of one group, in coordinates of the group instead of its features.

Rows of float64 coordinates that have the Gram matrix of a group stand for its points, however many
features those had. The differences of a point to its neighbours, made orthonormal, give the
projector ``P_i = U_i U_i'`` onto the span of its polytope, and the overlap of two spans is the
inner product of their projectors, ``||U_i' U_j||_F^2 = <P_i, P_j>``.

Where most members are neighbours, the others say the same with less work: with coordinates y along
the principal axes and the squared lengths l along them, ``y_c / l`` is the gradient of the affine
function that is 1 at point c and 0 at all other members. The gradients of those that are neither
the point nor a neighbour span the orthogonal complement of the polytope.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from mgm_jax.geometry.nnk.kernel import COINCIDENT

# Directions count down to a singular value of 1e-6 of the largest: its square, of squares.
RANK_THRESHOLD = 1e-12
# Above this share of the largest squared length along an axis, and so far above the rounding of
# the points, all members of a group are independent whatever the rule.
_SAFE_SHARE = 1e-5
_SAFE_ROUNDING = 1e3 * COINCIDENT


class Axes(NamedTuple):
    """Principal axes of g groups of at most m points.

    NumPy arrays from :func:`principal_axes`, JAX arrays of one group within compiled code.

    Attributes:
        values: squared lengths along the axes, descending ``[g, r]`` float64.
        coordinates: of the points along the axes ``[g, m, r]``; they have the Gram matrix of the
            points.
    """

    values: Any
    coordinates: Any


def principal_axes(gram: Any, *, width: int) -> Axes:
    """Coordinates of the points of groups along the principal axes of their group; pure.

    Args:
        gram: Gram matrices of the groups about their means, ``[..., m, m]``; NumPy stays NumPy.
        width: number of features; no group has more axes, nor more than m - 1.

    Returns:
        The axes.

    Example:
        >>> principal_axes(np.array([[[1.0, -1.0], [-1.0, 1.0]]]), width=9).values.round(3).tolist()
        [[2.0]]
    """
    xp = np if isinstance(gram, np.ndarray) else jnp
    count = max(1, min(gram.shape[-1] - 1, width))
    values, vectors = xp.linalg.eigh(gram)
    values = xp.maximum(values[..., ::-1][..., :count], 0)
    coordinates = vectors[..., ::-1][..., :count] * xp.sqrt(values)[..., None, :]
    return Axes(values, np.ascontiguousarray(coordinates) if xp is np else coordinates)


class Sides(NamedTuple):
    """Which members of their group say what the polytopes of g groups of m points span.

    Attributes:
        members: places of these members ``[g, m, p]`` int32, -1 for none.
        outside: whether they are the members outside the polytope of a point ``[g, m]`` bool.
    """

    members: np.ndarray
    outside: np.ndarray


def smaller_side(
    support: np.ndarray, mask: np.ndarray, values: np.ndarray, squared_lengths: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Choose the neighbours of every point or the members that are none, on the host.

    Args:
        support: which members are neighbours of which, ``[g, m, m]`` bool.
        mask: which places are points, ``[g, m]`` bool.
        values: squared lengths along the principal axes, ``[g, r]``.
        squared_lengths: of the points, ``[g, m]``.

    Returns:
        Which members say what the polytopes span ``[g, m, m]`` bool: the smaller side of every
        polytope whose group is safely of full rank, the neighbours of the others; how many these
        are ``[g, m]``; and whether they are the members outside ``[g, m]`` bool.
    """
    size = mask.sum(axis=1)
    least = np.take_along_axis(values, np.clip(size - 2, 0, values.shape[1] - 1)[:, None], axis=1)
    rounding = _SAFE_ROUNDING * squared_lengths.max(axis=1)
    safe = least[:, 0] > np.maximum(_SAFE_SHARE * values[:, 0], rounding)
    safe &= (size >= 2) & (size - 1 <= values.shape[1])
    degree = np.count_nonzero(support, axis=2)
    outside = safe[:, None] & mask & (size[:, None] - 1 < 2 * degree)
    if not outside.any():
        return support, degree, outside
    chosen = support.copy()
    group, point = np.nonzero(outside)
    others = mask[group] & ~support[group, point]
    others[np.arange(group.size), point] = False
    chosen[group, point] = others
    return chosen, np.where(outside, size[:, None] - 1 - degree, degree), outside


def smaller_sides(
    support: np.ndarray, mask: np.ndarray, values: np.ndarray, squared_lengths: np.ndarray
) -> Sides:
    """What :func:`smaller_side` chooses by place, with p a multiple of 8: few shapes occur."""
    chosen, count, outside = smaller_side(support, mask, values, squared_lengths)
    columns = min(max(1, -(-int(count.max()) // 8)) * 8, mask.shape[1])
    members = np.full((*mask.shape, columns), -1, np.int32)
    group, point, member = np.nonzero(chosen)
    rank = np.cumsum(chosen, axis=2)[group, point, member] - 1
    members[group, point, rank] = member
    return Sides(members, outside)


def group_overlaps(
    values: jax.Array,
    coordinates: jax.Array,
    mask: jax.Array,
    squared_lengths: jax.Array,
    members: jax.Array,
    outside: jax.Array,
) -> tuple[jax.Array, jax.Array]:
    """Overlap ``||U_i' U_j||_F^2`` of every pair of polytopes of one group; pure.

    Args:
        values: squared lengths along the principal axes, ``[r]`` float64.
        coordinates: of the points along them, ``[m, r]``.
        mask: which places are points, ``[m]`` bool.
        squared_lengths: of the points, ``[m]``.
        members: from :func:`smaller_sides`, ``[m, p]``.
        outside: from :func:`smaller_sides`, ``[m]``.

    Returns:
        The overlaps ``[m, m]``, 0 to min(d_i, d_j), and the dimensions d ``[m]`` int32.
    """
    real = jnp.arange(values.size) < jnp.sum(mask) - 1
    gradients = jnp.where(real, coordinates / jnp.where(values > 0, values, 1), 0)
    positions, counted = jnp.maximum(members, 0), members >= 0
    differences = coordinates[positions] - coordinates[:, None]
    vectors = jnp.where(outside[:, None, None], gradients[positions], differences)
    smallest = jnp.where(outside, 0, COINCIDENT * squared_lengths)
    basis, dimension = orthonormal_basis(vectors, counted, smallest)
    projectors = jnp.einsum("irp,isp->irs", basis, basis)
    whole = jnp.diag(real.astype(basis.dtype))
    projectors = jnp.where(outside[:, None, None], whole - projectors, projectors)
    flat = projectors.reshape(mask.size, -1)
    return flat @ flat.T, jnp.where(outside, jnp.sum(real) - dimension, dimension)


def orthonormal_basis(
    vectors: jax.Array, mask: jax.Array, smallest: jax.Array
) -> tuple[jax.Array, jax.Array]:
    """Orthonormal bases of the spans of vectors.

    The vectors are taken greedily: next is always the one farthest from the span of those
    before. It stops where that squared distance falls to 1e-12 of the sum of all squared lengths,
    or to ``smallest``.

    Args:
        vectors: ``[b, p, r]``.
        mask: which vectors count, ``[b, p]`` bool.
        smallest: squared distance that is rounding, ``[b]``.

    Returns:
        Bases ``[b, r, p]``, columns beyond the dimension 0; and the dimensions ``[b]`` int32.

    Example:
        >>> orthonormal_basis(jnp.ones((1, 2, 1)), jnp.ones((1, 2), bool), jnp.zeros(1))[1].tolist()
        [1]
    """
    points, p, r = vectors.shape
    vectors = jnp.where(mask[:, :, None], vectors, 0)
    squares = jnp.sum(vectors * vectors, axis=2)
    smallest = jnp.maximum(RANK_THRESHOLD * jnp.sum(squares, axis=1), smallest)

    def advance(state: tuple[jax.Array, ...]) -> tuple[jax.Array, ...]:
        basis, products, distance, dimension, _, count = state
        pivot = jnp.argmax(distance, axis=1)
        farthest = jnp.max(distance, axis=1)
        active = farthest > smallest
        vector = jnp.take_along_axis(vectors, pivot[:, None, None], axis=1)[:, 0]
        known = jnp.take_along_axis(products, pivot[:, None, None], axis=1)[:, 0]
        column = vector - jnp.einsum("brt,bt->br", basis, known)
        column *= jnp.where(active, lax.rsqrt(jnp.where(active, farthest, 1)), 0)[:, None]
        product = jnp.einsum("bpr,br->bp", vectors, column)
        taken = (jnp.arange(p) == pivot[:, None]) & active[:, None]
        return (
            lax.dynamic_update_slice_in_dim(basis, column[:, :, None], count, 2),
            lax.dynamic_update_slice_in_dim(products, product[:, :, None], count, 2),
            jnp.where(taken, -1, distance - product * product),
            dimension + active,
            active,
            count + 1,
        )

    def unfinished(state: tuple[jax.Array, ...]) -> jax.Array:
        return state[4].any() & (state[5] < p)

    start = (
        jnp.zeros((points, r, p), vectors.dtype),
        jnp.zeros((points, p, p), vectors.dtype),
        jnp.where(mask, squares, -1),
        jnp.zeros(points, jnp.int32),
        jnp.ones(points, bool),
        jnp.zeros((), jnp.int32),
    )
    results = lax.while_loop(unfinished, advance, start)
    return results[0], results[3]
