"""Blur and sharpness against torchvision."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mgm_jax.images.transforms import adjust_sharpness, gaussian_blur, reflected_gaussian

blur = jax.jit(gaussian_blur, static_argnames="kernel_size")


@pytest.mark.parametrize(("sigma", "kernel_size"), [(0.1, 9), (0.8, 3), (2.0, 9), (5.0, 23)])
def test_blur_equals_torchvision(picture, oracle, sigma, kernel_size):
    np.testing.assert_allclose(
        blur(picture, sigma=sigma, kernel_size=kernel_size),
        oracle("gaussian_blur", picture, [kernel_size, kernel_size], [sigma, sigma]),
        atol=1e-5,
    )


def test_the_widest_filter_equals_a_long_kernel(picture, oracle):
    np.testing.assert_allclose(
        blur(picture, sigma=2.0),
        oracle("gaussian_blur", picture, [31, 31], [2.0, 2.0]),
        atol=1e-5,
    )


def test_no_blur_changes_no_bit(picture):
    np.testing.assert_array_equal(blur(picture, sigma=0.0), picture)


def test_blur_has_the_width_it_was_asked_for():
    row = np.asarray(reflected_gaussian(3.0, pixels=61), np.float64)[30]
    offsets = np.arange(61) - 30
    assert np.sqrt((row * offsets**2).sum()) == pytest.approx(3.0, rel=1e-4)


@pytest.mark.parametrize("factor", [0.0, 0.5, 1.0, 3.0])
def test_sharpness_equals_torchvision(picture, oracle, factor):
    np.testing.assert_allclose(
        jax.jit(adjust_sharpness)(picture, factor=factor),
        oracle("adjust_sharpness", picture, factor),
        atol=1e-5,
    )


def test_transforms_keep_to_the_range(picture):
    extreme = jnp.asarray(np.round(picture))
    for image in (adjust_sharpness(extreme, factor=4.0), blur(extreme, sigma=1.5)):
        assert float(image.min()) >= -1e-6
        assert float(image.max()) <= 1 + 1e-6
