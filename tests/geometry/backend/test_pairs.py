"""Pairs of float32 against float64 and extended precision, compiled, with 64-bit types off."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mgm_jax.geometry.backend import pairs
from mgm_jax.geometry.backend.pairs import EPSILON, Pair, join_float64, split_float64

N = 4096


def _numbers(seed: int, *, positive: bool = False) -> np.ndarray:
    random = np.random.default_rng(seed)
    values = random.normal(size=N) * np.exp(random.normal(0, 8, N))
    return join_float64(split_float64(np.abs(values) if positive else values))


def _call(function: Callable[..., Pair], *wide: np.ndarray) -> np.ndarray:
    assert not jax.config.jax_enable_x64  # pyright: ignore[reportAttributeAccessIssue]
    return join_float64(jax.jit(function)(*map(split_float64, wide)))


@pytest.mark.parametrize(
    ("function", "exact"),
    [
        (pairs.add, np.add),
        (pairs.subtract, np.subtract),
        (pairs.multiply, np.multiply),
        (pairs.divide, np.divide),
    ],
)
def test_operations_have_forty_six_bits_where_float32_has_twenty_four(function, exact):
    x, y = _numbers(0), _numbers(1)
    got = _call(function, x, y)
    expected = exact(x.astype(np.longdouble), y.astype(np.longdouble))
    assert np.max(np.abs(got - expected) / np.abs(expected)) <= EPSILON
    rounded = exact(x.astype(np.float32), y.astype(np.float32))
    assert np.max(np.abs(rounded - expected) / np.abs(expected)) > 1e-8


def test_sums_that_cancel_keep_their_digits():
    x = _numbers(2)
    y = -join_float64(split_float64(x * (1 + 1e-9 * _numbers(3).clip(-9, 9))))
    got, expected = _call(pairs.add, x, y), x + y
    assert np.max(np.abs(got - expected) / np.abs(x)) <= EPSILON**2 * 2**24
    different = expected != 0
    share = np.abs(got - expected)[different] / np.abs(expected)[different]
    assert share.max() <= EPSILON


@settings(max_examples=50, deadline=None)
@given(
    a=st.floats(-(2.0**40), 2.0**40, width=32).filter(lambda v: v == 0 or abs(v) > 2**-40),
    b=st.floats(-(2.0**40), 2.0**40, width=32).filter(lambda v: v == 0 or abs(v) > 2**-40),
)
def test_two_sum_is_exact_and_two_product_to_the_last_bit(a, b):
    total = jax.jit(pairs.two_sum)(jnp.float32(a), jnp.float32(b))
    assert sum(Fraction(float(part)) for part in total) == Fraction(a) + Fraction(b)
    product = jax.jit(pairs.two_product)(jnp.float32(a), jnp.float32(b))
    exact = Fraction(a) * Fraction(b)
    error = abs(sum(Fraction(float(part)) for part in product) - exact)
    assert error <= abs(exact) * Fraction(2) ** -46


def test_a_long_chain_survives_the_compiler_as_a_whole():
    # Products, sums and quotients in one program, where a compiler could fuse and contract them.
    x, y = _numbers(4, positive=True), _numbers(5, positive=True)

    def chain(x: Pair, y: Pair) -> Pair:
        product = pairs.multiply(x, y)
        square = pairs.multiply(pairs.add(x, y), pairs.add(x, y))
        parts = pairs.add(pairs.multiply(x, x), pairs.multiply(y, y))
        return pairs.divide(pairs.subtract(square, parts), product)

    # (x + y)^2 - x^2 - y^2 over x y is 2; where x and y are alike little cancels.
    alike = (x / y < 4) & (y / x < 4)
    np.testing.assert_allclose(_call(chain, x, y)[alike], 2, rtol=40 * EPSILON, atol=0)


def test_square_roots():
    x = _numbers(6, positive=True)
    x[0] = 0
    np.testing.assert_allclose(_call(pairs.square_root, x), np.sqrt(x), rtol=EPSILON)


@pytest.mark.parametrize("axis", [0, 1, (0, 1)])
def test_sums_along_axes(axis):
    x = np.random.default_rng(7).normal(size=(130, 40))
    got = _call(lambda x: pairs.total(x, axis), x)
    wide = join_float64(split_float64(x))
    np.testing.assert_allclose(got, wide.sum(axis=axis), atol=EPSILON * np.abs(x).sum())
    assert np.abs(x.astype(np.float32).sum(axis=axis) - wide.sum(axis=axis)).max() > 1e-7


def test_integers_and_order():
    values = np.array([0, 1, -1, 2**31 - 1, -(2**31), 123456789], np.int32)
    result = join_float64(jax.jit(pairs.from_int32)(values))
    np.testing.assert_array_equal(result, values.astype(np.float64))
    x, y = split_float64(np.array([1.0, 1.0, -1.0])), split_float64(np.array([1 + 1e-12, 1.0, 0]))
    assert jax.jit(pairs.less)(x, y).tolist() == [True, False, True]
