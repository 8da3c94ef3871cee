"""The two kinds of random operation, and the checks and draws that they share."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass

import jax
import jax.numpy as jnp

from mgm_jax.errors import InputError

DRAWS = 32


@dataclass(frozen=True, kw_only=True)
class Operation:
    """Configuration of one random change of an image; frozen, hashable, checked when made."""


class CanvasOperation(Operation, ABC):
    """Draws the view out of a larger image, so that the margin of the canvas can come in."""

    @abstractmethod
    def __call__(
        self, key: jax.Array, image: jax.Array, *, strength: jax.Array, size: int
    ) -> jax.Array:
        """View ``[size, size, 3]`` of an image ``[h, h, 3]`` with h at least ``size``."""


class ViewOperation(Operation, ABC):
    """Changes a view and keeps its shape."""

    @abstractmethod
    def __call__(self, key: jax.Array, image: jax.Array, *, strength: jax.Array) -> jax.Array:
        """Changed image of the same shape ``[h, w, 3]``, within [0, 1]."""


def check(operation: Operation, name: str, *, low: float, high: float = math.inf) -> None:
    """Raise unless a field, a number or a pair of rising numbers, lies within [low, high]."""
    value = getattr(operation, name)
    kind = type(operation).__name__
    wanted = f"within [{low:g}, {high:g}]" if high < math.inf else f"of at least {low:g}"
    numbers = value if isinstance(value, tuple) else (value,)
    if any(isinstance(n, bool) or not isinstance(n, int | float) for n in numbers):
        raise InputError(f"{kind}: {name} must be a number {wanted}; got {value!r}.")
    if not all(low <= n <= high and math.isfinite(n) for n in numbers):
        raise InputError(f"{kind}: {name} must be {wanted}; got {value!r}.")


def check_pair(operation: Operation, name: str, *, low: float, high: float = math.inf) -> None:
    """Raise unless a field is a pair ``(from, to)`` with ``low <= from <= to <= high``."""
    value = getattr(operation, name)
    if not isinstance(value, tuple) or len(value) != 2:
        raise InputError(
            f"{type(operation).__name__}: {name} must be two numbers, from and to; got {value!r}."
        )
    check(operation, name, low=low, high=high)
    if value[0] > value[1]:
        raise InputError(
            f"{type(operation).__name__}: {name} must rise from first to second; got {value!r}."
        )


def between(share: jax.Array, low: jax.Array | float, high: jax.Array | float) -> jax.Array:
    """Point of ``[low, high]`` at a share of the way."""
    return low + share * (high - low)


def draw(key: jax.Array) -> jax.Array:
    """Uniform numbers in [0, 1), more than any operation needs, ``[32]``.

    Always as many: XLA's CPU backend compiles a draw of 32 numbers three times faster than one of
    6 or 22, and an operation that comes to need one more leaves the others as they were.
    """
    return jax.random.uniform(key, (DRAWS,))


def up_to_one(strength: jax.Array) -> jax.Array:
    """Strength of what cannot go beyond its full effect."""
    return jnp.minimum(strength, 1.0)
