"""Squared distances of points, from their Gram matrix."""

from __future__ import annotations

import jax
import jax.numpy as jnp


def squared_distances(gram: jax.Array) -> jax.Array:
    """Squared distances of points, ``|x_j - x_l|^2 = g_jj + g_ll - 2 g_jl``.

    Args:
        gram: Gram matrices of the points about any origin, ``[..., k, k]``.

    Returns:
        ``[..., k, k]``, at least 0, exactly 0 on the diagonal.

    Example:
        >>> squared_distances(jnp.array([[1.0, 0.0], [0.0, 1.0]])).tolist()
        [[0.0, 2.0], [2.0, 0.0]]
    """
    own = jnp.diagonal(gram, axis1=-2, axis2=-1)
    squared = jnp.maximum(own[..., :, None] + own[..., None, :] - 2 * gram, 0)
    return jnp.where(jnp.eye(gram.shape[-1], dtype=bool), 0, squared)
