"""Orthonormal frames of polytopes in float32, and how far they are off.

A frame is a small matrix, known from pairs, times the differences of points. Rounding of the
product moves a direction by 2^-24 times the condition of the differences, within the span of the
polytope as much as out of it; and what it does within is seen, as frames that are not orthonormal.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

MAX_DEFECT = 1e-5
"""Polytopes whose frames are farther from orthonormal are compared in float64."""

_HIGHEST = lax.Precision.HIGHEST


def frames_of(
    made_of: jax.Array, differences: jax.Array, dimension: jax.Array
) -> tuple[jax.Array, jax.Array]:
    """Orthonormal frames of differences.

    Args:
        made_of: coefficients of the differences in the frames ``[..., p, k]``, 0 in rows beyond
            the dimension.
        differences: ``[..., k, d]``.
        dimension: ``[...]`` int.

    Returns:
        Frames ``[..., p, d]``, and the largest entry of what they are off by, ``W W' - I``.

    Example:
        >>> frames_of(jnp.array([[0.5]]), jnp.array([[2.0, 0.0]]), jnp.array(1))[1].item()
        0.0
    """
    frames = jnp.matmul(made_of, differences, precision=_HIGHEST)
    products = jnp.matmul(frames, jnp.swapaxes(frames, -1, -2), precision=_HIGHEST)
    p = made_of.shape[-2]
    unit = np.eye(p, dtype=np.float32) * (jnp.arange(p) < dimension[..., None])[..., None, :]
    defect = jnp.max(jnp.abs(products - unit), axis=(-2, -1))
    # What is not a number is not small either.
    return frames, jnp.where(jnp.isfinite(defect), defect, jnp.inf)
