"""Uniformity of points on the sphere, from all pairs, a tile of them at a time.

No moments will do: the Gaussian potential of two points takes their own distance. But sums over
pairs add up, so a cloud in shards is measured shard by shard and pair of shards by pair of shards.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from mgm_jax.errors import InputError
from mgm_jax.geometry.cloud.moments import check_chunk
from mgm_jax.geometry.points.checks import check_points, normalise

_TILE = 1024


@dataclass(frozen=True, kw_only=True)
class PairPotential:
    """Sum of Gaussian potentials over some pairs of points.

    Attributes:
        total: ``sum exp(-t |u_i - u_j|^2)`` over the pairs.
        pairs: how many pairs.
        t: sharpness.
    """

    total: float
    pairs: int
    t: float

    def merge(self, other: PairPotential) -> PairPotential:
        """The sum over the pairs of both.

        Raises:
            InputError: potentials of another sharpness.
        """
        if other.t != self.t:
            raise InputError(f"other must have the sharpness t = {self.t}; got {other.t}.")
        return PairPotential(
            total=self.total + other.total, pairs=self.pairs + other.pairs, t=self.t
        )

    @property
    def uniformity(self) -> float:
        """Log of the mean over the pairs; NaN where there are none."""
        return float(np.log(self.total / self.pairs)) if self.pairs else float("nan")


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
    return potential_within(check_points(x, name="x", cosine=True), t=t).uniformity


def potential_within(x: Any, *, t: float = 2.0) -> PairPotential:
    """Potential of all pairs of one shard.

    Args:
        x: points ``[n, d]``, n at least 1.
        t: sharpness, above 0.

    Raises:
        InputError: as ``uniformity``.

    Example:
        >>> potential_within(np.eye(3)).pairs
        3
    """
    unit = _unit(x, "x", t)
    n = unit.shape[0]
    rows = _potentials(_padded(unit), unit, n, t, tile=min(_TILE, n), own=True)
    # Every pair was met from both sides.
    return PairPotential(
        total=float(np.asarray(rows, np.float64).sum()) / 2, pairs=n * (n - 1) // 2, t=t
    )


def potential_between(x: Any, y: Any, *, t: float = 2.0) -> PairPotential:
    """Potential of all pairs of a point of one shard and a point of another.

    Args:
        x: points ``[n, d]``, n at least 1.
        y: other points ``[m, d]``.
        t: sharpness, above 0.

    Raises:
        InputError: as ``uniformity``; another number of features.

    Example:
        >>> shards = np.eye(3), -np.eye(3)
        >>> whole = potential_between(*shards)
        >>> for shard in shards:
        ...     whole = whole.merge(potential_within(shard))
        >>> abs(whole.uniformity - uniformity(np.concatenate(shards))) < 1e-6
        True
    """
    unit, others = _unit(x, "x", t), _unit(y, "y", t)
    n, m = unit.shape[0], others.shape[0]
    if unit.shape[1] != others.shape[1]:
        raise InputError(
            f"y must have as many columns as x, {unit.shape[1]}; got {others.shape[1]}."
        )
    rows = _potentials(_padded(unit), others, n, t, tile=min(_TILE, n), own=False)
    return PairPotential(total=float(np.asarray(rows, np.float64).sum()), pairs=n * m, t=t)


def _unit(x: Any, name: str, t: float) -> jax.Array:
    if not t > 0:
        raise InputError(f"t must be above 0; got {t}.")
    points = check_chunk(x, name=name, cosine=True)
    if not points.shape[0]:
        raise InputError(f"{name} must have at least one row; got none. Leave empty shards out.")
    return normalise(points)


def _padded(unit: jax.Array) -> jax.Array:
    n = unit.shape[0]
    return jnp.pad(unit, ((0, -n % min(_TILE, n)), (0, 0)))


@partial(jax.jit, static_argnames=("tile", "own"))
def _potentials(
    unit: jax.Array, others: jax.Array, n: int, t: float, *, tile: int, own: bool
) -> jax.Array:
    """Every point's sum of potentials with all others, ``[tiles, tile]``; padding adds 0."""
    starts = jnp.arange(0, unit.shape[0], tile)
    columns = jnp.arange(others.shape[0])

    def of_tile(start: jax.Array) -> jax.Array:
        rows = jax.lax.dynamic_slice_in_dim(unit, start, tile)
        cosines = jnp.matmul(rows, others.T, precision=jax.lax.Precision.HIGHEST)
        names = start + jnp.arange(tile)
        pairs = jnp.broadcast_to(names[:, None] < n, cosines.shape)
        if own:
            pairs &= names[:, None] != columns
        # Rows are unit vectors, so |u - v|^2 = 2 - 2 u'v.
        return jnp.sum(jnp.where(pairs, jnp.exp(-2 * t * (1 - cosines)), 0), axis=1)

    return jax.lax.map(of_tile, starts)
