"""Both spectra of a cloud against LAPACK's singular values in float64."""

from __future__ import annotations

import jax
import numpy as np
import pytest
from scipy.linalg import eigvalsh_tridiagonal

from mgm_jax.training.spectra import spectra
from mgm_jax.training.tridiagonal import by_reflections


@pytest.mark.slow
@pytest.mark.parametrize(("offset", "decay"), [(0, 0.0), (0, 0.1), (10, 0.1), (1e4, 0.0)], ids=str)
@pytest.mark.parametrize("shape", [(240, 64), (48, 64)], ids=str)
def test_eigenvalues_are_those_of_lapack(
    shape: tuple[int, int], offset: float, decay: float
) -> None:
    random = np.random.default_rng(1)
    x = random.normal(size=shape) * np.exp(-decay * np.arange(shape[1]))
    x = (x + offset * random.normal(size=shape[1])).astype(np.float32)
    result = jax.jit(spectra)(x)
    wide = x.astype(np.float64)
    centred = np.linalg.svd(wide - wide.mean(axis=0), compute_uv=False)
    plain = np.linalg.svd(wide, compute_uv=False)
    # Rounding is relative to the spread, whatever the offset: of float32, in squares, through a
    # product and the reflections; and bisection leaves 1e-3.
    floor = 1e-5 * centred[0] ** 2 + 1e-12 * plain[0] ** 2
    np.testing.assert_allclose(result.scatter, centred**2, rtol=1e-3, atol=floor)
    np.testing.assert_allclose(result.squares, plain**2, rtol=1e-3, atol=floor)


@pytest.mark.parametrize("scale", [1e-18, 1.0, 1e15], ids=str)
@pytest.mark.parametrize("rank", [3, 40], ids=str)
def test_reflections_of_tpus_give_the_eigenvalues_and_leave_the_first_vector(
    rank: int, scale: float
) -> None:
    random = np.random.default_rng(2)
    x = random.normal(size=(rank, 40)).astype(np.float32)
    matrix = (x.T @ x) * np.float32(scale)
    # All rows of zeros but the first: no reflection, and nothing to divide by.
    for one in (matrix, np.diag(np.eye(40)[0] * scale).astype(np.float32)):
        diagonal, side = map(np.asarray, jax.jit(by_reflections)(one))
        result = eigvalsh_tridiagonal(diagonal.astype(float), side.astype(float))
        whole = np.linalg.eigvalsh(one.astype(float))
        np.testing.assert_allclose(result, whole, rtol=0, atol=1e-5 * whole.max())
        assert diagonal[0] == one[0, 0]
