"""Inverses of small triangular matrices against SciPy's substitution."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.linalg import solve_triangular

from mgm_jax.geometry.backend.triangular import inverse_of_lower


@pytest.mark.parametrize("p", [4, 8, 12, 20, 28, 36])
def test_inverses_are_those_of_substitution(p):
    random = np.random.default_rng(p)
    vectors = random.normal(size=(5, p, p + 3)) + 3
    factor = np.linalg.cholesky(vectors @ vectors.transpose(0, 2, 1))
    # What stands above the diagonal does not matter.
    result = inverse_of_lower(factor + np.triu(np.full((p, p), np.nan), 1))
    assert not np.triu(result, 1).any()
    for matrix, inverse in zip(factor, result, strict=True):
        expected = solve_triangular(matrix, np.eye(p), lower=True)
        np.testing.assert_allclose(inverse, expected, atol=1e-13 * np.abs(expected).max())
