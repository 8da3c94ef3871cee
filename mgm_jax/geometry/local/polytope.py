"""Size of the polytope that the neighbours of a point span, from squared distances alone."""

from __future__ import annotations

import jax
import jax.numpy as jnp


def diameter(among: jax.Array, support: jax.Array) -> jax.Array:
    """Largest distance between two neighbours, ``max_{j,l in N(i)} |x_j - x_l|``.

    Small means that the neighbourhood hardly moves (invariance), large that it does
    (equivariance).

    Args:
        among: squared distances among the candidates, ``[..., k, k]``.
        support: which candidates are neighbours, ``[..., k]`` bool.

    Returns:
        ``[...]``, 0 to 2 on the unit sphere; NaN where there are fewer than two neighbours: a
        single one lies 0 from itself whatever the points do.

    Example:
        >>> diameter(jnp.array([[0.0, 9.0], [9.0, 0.0]]), jnp.array([True, True])).item()
        3.0
    """
    # CPUs reduce the last axis but one faster than the last.
    farthest = jnp.max(jnp.where(support[..., :, None], among, 0), axis=-2)
    largest = jnp.sqrt(jnp.max(jnp.where(support, farthest, 0), axis=-1))
    return jnp.where(jnp.sum(support, axis=-1) >= 2, largest, jnp.nan)


def diameters_in_group(distance: jax.Array, support: jax.Array) -> jax.Array:
    """What :func:`diameter` says of all points of a group whose candidates are its members.

    Args:
        distance: squared distances among the members, ``[m, m]``, finite.
        support: which members are neighbours of which, ``[m, m]`` bool.

    Returns:
        ``[m]``.

    Example:
        >>> support = jnp.array([[False, True, True], [True, False, False], [True, False, False]])
        >>> distance = jnp.array([[0.0, 1.0, 4.0], [1.0, 0.0, 9.0], [4.0, 9.0, 0.0]])
        >>> diameters_in_group(distance, support).tolist()
        [3.0, nan, nan]
    """
    # With the points last, CPUs compare several at once.
    counted = support.T.astype(distance.dtype)
    farthest = jnp.max(distance[:, :, None] * counted[:, None], axis=0)
    largest = jnp.sqrt(jnp.max(farthest * counted, axis=0))
    return jnp.where(jnp.sum(support, axis=1) >= 2, largest, jnp.nan)


def radius(to_point: jax.Array, support: jax.Array) -> jax.Array:
    """Largest distance from the point to a neighbour, ``max_{j in N(i)} |x_j - x_i|``.

    Args:
        to_point: squared distances from the candidates to the point, ``[..., k]``.
        support: which candidates are neighbours, ``[..., k]`` bool.

    Returns:
        ``[...]``, 0 to 2 on the unit sphere; NaN where there is no neighbour.

    Example:
        >>> radius(jnp.array([4.0, 9.0]), jnp.array([True, False])).item()
        2.0
    """
    largest = jnp.sqrt(jnp.max(jnp.where(support, to_point, 0), axis=-1))
    return jnp.where(jnp.any(support, axis=-1), largest, jnp.nan)
