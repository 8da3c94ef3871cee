"""Points for devices whose float64 is slow: scaled by powers of two, with lengths in pairs.

A power of two a point rounds nothing, so that the scaled rows are float32 and exact. Under the
cosine it brings their lengths within root 2 of a middle, which is chosen so that most points have
similar lengths, and lengths are pairs of float32; otherwise one power of two serves all points.
A TPU has no use for the scales of ``distance.Points``: its float64 is emulated with 48 bits, where
products of float32 values and those scales have 53.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from mgm_jax.geometry.backend import pairs
from mgm_jax.geometry.backend.pairs import Pair

# How far a unit row is off, relative to its length; centring takes a sixteenth of that.
_UNIT_ERROR = 2.0**-20
_LANES = 128


class Scaled(NamedTuple):
    """Points with powers of two; JAX arrays.

    Attributes:
        values: ``[n, d]`` float32 or bfloat16, as the user gave them.
        exponents: ``[n]`` int32.
        high: ``[n]`` float32, of the length of the scaled point under the cosine; else 1.
        low: ``[n]`` float32, what that lacks.
    """

    values: jax.Array
    exponents: jax.Array
    high: jax.Array
    low: jax.Array

    def take(self, rows: jax.Array | np.ndarray | slice) -> Scaled:
        """Some of the points."""
        return Scaled(*(part[rows] for part in self))

    def rows(self) -> jax.Array:
        """Values ``[n, d]`` float32 times their powers of two, which rounds nothing."""
        return times_powers(self.values, self.exponents)

    def units(self) -> jax.Array:
        """Rows over their lengths ``[n, d]`` float32, off by 2^-20 of the length at most."""
        return self.rows() * (1 / self.high)[:, None]


def times_powers(values: jax.Array, exponents: jax.Array) -> jax.Array:
    """Rows ``[n, d]`` as float32, each times a power of two."""
    # In two steps, none of which leaves the range of float32 where the result does not.
    half = exponents // 2
    first, second = (jnp.ldexp(jnp.float32(1), part)[:, None] for part in (half, exponents - half))
    return values.astype(jnp.float32) * first * second


def near_one_length(
    x: jax.Array, *, middle: jax.Array | None = None, axis: str | None = None
) -> tuple[Scaled, jax.Array]:
    """Points ``[n, d]`` with powers of two that bring them to similar lengths.

    Args:
        x: points; zero rows are padding.
        middle: what another cloud was brought to; None to choose.
        axis: of the mesh, where points are spread.

    Returns:
        The points; and the middle of their lengths, as the power of two that it is.
    """
    _, exponents = jnp.frexp(jnp.max(jnp.abs(x), axis=1).astype(jnp.float32))
    length = pairs.square_root(_square_sums(times_powers(x, -exponents)))
    real = length.high > 0
    length = pairs.where(real, length, Pair(np.float32(1), np.float32(0)))
    logarithm = jnp.log2(length.high)
    if middle is None:
        # Of numbers whose whole parts do not count.
        angle = np.float32(2 * np.pi) * logarithm
        weight = real.astype(jnp.float32)
        sine, cosine = (
            total_of(jnp.sum(weight * part), axis) for part in (jnp.sin(angle), jnp.cos(angle))
        )
        middle = jnp.arctan2(sine, cosine) / np.float32(2 * np.pi)
    turns = jnp.where(real, jnp.round(middle - logarithm), 0).astype(jnp.int32)
    length = length.map(_times_power, turns)
    return Scaled(x, turns - exponents, *length), middle


def _times_power(values: jax.Array, exponents: jax.Array) -> jax.Array:
    return values * jnp.ldexp(jnp.float32(1), exponents)


def _square_sums(rows: jax.Array) -> Pair:
    """Sums of the squares of rows ``[n, d]`` of at most 1, relative error 2^-46 (d/128 + 9)."""
    n, d = rows.shape
    rows = jnp.pad(rows, ((0, 0), (0, -d % _LANES)))
    total = Pair(*(jnp.zeros((n, _LANES), jnp.float32),) * 2)
    for start in range(0, d, _LANES):
        upper, lower = pairs.halves(rows[:, start : start + _LANES])
        square, rest = pairs.quick_two_sum(upper * upper, (upper + upper) * lower)
        total = pairs.add(total, Pair(square, rest + lower * lower))
    width = _LANES
    while width > 1:
        width //= 2
        total = pairs.add(total[:, :width], total[:, width:])
    return total[:, 0]


def in_one_scale(
    clouds: Sequence[tuple[jax.Array, jax.Array]], *, axis: str | None = None
) -> list[Scaled]:
    """Clouds times one power of two, which brings the largest centred value near 1.

    Args:
        clouds: values ``[n, d]`` and ``[n]`` bool, which of them are points; one or two of them.
            What is subtracted for the largest is the mean of the first.
        axis: of the mesh, where points are spread.
    """

    def power_for(centre: jax.Array, power: jax.Array) -> jax.Array:
        largest = [
            jnp.max(jnp.where(mask[:, None], jnp.abs(scaled(values, power) - centre), 0))
            for values, mask in clouds
        ]
        return -jnp.frexp(largest_of(jnp.max(jnp.stack(largest)), axis))[1]

    def scaled(values: jax.Array, power: jax.Array) -> jax.Array:
        return times_powers(values, jnp.broadcast_to(power, values.shape[:1]))

    # First to the range of float32 whatever the points are, then by what they differ in.
    power = power_for(jnp.float32(0), jnp.int32(0))
    values, mask = clouds[0]
    power = power + power_for(_mean(scaled(values, power), mask, axis), power)
    return [
        Scaled(
            values,
            jnp.broadcast_to(power, mask.shape),
            jnp.ones(mask.shape, jnp.float32),
            jnp.zeros(mask.shape, jnp.float32),
        )
        for values, mask in clouds
    ]


def mean_unit(points: Scaled, present: jax.Array, *, axis: str | None = None) -> jax.Array:
    """Mean ``[d]`` float32 of the unit rows that are present, ``[n]`` bool."""
    return _mean(points.units(), present, axis)


def _mean(rows: jax.Array, present: jax.Array, axis: str | None) -> jax.Array:
    total = total_of(jnp.sum(jnp.where(present[:, None], rows, 0), axis=0), axis)
    return total / jnp.maximum(total_of(jnp.sum(present, dtype=jnp.float32), axis), 1)


class Centred(NamedTuple):
    """Unit rows less a mean, as float32 has them.

    Attributes:
        values: ``[n, d]`` float32.
        least: ``[n]`` float32, no more than their lengths.
        most: ``[n]`` float32, no less.
        drift: ``[n]`` float32, how far the values can lie from what they stand for.
    """

    values: jax.Array
    least: jax.Array
    most: jax.Array
    drift: jax.Array


def centre(points: Scaled, mean: jax.Array) -> Centred:
    """Unit rows less a mean ``[d]`` float32, with what rounding has done to them."""
    values = points.units() - mean
    length = jnp.sqrt(jnp.sum(values * values, axis=1))
    # Sums in any order, and the root.
    share = np.float32(sum_error(values.shape[1]))
    offset = jnp.sqrt(jnp.sum(mean * mean)) * (1 + share)
    most = length * (1 + share)
    drift = np.float32(2 * _UNIT_ERROR) * (most + offset)
    return Centred(values, jnp.maximum(length * (1 - share) - drift, 0), most + drift, drift)


def sum_error(features: int) -> float:
    """Relative error of a sum of so many squares in float32, in whatever order."""
    return (features + 16) * 2.0**-24


def total_of(values: jax.Array, axis: str | None) -> jax.Array:
    """Sum over the devices of a mesh, or of one."""
    return values if axis is None else jax.lax.psum(values, axis)


def largest_of(values: jax.Array, axis: str | None) -> jax.Array:
    """Maximum over the devices of a mesh, or of one."""
    return values if axis is None else jax.lax.pmax(values, axis)
