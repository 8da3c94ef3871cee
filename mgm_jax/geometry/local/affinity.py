"""Affinity of the subspaces that neighbouring polytopes span, from Gram matrices alone.

The polytope of point i spans ``S_i = span{x_l - x_i : l in N(i)}`` of dimension d_i. With A_i the
Gram matrix of these differences and C the cross Gram matrix of two polytopes,
``||U_i' U_j||_F^2 = trace(A_i^+ C A_j^+ C')`` for any orthonormal bases U_i, U_j.
"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from mgm_jax.geometry.nnk.kernel import COINCIDENT
from mgm_jax.geometry.nnk.sweep_operator import sweep

NULL_PAIRS = 8
"""Random partners of every point for the null of its group; fewer where the group is smaller."""

# Directions count down to a singular value of 1e-6 of the largest: its square, in a Gram matrix.
_RANK_THRESHOLD = 1e-12


def inverse_on_span(
    gram: jax.Array, mask: jax.Array, squared_length: jax.Array
) -> tuple[jax.Array, jax.Array]:
    """Dimension of the span of vectors, and a generalised inverse of their Gram matrix.

    The vectors are taken greedily: next is always the one farthest from the span of those
    before. It stops where that squared distance falls to 1e-12 of the trace, or to the rounding
    of the points, whichever is larger. The inverse is that of the vectors taken, 0 elsewhere; it
    gives the projector onto the span like the pseudo-inverse does.

    Args:
        gram: Gram matrices ``[b, p, p]``.
        mask: which vectors count, ``[b, p]`` bool.
        squared_length: squared length of the points whose differences these are, ``[b]``; it
            fixes what their rounding is.

    Returns:
        Inverses ``[b, p, p]`` and dimensions ``[b]`` int32 (0 where all vectors vanish).

    Example:
        >>> gram, mask = jnp.ones((1, 2, 2)), jnp.ones((1, 2), bool)
        >>> inverse_on_span(gram, mask, jnp.ones(1))[1].tolist()
        [1]
    """
    gram = jnp.where(mask[:, :, None] & mask[:, None, :], gram, 0)
    smallest = smallest_distance(gram, squared_length)

    def advance(state: tuple[jax.Array, ...]) -> tuple[jax.Array, ...]:
        tableau, taken, _ = state
        distance = jnp.where(mask & ~taken, jnp.diagonal(tableau, axis1=1, axis2=2), -1.0)
        farthest = jnp.argmax(distance, axis=1)
        active = jnp.max(distance, axis=1) > smallest
        at_pivot = jnp.arange(mask.shape[1]) == farthest[:, None]
        return sweep(tableau, farthest, active), taken | (at_pivot & active[:, None]), active

    start = (gram, jnp.zeros_like(mask), jnp.ones(mask.shape[0], bool))
    tableau, taken, _ = lax.while_loop(lambda state: state[2].any(), advance, start)
    inverse = jnp.where(taken[:, :, None] & taken[:, None, :], -tableau, 0)
    return inverse, jnp.sum(taken, axis=1, dtype=jnp.int32)


def smallest_distance(gram: Any, squared_length: Any) -> Any:
    """Squared distance to a span that counts as none, ``[b]``; NumPy stays NumPy."""
    xp = np if isinstance(gram, np.ndarray) else jnp
    trace = xp.trace(gram, axis1=1, axis2=2)
    return xp.maximum(_RANK_THRESHOLD * trace, COINCIDENT * squared_length)


def pair_overlap(cross: jax.Array, inverse: jax.Array, other_inverse: jax.Array) -> jax.Array:
    """Overlap ``trace(A_i^+ C A_j^+ C')`` of pairs of polytopes.

    Args:
        cross: ``C[a, b] = <x_a - x_i, x_b - x_j>``, ``[..., p, p]``.
        inverse: generalised inverses of the first polytopes, ``[..., p, p]``.
        other_inverse: of the second ones.

    Returns:
        ``[...]``, 0 to min(d_i, d_j).
    """
    left = jnp.einsum("...ab,...bc->...ac", inverse, cross)
    right = jnp.einsum("...ab,...bc->...ac", cross, other_inverse)
    return jnp.sum(left * right, axis=(-2, -1))


def affinity(overlap: Any, dimension: Any, other: Any, *, width: Any) -> tuple[Any, Any]:
    """Affinity of two subspaces, and its excess over chance.

    ``aff = ||U_i' U_j||_F / sqrt(min(d_i, d_j))`` and ``(aff^2 - e) / (1 - e)`` with
    ``e = max(d_i, d_j) / D``, the expected aff^2 of two random subspaces of R^D.

    Args:
        overlap: ``||U_i' U_j||_F^2``, any shape; NumPy stays NumPy.
        dimension: d_i, same shape.
        other: d_j, same shape.
        width: D, the number of features.

    Returns:
        The affinity, 0 (orthogonal) to 1 (one holds the other), NaN where a dimension is 0; and
        the excess, at most 1, 0 at chance, NaN also where one subspace is the whole space.

    Reference:
        M. Soltanolkotabi and E. J. Candes, "A geometric analysis of subspace clustering with
        outliers", 2012, definition 1.2.

    Example:
        >>> parts = affinity(jnp.array(1.0), jnp.array(1), jnp.array(2), width=4)
        >>> [part.item() for part in parts]
        [1.0, 1.0]
    """
    xp = np if isinstance(overlap, np.ndarray) else jnp
    # In the type of the overlaps, which NumPy divides by without converting each of them.
    dimension, other = (xp.asarray(part, overlap.dtype) for part in (dimension, other))
    smaller, larger = xp.minimum(dimension, other), xp.maximum(dimension, other)
    squared = xp.clip(overlap / xp.maximum(smaller, 1), 0, 1)
    chance = larger / width
    excess = (squared - chance) / xp.where(chance < 1, 1 - chance, 1)
    defined = smaller > 0
    return (
        xp.where(defined, xp.sqrt(squared), np.nan),
        xp.where(defined & (chance < 1), excess, np.nan),
    )


def null_partners(size: int, *, seed: tuple[int, ...], pairs: int = NULL_PAIRS) -> np.ndarray:
    """Draw random partners within a group, for the affinity that chance alone would give.

    The members are put in a random circle, and each is paired with those a few random steps
    ahead: nobody meets himself or anybody twice, and everybody is met equally often.

    Args:
        size: number of members, at least 2.
        seed: what the draw depends on.
        pairs: partners of each member.

    Returns:
        Places in the group, ``[size, min(pairs, size - 1)]`` int32.

    Example:
        >>> null_partners(2, seed=(0,)).tolist()
        [[1], [0]]
    """
    random = np.random.default_rng(seed)
    circle = random.permutation(size)
    steps = 1 + random.permutation(size - 1)[:pairs]
    partners = np.empty((size, steps.size), np.int32)
    partners[circle] = circle[(np.arange(size)[:, None] + steps) % size]
    return partners
