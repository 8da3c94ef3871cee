"""Gram matrices in pairs of float32, from exact products of matrix units.

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
from mgm_jax.geometry.backend.pairs import Pair

# Digits of 7 bits, from -64 to 64: 48 bits below the largest entry.
_DIGITS = 7
# Sums of so many products of two digits fit 24 bits.
_TERMS = 4096


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
    chunks = -(-d // _TERMS)
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


def _gram_of_digits(rest: Pair) -> Pair:
    """Gram matrices of vectors whose entries are below 1."""
    digits = []
    for index in range(_DIGITS):
        base = np.float32(64 if index == 0 else 128)
        moved = pairs.scale(rest, base)
        digit = jnp.round(moved.high)
        digits.append(digit.astype(jnp.bfloat16))
        rest = pairs.quick_two_sum(moved.high - digit, moved.low)
    total = None
    for order in reversed(range(_DIGITS)):
        whole = jnp.zeros((), jnp.int32)
        for low in range(order // 2 + 1):
            product = _product(digits[low], digits[order - low])
            whole += product if 2 * low == order else product + jnp.swapaxes(product, -1, -2)
        part = pairs.scale(pairs.from_int32(whole), np.float32(2.0 ** (-12 - 7 * order)))
        total = part if total is None else pairs.add(total, part)
    assert total is not None
    return total


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
