"""Sums of rows, fast on CPUs too.

XLA adds the columns of a row one after the other on CPUs, each addition waiting for the one
before. Halving the columns a few times first, and leaving the rest to a matrix-vector product,
adds many at once. On accelerators the plain sum is the fast one.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp

_FOLDS = 8


def row_sums(values: jax.Array) -> jax.Array:
    """Sums of the rows of ``[m, d]``, ``[m]``, in the type of the values; pure.

    The order of the additions is another than that of ``jnp.sum``, the same for every row.

    Example:
        >>> row_sums(jnp.ones((2, 19))).tolist()
        [19.0, 19.0]
    """
    width = values.shape[1] // _FOLDS
    if jax.default_backend() != "cpu" or width == 0:
        return jnp.sum(values, axis=1)
    parts = [values[:, part * width : (part + 1) * width] for part in range(_FOLDS)]
    folded = sum(parts[1:], start=parts[0])
    ones = jnp.ones(width, values.dtype)
    total = jnp.dot(folded, ones, precision=jax.lax.Precision.HIGHEST)
    rest = values[:, _FOLDS * width :]
    return total + jnp.sum(rest, axis=1) if rest.shape[1] else total
