"""Numbers as unevaluated sums of two float32: some 48 bits where float64 is emulated or slow.

``x = high + low`` with ``|low|`` at most half a unit in the last place of ``high``: what rounding
takes from the first number is the second. TPUs emulate float64 by general rules, and most GPUs for
graphics run it at a sixty-fourth of the speed of float32; these few operations are plain float32
arithmetic that any compiler keeps in registers, in Pallas kernels too.

Compilers contract ``a * b + c`` to one rounding where they may, which spoils the textbook product,
whose error term needs the product as it was rounded. Here every product is one of two halves of 12
bits, exact, so that contracting it changes nothing. XLA does not reassociate sums, but for one
case: ``(x + 1) - 1`` becomes ``x`` where it knows the 1. Numbers that it could know come from
:func:`constant`.

Values should keep away from the ends of the range: below 2^-100 the low parts get lost, which
accelerators flush to zero, and beyond 2^126 sums overflow.

Reference:
    T. J. Dekker, "A floating-point technique for extending the available precision", 1971.
    Y. Hida, X. S. Li and D. H. Bailey, "Algorithms for quad-double precision floating point
    arithmetic", 2001, for the operations on pairs.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

EPSILON = 2.0**-46
"""Relative rounding of one operation on pairs, with room; relative to the parts of a sum that
do not cancel."""

# The upper half of the significand, sign and exponent.
_UPPER = np.int32(-4096)


class Pair(NamedTuple):
    """Numbers ``high + low``: two float32 arrays of one shape.

    JAX arrays within compiled code; NumPy arrays on the host.
    """

    high: Any
    low: Any

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the numbers."""
        return self.high.shape

    def map(self, function: Any, *arguments: Any, **options: Any) -> Pair:
        """Apply what moves numbers about (reshape, gather, transpose) to both parts."""
        return Pair(*(function(part, *arguments, **options) for part in self))

    def __getitem__(self, index: Any) -> Pair:
        """Take the same part of both."""
        return Pair(self.high[index], self.low[index])


ZERO = Pair(np.float32(0), np.float32(0))
"""Zero, to choose by :func:`where`."""


def split_float64(values: Any) -> Pair:
    """Pairs nearest to numbers of any real type, on the host.

    >>> abs(join_float64(split_float64(1 / 3)).item() * 3 - 1) < 1e-14
    True
    """
    wide = np.asarray(values, np.float64)
    with np.errstate(invalid="ignore", over="ignore"):
        high = wide.astype(np.float32)
        return Pair(high, (wide - high).astype(np.float32))


def join_float64(pair: Pair) -> Any:
    """Pairs as float64 on the host, without any rounding worth the name."""
    return np.asarray(pair.high, np.float64) + np.asarray(pair.low, np.float64)


def from_float32(values: jax.Array) -> Pair:
    """Pairs of float32 numbers, exact; not for what the compiler knows (see :func:`constant`)."""
    return Pair(values, jnp.zeros_like(values))


def constant(value: float, like: jax.Array) -> Pair:
    """Pairs of one float32 number in the shape of an array, which the compiler does not know.

    >>> tiny = jnp.full(1, 2.0**-40, jnp.float32)
    >>> float(jax.jit(lambda x: add(constant(1, x), from_float32(x)).low[0])(tiny)) == 2.0**-40
    True
    """
    # Only a NaN differs from itself, and of those there are none here.
    known = jnp.where(like == like, np.float32(value), np.float32(0))
    return Pair(known, jnp.zeros_like(known))


def from_int32(values: jax.Array) -> Pair:
    """Pairs of int32 numbers, exact.

    >>> join_float64(from_int32(jnp.array(2**31 - 1))).item()
    2147483647.0
    """
    upper = values & np.int32(-65536)
    return quick_two_sum(upper.astype(jnp.float32), (values - upper).astype(jnp.float32))


def two_sum(a: jax.Array, b: jax.Array) -> Pair:
    """``a + b`` of float32 numbers, exact (Knuth).

    >>> two_sum(jnp.float32(1), jnp.float32(2**-40)).low.item() == 2**-40
    True
    """
    total = a + b
    of_b = total - a
    return Pair(total, (a - (total - of_b)) + (b - of_b))


def two_product(a: jax.Array, b: jax.Array) -> Pair:
    """``a * b`` of float32 numbers to 2^-46 of it; exact products whatever the compiler contracts.

    >>> third = jnp.float32(1 / 3)
    >>> join_float64(two_product(third, third)).item() == float(third) ** 2
    True
    """
    (a, rest_a), (b, rest_b) = halves(a), halves(b)
    middle, lost = two_sum(a * rest_b, rest_a * b)
    total, low = two_sum(a * b, middle)
    return quick_two_sum(total, low + (lost + rest_a * rest_b))


def halves(values: jax.Array) -> Pair:
    """Float32 numbers as sums of two of 12 bits each, exact."""
    bits = lax.bitcast_convert_type(values, jnp.int32) & _UPPER
    upper = lax.bitcast_convert_type(bits, jnp.float32)
    return Pair(upper, values - upper)


def add(x: Pair, y: Pair) -> Pair:
    """``x + y``, with a relative error of about 2^-47 also where most of it cancels."""
    total, low = two_sum(x.high, y.high)
    lows, lost = two_sum(x.low, y.low)
    total, low = quick_two_sum(total, low + lows)
    return quick_two_sum(total, low + lost)


def subtract(x: Pair, y: Pair) -> Pair:
    """``x - y``."""
    return add(x, negative(y))


def negative(x: Pair) -> Pair:
    """``-x``, exact."""
    return Pair(-x.high, -x.low)


def absolute(x: Pair) -> Pair:
    """``|x|``, exact."""
    return where(x.high < 0, negative(x), x)


def multiply(x: Pair, y: Pair) -> Pair:
    """``x * y``."""
    product, low = two_product(x.high, y.high)
    return quick_two_sum(product, low + (x.high * y.low + x.low * y.high))


def scale(x: Pair, power_of_two: Any) -> Pair:
    """``x`` times a power of two, exact within the range of float32."""
    return Pair(x.high * power_of_two, x.low * power_of_two)


def divide(x: Pair, y: Pair) -> Pair:
    """``x / y``; no division needs to be rounded correctly, as some accelerators' is not."""
    first = x.high / y.high
    rest = subtract(x, multiply(from_float32(first), y))
    second = rest.high / y.high
    rest = subtract(rest, multiply(from_float32(second), y))
    third = rest.high / y.high
    return add(quick_two_sum(first, second), from_float32(third))


def square_root(x: Pair) -> Pair:
    """Square root of numbers of at least 0.

    >>> abs(join_float64(square_root(from_float32(jnp.float32(2)))).item() - 2**0.5) < 1e-14
    True
    """
    safe = where(x.high > 0, x, Pair(np.float32(1), np.float32(0)))
    guess = from_float32(jnp.sqrt(safe.high))
    # One Newton step doubles the digits, a second makes up for a root that is not rounded well.
    for _ in range(2):
        rest = subtract(safe, multiply(guess, guess))
        guess = add(guess, from_float32(rest.high / (2 * guess.high)))
    return where(x.high > 0, guess, ZERO)


def where(condition: jax.Array, x: Pair, y: Pair) -> Pair:
    """Choose between pairs, entry by entry."""
    return Pair(jnp.where(condition, x.high, y.high), jnp.where(condition, x.low, y.low))


def less(x: Pair, y: Pair) -> jax.Array:
    """Whether ``x < y``, both normalised as all results here are."""
    return (x.high < y.high) | ((x.high == y.high) & (x.low < y.low))


def total(x: Pair, axis: int | Sequence[int]) -> Pair:
    """Sum along axes; rounding grows with the number of terms at worst, 2^-47 of them each."""
    zero = np.zeros((), np.float32)
    axes = (axis,) if isinstance(axis, int) else tuple(axis)
    axes = tuple(one % x.high.ndim for one in axes)

    def combine(left: Any, right: Any) -> Any:
        return tuple(add(Pair(*left), Pair(*right)))

    return Pair(*lax.reduce(tuple(x), (zero, zero), combine, axes))


def quick_two_sum(a: jax.Array, b: jax.Array) -> Pair:
    """``a + b``, exact where ``|a| >= |b|`` or a is 0."""
    whole = a + b
    return Pair(whole, b - (whole - a))
