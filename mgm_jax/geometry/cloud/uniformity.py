# pyright: strict, reportMissingTypeStubs=false, reportUnknownMemberType=false
# pyright: reportUnknownVariableType=false, reportUnknownArgumentType=false
"""Uniformity of points on the sphere, from all pairs, a tile of them at a time.

No moments will do: the Gaussian potential of two points takes their own distance.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from mgm_jax.errors import InputError
from mgm_jax.geometry.points.checks import check_points, normalise

_TILE = 1024


def uniformity(x: Any, *, t: float = 2.0) -> float:
    """Log of the mean Gaussian potential over all pairs (Wang & Isola 2020).

    ``log mean over i < j of exp(-t |u_i - u_j|^2)`` with ``u = x / |x|``, tile by tile.

    Args:
        x: points ``[n, d]``.
        t: sharpness, above 0.

    Returns:
        From -4 t (opposite pairs) to 0 (one direction); lower is more uniform.

    Raises:
        InputError: unusable points, rows of zeros, t not above 0.

    Example:
        >>> round(uniformity(np.eye(3)), 3)
        -4.0
    """
    if not t > 0:
        raise InputError(f"t must be above 0; got {t}.")
    unit = normalise(check_points(x, name="x", cosine=True))
    n = unit.shape[0]
    tile = min(_TILE, n)
    rows = _potentials(jnp.pad(unit, ((0, -n % tile), (0, 0))), unit, n, t, tile=tile)
    # Every pair was met from both sides.
    total = float(np.asarray(rows, np.float64).sum()) / 2
    return float(np.log(total / (n * (n - 1) // 2)))


@partial(jax.jit, static_argnames=("tile",))
def _potentials(unit: jax.Array, others: jax.Array, n: int, t: float, *, tile: int) -> jax.Array:
    """Every point's sum of potentials with all others, ``[tiles, tile]``; padding adds 0."""
    starts = jnp.arange(0, unit.shape[0], tile)
    columns = jnp.arange(others.shape[0])

    def of_tile(start: jax.Array) -> jax.Array:
        rows = jax.lax.dynamic_slice_in_dim(unit, start, tile)
        cosines = jnp.matmul(rows, others.T, precision=jax.lax.Precision.HIGHEST)
        names = start + jnp.arange(tile)
        pairs = (names[:, None] < n) & (names[:, None] != columns)
        # Rows are unit vectors, so |u - v|^2 = 2 - 2 u'v.
        return jnp.sum(jnp.where(pairs, jnp.exp(-2 * t * (1 - cosines)), 0), axis=1)

    return jax.lax.map(of_tile, starts)
