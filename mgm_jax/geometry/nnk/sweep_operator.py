"""The sweep operator on a batch of symmetric matrices: one pivot of Gauss-Jordan elimination."""

from __future__ import annotations

import jax
import jax.numpy as jnp


def sweep(tableau: jax.Array, pivot: jax.Array, active: jax.Array) -> jax.Array:
    """Exchange one variable of every matrix between its two states.

    With ``t = T[p, p]``, ``T[a, b] -> T[a, b] - T[a, p] T[p, b] / t`` off the pivot,
    ``T[a, p] -> T[a, p] / |t|`` on its row and column and ``t -> -1 / t`` at the crossing.
    Sweeping the set S of a positive definite K turns the block of S into ``-K_SS^-1``, the rest
    into the Schur complement, and the crossing into ``K_SS^-1 K_SR``. A second sweep at the same
    place undoes the first, so that variables enter and leave at the same price, t^2 operations.

    Args:
        tableau: symmetric matrices ``[b, t, t]``.
        pivot: place to sweep in each, ``[b]`` int.
        active: which matrices to sweep, ``[b]`` bool; the others stay as they are.

    Returns:
        The swept matrices ``[b, t, t]``.

    Reference:
        A. E. Beaton, "The use of special matrix operators in statistical calculus", 1964.

    Example:
        >>> index, yes = jnp.array([0]), jnp.array([True])
        >>> sweep(jnp.array([[[4.0]]]), index, yes).item()
        -0.25
    """
    row = jnp.take_along_axis(tableau, pivot[:, None, None], axis=1)[:, 0]
    inverse = 1 / jnp.take_along_axis(row, pivot[:, None], axis=1)
    scaled = row * jnp.abs(inverse)
    at_pivot = jnp.arange(tableau.shape[-1]) == pivot[:, None]
    swept = tableau - row[:, :, None] * (row * inverse)[:, None, :]
    swept = jnp.where(at_pivot[:, :, None], scaled[:, None, :], swept)
    swept = jnp.where(at_pivot[:, None, :], scaled[:, :, None], swept)
    swept = jnp.where(at_pivot[:, :, None] & at_pivot[:, None, :], -inverse[:, :, None], swept)
    return jnp.where(active[:, None, None], swept, tableau)
