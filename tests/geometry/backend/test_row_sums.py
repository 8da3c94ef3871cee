"""Sums of rows against extended precision."""

from __future__ import annotations

import math

import jax.numpy as jnp
import numpy as np
import pytest

from mgm_jax.geometry.backend.precision import double_precision
from mgm_jax.geometry.backend.row_sums import row_sums


@pytest.mark.parametrize("features", [1, 7, 8, 9, 64, 1001])
@pytest.mark.parametrize("rows", [1, 5, 64])
def test_rows_add_up(rows: int, features: int) -> None:
    values = np.random.default_rng(features).lognormal(size=(rows, features))
    with double_precision():
        result = np.asarray(row_sums(jnp.asarray(values)))
    expected = [math.fsum(row) for row in values.tolist()]
    assert result.dtype == np.float64
    np.testing.assert_allclose(result, expected, rtol=features * 2.0**-53)


def test_equal_rows_have_equal_sums_wherever_they_are() -> None:
    row = np.random.default_rng(0).normal(size=771)
    with double_precision():
        result = np.asarray(row_sums(jnp.asarray(np.tile(row, (67, 1)))))
    assert (result == result[0]).all()
