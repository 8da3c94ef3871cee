"""Size of the polytope that the neighbours of a point span, from the Gram matrix of differences.

Everything here takes ``gram[j, l] = <x_j - x_i, x_l - x_i>`` of a point i and its candidates j, l,
and so never sees the features themselves.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp


def squared_distances(gram: jax.Array) -> jax.Array:
    """Squared distances among candidates, ``|x_j - x_l|^2 = g_jj + g_ll - 2 g_jl``.

    Args:
        gram: Gram matrices of differences, ``[..., k, k]``.

    Returns:
        ``[..., k, k]``, at least 0, exactly 0 on the diagonal.

    Example:
        >>> squared_distances(jnp.array([[1.0, 0.0], [0.0, 1.0]])).tolist()
        [[0.0, 2.0], [2.0, 0.0]]
    """
    own = jnp.diagonal(gram, axis1=-2, axis2=-1)
    squared = jnp.maximum(own[..., :, None] + own[..., None, :] - 2 * gram, 0)
    return jnp.where(jnp.eye(gram.shape[-1], dtype=bool), 0, squared)


def diameter(gram: jax.Array, support: jax.Array) -> jax.Array:
    """Largest distance between two neighbours, ``max_{j,l in N(i)} |x_j - x_l|``.

    Small means that the neighbourhood hardly moves (invariance), large that it does
    (equivariance).

    Args:
        gram: Gram matrices of differences, ``[..., k, k]``.
        support: which candidates are neighbours, ``[..., k]`` bool.

    Returns:
        ``[...]``, 0 to 2 on the unit sphere; 0 where there are fewer than two neighbours.

    Example:
        >>> diameter(jnp.eye(2), jnp.array([True, True])).round(3).item()
        1.4140000343322754
    """
    both = support[..., :, None] & support[..., None, :]
    return jnp.sqrt(jnp.max(jnp.where(both, squared_distances(gram), 0), axis=(-2, -1)))


def radius(gram: jax.Array, support: jax.Array) -> jax.Array:
    """Largest distance from the point to a neighbour, ``max_{j in N(i)} |x_j - x_i|``.

    Args:
        gram: Gram matrices of differences, ``[..., k, k]``.
        support: which candidates are neighbours, ``[..., k]`` bool.

    Returns:
        ``[...]``, 0 to 2 on the unit sphere; 0 where there is no neighbour.

    Example:
        >>> radius(jnp.diag(jnp.array([4.0, 9.0])), jnp.array([True, False])).item()
        2.0
    """
    own = jnp.diagonal(gram, axis1=-2, axis2=-1)
    return jnp.sqrt(jnp.max(jnp.where(support, jnp.maximum(own, 0), 0), axis=-1))
