"""Both spectra of a cloud against LAPACK's singular values in float64."""

from __future__ import annotations

import jax
import numpy as np
import pytest

from mgm_jax.training.spectra import spectra


@pytest.mark.parametrize(("offset", "decay"), [(0, 0.0), (0, 0.1), (10, 0.1), (1e4, 0.0)], ids=str)
@pytest.mark.parametrize("shape", [(240, 64), (48, 64)], ids=str)
def test_eigenvalues_are_those_of_lapack(
    shape: tuple[int, int], offset: float, decay: float
) -> None:
    random = np.random.default_rng(1)
    x = random.normal(size=shape) * np.exp(-decay * np.arange(shape[1]))
    x = (x + offset * random.normal(size=shape[1])).astype(np.float32)
    found = jax.jit(spectra)(x)
    wide = x.astype(np.float64)
    centred = np.linalg.svd(wide - wide.mean(axis=0), compute_uv=False)
    plain = np.linalg.svd(wide, compute_uv=False)
    # Rounding is relative to the spread, whatever the offset: of float32, in squares, through a
    # product and the reflections; and bisection leaves 1e-3.
    floor = 1e-5 * centred[0] ** 2 + 1e-12 * plain[0] ** 2
    np.testing.assert_allclose(found.scatter, centred**2, rtol=1e-3, atol=floor)
    np.testing.assert_allclose(found.squares, plain**2, rtol=1e-3, atol=floor)
