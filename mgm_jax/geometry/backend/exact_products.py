"""Gram matrices in two or three float32 a number, from exact products of matrix units.

Vectors are cut into digits of seven bits, whose products and sums of a few thousand of them fit
the 24 bits of a float32 sum: matrix units multiply them without any rounding. The digits of one
Gram matrix take 16 products of matrices, of which all are of small integers.

Reference:
    K. Ozaki, T. Ogita, S. Oishi and S. M. Rump, "Error-free transformations of matrix
    multiplication by using fast routines of matrix multiplication and its applications", 2012.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from mgm_jax.geometry.backend import pairs
from mgm_jax.geometry.backend.pairs import Pair, two_sum

# Digits of 7 bits, from -64 to 64: 48 bits below the largest entry, 55 for what is to be as good as
# float64.
_DIGITS, _FULL_DIGITS = 7, 8

MAX_TERMS = 4096
"""Sums of so many products of two digits fit 24 bits."""


def gram_in_pairs(vectors: Pair) -> Pair:
    """Products of all vectors of each set with each other, ``V V'``.

    Args:
        vectors: pairs ``[..., m, d]``, their entries between 2^-60 and 2^60 or 0.

    Returns:
        Pairs ``[..., m, m]``, symmetric; rounding is about ``2^-45 sqrt(d) max |v|^2``, with the
        largest entry of the set.

    Example:
        >>> gram = gram_in_pairs(pairs.from_float32(jnp.array([[3.0, 4.0]])))
        >>> pairs.join_float64(gram).tolist()
        [[25.0]]
    """
    largest = jnp.max(jnp.abs(vectors.high), axis=(-2, -1), keepdims=True)
    unit, inverse = _power_above(largest)
    rest = pairs.scale(vectors, inverse)
    d = vectors.shape[-1]
    chunks = -(-d // MAX_TERMS)
    size = -(-d // chunks)
    more = [(0, 0)] * (rest.high.ndim - 1) + [(0, chunks * size - d)]
    rest = rest.map(jnp.pad, more)
    if chunks == 1:
        gram = _gram_of_digits(rest)
    else:
        parts = rest.map(lambda part: _chunked(part, chunks))
        first = Pair(*(jnp.zeros((*p.shape[1:-1], p.shape[-2]), jnp.float32) for p in parts))
        gram, _ = lax.scan(
            lambda total, part: (pairs.add(total, _gram_of_digits(Pair(*part))), None),
            first,
            tuple(parts),
        )
    return pairs.scale(gram, unit**2)


def _chunked(values: jax.Array, chunks: int) -> jax.Array:
    cut = values.reshape(*values.shape[:-1], chunks, values.shape[-1] // chunks)
    return jnp.moveaxis(cut, -2, 0)


def column_products(columns: Pair) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Products of all columns with each other, ``A'A``, as good as in float64.

    Args:
        columns: pairs ``[m, d]`` below 1, m at most :data:`MAX_TERMS`.

    Returns:
        Three float32 ``[d, d]`` that add up to the products; rounding is about ``2^-52 m``.

    Example:
        >>> column = pairs.from_float32(jnp.array([[0.75], [0.5]]))
        >>> sum(part.item() for part in column_products(column))
        0.8125
    """
    digits = _digits_of(columns.map(jnp.transpose), _FULL_DIGITS)
    high, middle = _products_of_order(digits, 0)
    low = jnp.zeros_like(high)
    for order in range(1, _FULL_DIGITS):
        part = _products_of_order(digits, order)
        (high, carried), (middle, lost) = two_sum(high, part.high), two_sum(middle, part.low)
        middle, more = two_sum(middle, carried)
        low += lost + more
    return high, middle, low


def _gram_of_digits(rest: Pair) -> Pair:
    """Gram matrices of vectors whose entries are below 1."""
    digits = _digits_of(rest, _DIGITS)
    total = None
    for order in reversed(range(_DIGITS)):
        part = _products_of_order(digits, order)
        total = part if total is None else pairs.add(total, part)
    assert total is not None
    return total


def _digits_of(rest: Pair, count: int) -> list[jax.Array]:
    """Whole numbers from -64 to 64, of decreasing weight, of numbers below 1."""
    digits = []
    for index in range(count):
        base = np.float32(64 if index == 0 else 128)
        moved = pairs.scale(rest, base)
        digit = jnp.round(moved.high)
        digits.append(digit.astype(jnp.bfloat16))
        rest = pairs.quick_two_sum(moved.high - digit, moved.low)
    return digits


def _products_of_order(digits: list[jax.Array], order: int) -> Pair:
    """What digits whose places add up to ``order`` contribute to the Gram matrices, exact."""
    whole = jnp.zeros((), jnp.int32)
    for low in range(order // 2 + 1):
        product = _product(digits[low], digits[order - low])
        whole += product if 2 * low == order else product + jnp.swapaxes(product, -1, -2)
    return pairs.scale(pairs.from_int32(whole), np.float32(2.0 ** (-12 - 7 * order)))


def _product(a: jax.Array, b: jax.Array) -> jax.Array:
    """``A B'`` of matrices of digits, exact, int32."""
    product = jnp.einsum("...md,...nd->...mn", a, b, preferred_element_type=jnp.float32)
    return product.astype(jnp.int32)


def _power_above(largest: jax.Array) -> tuple[jax.Array, jax.Array]:
    """A power of two above positive numbers, and its inverse."""
    exponent = (lax.bitcast_convert_type(largest, jnp.int32) >> 23) + 1
    exponent = jnp.clip(exponent, 127 - 60, 127 + 60)
    power, inverse = exponent << 23, (254 - exponent) << 23
    return (
        lax.bitcast_convert_type(power, jnp.float32),
        lax.bitcast_convert_type(inverse, jnp.float32),
    )
