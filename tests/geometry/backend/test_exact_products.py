"""Gram matrices in pairs against extended precision, with 64-bit types off."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mgm_jax.geometry.backend import pairs
from mgm_jax.geometry.backend.exact_products import column_products, gram_in_pairs
from mgm_jax.geometry.backend.pairs import join_float64, split_float64


@pytest.mark.parametrize(("width", "scale"), [(3, 1.0), (200, 1e-6), (5000, 1e6)])
def test_products_are_those_of_extended_precision(width, scale):
    random = np.random.default_rng(0)
    wide = join_float64(split_float64(scale * random.normal(size=(2, 7, width))))
    got = join_float64(jax.jit(gram_in_pairs)(split_float64(wide)))
    exact = wide.astype(np.longdouble)
    exact = exact @ exact.transpose(0, 2, 1)
    bound = 2.0**-45 * np.abs(wide).max() ** 2 * np.sqrt(width)
    assert np.abs(got - exact).max() <= bound
    np.testing.assert_array_equal(got, got.transpose(0, 2, 1))


def test_integers_have_exact_products():
    x = np.random.default_rng(1).integers(-1000, 1000, (9, 300)).astype(np.float32)
    got = jax.jit(lambda x: gram_in_pairs(pairs.from_float32(x)))(jnp.asarray(x))
    np.testing.assert_array_equal(join_float64(got), x.astype(np.float64) @ x.T)


def test_vectors_of_zeros_have_products_of_zero():
    got = jax.jit(lambda x: gram_in_pairs(pairs.from_float32(x)))(jnp.zeros((2, 3)))
    assert not join_float64(got).any()


def test_products_of_columns_are_as_good_as_in_float64():
    random = np.random.default_rng(2)
    columns = split_float64(random.uniform(-1, 1, (3000, 5)) * [1, 1, 1e-3, 1e-9, 1])
    exact = join_float64(columns).astype(np.longdouble)
    got = sum(np.asarray(part, np.longdouble) for part in jax.jit(column_products)(columns))
    assert np.abs(got - exact.T @ exact).max() <= 3000 * 2.0**-52
    np.testing.assert_array_equal(got, got.T)
