"""A few features much greater than the others, whose rounding is most of what a scan gets wrong.

Vision transformers have them. What bfloat16 rounds of a product is bounded by what it moves the two
points by, and that is relative to the greatest features; but what it takes from these alone can be
kept: with ``x = h + l`` in a feature, h and l in bfloat16, a product needs ``h_x l_y + l_x h_y``
beside ``h_x h_y``. Two columns more a feature hold that, in the same product of matrices.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np

from mgm_jax.geometry.knn.scaled import total_of

FEATURES = 64
"""How many are kept: their columns are one tile of a TPU."""

# Share of all squares from which it is worth it: points are then moved by less than 0.7 of it.
_WORTH = 0.5
SAMPLE = 8192
"""Rows that the squares are taken of, at most."""


def great_features(points: jax.Array) -> jax.Array | None:
    """The features of the largest squares ``[FEATURES]`` int32, None where they hold too little.

    Args:
        points: of a scan, centred ``[n, d]``.

    Example:
        >>> points = jnp.ones((2, 200)).at[:, 7].set(100)
        >>> 7 in great_features(points)
        True
    """
    if points.shape[1] <= 2 * FEATURES:
        return None
    great, share = _greatest(points[:: -(-points.shape[0] // SAMPLE)])
    return great if is_worth(share) else None


def is_worth(share: jax.Array | np.ndarray) -> bool:
    """Whether the rests are to be kept of features that hold this share of all squares."""
    return float(share) >= _WORTH


def greatest(points: jax.Array, *, axis: str | None = None) -> tuple[jax.Array, jax.Array]:
    """The features ``[FEATURES]`` int32 of the largest squares, and their share of all; pure.

    Args:
        points: centred ``[n, d]``.
        axis: of the mesh, where points are spread.
    """
    squares = total_of(jnp.sum(points.astype(jnp.float32) ** 2, axis=0), axis)
    largest, great = jax.lax.top_k(squares, FEATURES)
    total = jnp.sum(squares)
    return great, jnp.sum(largest) / jnp.where(total > 0, total, 1)


_greatest = jax.jit(greatest)


def with_rests(
    rounded: jax.Array, rest: jax.Array, great: jax.Array, *, of_queries: bool
) -> tuple[jax.Array, jax.Array]:
    """Points with the rests of some features, and what rounding still moves them by; pure.

    Let the rest of a great feature be k + t, with k as it is rounded, and u be the rests of all
    other features and the t of these. Products of points x and y are then off by at most
    ``|u_x| |y| + |x| |u_y| + |u_x| |u_y| + |k_x| |k_y|``; and as a rest is at most 2^-8 of its
    value, the last is below ``2^-8 (|l_x| |y| + |x| |l_y|)`` with the rests l of great features.

    Args:
        rounded: ``[n, d]`` in the type of the scan.
        rest: ``[n, d]`` what that lacks.
        great: ``[f]`` int.
        of_queries: whether these are the left factors of the products.

    Returns:
        ``[n, d + 2 f]`` in the type of the scan; and a length ``[n]``, to be taken as that of what
        rounding has moved.
    """
    high, low = rounded[:, great], rest[:, great]
    kept = low.astype(rounded.dtype)
    left = rest.at[:, great].set(low - kept.astype(low.dtype))
    moved = jnp.sqrt(jnp.sum(left**2, axis=1))
    moved += np.float32(2.0**-8) * jnp.sqrt(jnp.sum(low**2, axis=1))
    pair = (high, kept) if of_queries else (kept, high)
    return jnp.concatenate([rounded, *pair], axis=1), moved
