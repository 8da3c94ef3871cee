"""The exponential function in pairs of float32."""

from __future__ import annotations

import math

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from mgm_jax.geometry.backend import pairs
from mgm_jax.geometry.backend.pairs import Pair

# exp(x) = 2^n (1 + y)^(2^h), y = exp(r / 2^h) - 1 by its series, with |r| at most log(2) / 2.
_HALVINGS = 6
_TERMS = 7
# Below this a kernel value is nothing: 2^-100.
_MIN_EXPONENT = -69.0


def exp(x: Pair) -> Pair:
    """``e^x`` of numbers of at most 0, to 2^-44 of itself; 0 below e^-69.

    >>> abs(pairs.join_float64(exp(pairs.split_float64(-1.0))).item() * math.e - 1) < 1e-13
    True
    """
    inside = x.high > _MIN_EXPONENT
    x = pairs.where(inside, x, pairs.ZERO)
    n = jnp.round(x.high * np.float32(1 / math.log(2)))
    log2 = pairs.split_float64(math.log(2))
    whole = pairs.multiply(pairs.from_float32(n), _like(log2, n))
    r = pairs.scale(pairs.subtract(x, whole), np.float32(2.0**-_HALVINGS))
    # y = r (1 + r/2 (1 + r/3 (...)))
    one = pairs.constant(1, n)
    # Loops, not chains: a compiler that repeats what it needs twice would never end with these.
    shares = Pair(*map(jnp.asarray, pairs.split_float64(1 / np.arange(_TERMS, 1, -1))))

    def term(index: jax.Array, series: Pair) -> Pair:
        share = shares.map(lambda part: jnp.broadcast_to(part[index], r.shape))
        return pairs.add(one, pairs.multiply(pairs.multiply(r, share), series))

    def square(_: int, y: Pair) -> Pair:
        # (1 + y)^2 - 1 = y (2 + y) keeps the digits of y while it is small.
        return pairs.add(pairs.scale(y, 2), pairs.multiply(y, y))

    y = pairs.multiply(r, lax.fori_loop(0, _TERMS - 1, term, one))
    y = lax.fori_loop(0, _HALVINGS, square, y)
    power = pairs.add(one, y)
    # 2^n in two steps, each within the range of float32.
    half = jnp.floor(n / 2)
    power = pairs.scale(pairs.scale(power, _power_of_two(half)), _power_of_two(n - half))
    return pairs.where(inside, power, pairs.ZERO)


def _power_of_two(n: jax.Array) -> jax.Array:
    bits = (n.astype(jnp.int32) + 127) << 23
    return lax.bitcast_convert_type(bits, jnp.float32)


def _like(number: Pair, like: jax.Array) -> Pair:
    """Show a number of the host to the compiler as one that it does not know."""
    return Pair(*(pairs.constant(float(part), like).high for part in number))
