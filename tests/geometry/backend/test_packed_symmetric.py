"""Packed symmetric matrices against the matrices themselves."""

from __future__ import annotations

import numpy as np
import pytest

from mgm_jax.geometry.backend.packed_symmetric import (
    add_to_diagonal,
    packed_products,
    packed_size,
    packed_sums,
)


@pytest.mark.parametrize("r", [1, 3, 7, 12 + 1])
def test_products_are_those_of_the_matrices(r):
    random = np.random.default_rng(r)
    left, extra = random.normal(size=(6, 4, r)), random.normal(size=(6, r))
    weight = random.normal(size=(6, 4, 4))
    weight += weight.transpose(0, 2, 1)
    packed = packed_sums(left, weight @ left, np.empty((6, packed_size(r))))
    add_to_diagonal(packed, extra)
    whole = left.transpose(0, 2, 1) @ weight @ left + extra[:, None] * np.eye(r)
    expected = np.einsum("gaij,gbij->gab", *[whole.reshape(2, 3, r, r)] * 2)
    result = packed_products(packed.reshape(2, 3, -1))
    np.testing.assert_allclose(result, expected, rtol=1e-13, atol=1e-12)
    assert packed.shape[1] == r * (r + 1) // 2
