"""Winograd's form of a convolution, against the sum written out in float64."""

from __future__ import annotations

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from numpy.lib.stride_tricks import sliding_window_view

from mgm_jax.encoders.networks.layers.winograd import winograd


def by_hand(x: np.ndarray, kernel: np.ndarray, pads: tuple[tuple[int, int], ...]) -> np.ndarray:
    padded = np.pad(x.astype(np.float64), ((0, 0), *pads, (0, 0)))
    windows = sliding_window_view(padded, (3, 3), axis=(1, 2))  # [b, h, w, c, 3, 3]
    return np.einsum("bhwcij,ijco->bhwo", windows, kernel.astype(np.float64))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("height", "width", "pads"),
    [
        (2, 3, ((0, 1), (1, 1))),
        (3, 2, ((1, 1), (2, 2))),
        (4, 9, ((2, 1), (0, 1))),
        (7, 4, ((0, 1), (1, 2))),
        (8, 8, ((1, 1), (0, 2))),
        (9, 5, ((2, 2), (2, 1))),
    ],
)
def test_any_side_and_padding(height: int, width: int, pads):
    generator = np.random.default_rng(height)
    x = generator.normal(size=(2, height, width, 5)).astype(np.float32)
    kernel = generator.normal(size=(3, 3, 5, 4)).astype(np.float32)
    expected = by_hand(x, kernel, pads)
    # One program instead of one an operation.
    result = np.asarray(jax.jit(partial(winograd, pads=pads))(x, kernel))
    assert result.shape == expected.shape
    np.testing.assert_allclose(result, expected, atol=1e-5 * np.abs(expected).max(), rtol=0)


def test_many_channels_lose_a_few_roundings_only():
    generator = np.random.default_rng(0)
    x = np.maximum(generator.normal(size=(1, 14, 14, 512)), 0).astype(np.float32)
    kernel = (generator.normal(size=(3, 3, 512, 64)) / np.sqrt(9 * 512)).astype(np.float32)
    pads = ((1, 1), (1, 1))
    expected = by_hand(x, kernel, pads)
    found = np.asarray(winograd(jnp.asarray(x), jnp.asarray(kernel), pads=pads))
    assert np.abs(found - expected).max() < 1e-5 * np.abs(expected).max()


def test_bfloat16_comes_back_as_such_with_sums_in_float32():
    generator = np.random.default_rng(0)
    x = jnp.asarray(generator.normal(size=(1, 6, 6, 64)), jnp.bfloat16)
    kernel = jnp.asarray(generator.normal(size=(3, 3, 64, 8)) / 24, jnp.bfloat16)
    pads = ((1, 1), (1, 1))
    found = winograd(x, kernel, pads=pads)
    assert found.dtype == jnp.bfloat16
    expected = by_hand(np.asarray(x, np.float32), np.asarray(kernel, np.float32), pads)
    assert np.abs(np.asarray(found, np.float64) - expected).max() == pytest.approx(
        0, abs=2.0**-8 * np.abs(expected).max()
    )
