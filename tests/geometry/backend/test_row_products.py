"""Products of rows in strips against NumPy's own, whatever processor this is."""

from __future__ import annotations

import numpy as np
import pytest

from mgm_jax.geometry.backend import row_products as module


@pytest.mark.parametrize("strips", [False, True])
@pytest.mark.parametrize(("count", "length"), [(3, 5), (8, 20), (21, 40), (50, 4000)])
def test_products_are_those_of_numpy(count, length, strips, monkeypatch):
    monkeypatch.setattr(module, "_copies_little", lambda: strips)
    assert (module.strip_height(count, length) > 0) == (strips and count > 4)
    rows = np.random.default_rng(count).normal(size=(2, count, length))
    result = module.row_products(rows, np.empty((2, count, count)))
    np.testing.assert_allclose(result, np.einsum("gik,gjk->gij", rows, rows), atol=1e-12 * length)
    np.testing.assert_array_equal(result, result.transpose(0, 2, 1))
