"""Invert, posterize and equalize against torchvision and Pillow."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image, ImageOps

from mgm_jax.images.transforms import equalize, invert, posterize


def test_invert_equals_torchvision(picture, oracle):
    np.testing.assert_allclose(
        invert(jnp.asarray(picture)), oracle("invert", picture), rtol=0, atol=1e-7
    )


@pytest.mark.parametrize("bits", [1, 3, 8])
def test_posterize_equals_torchvision(picture, oracle, bits):
    np.testing.assert_allclose(
        jax.jit(posterize)(picture, levels=2.0**bits),
        oracle("posterize", picture, bits),
        atol=1e-6,
    )


def test_equalize_equals_torchvision(picture, oracle):
    np.testing.assert_allclose(
        jax.jit(equalize)(picture), oracle("equalize", picture), rtol=0, atol=1e-6
    )


def test_equalize_equals_pillow_on_bytes(picture):
    pixels = np.round(picture * 120).astype(np.uint8)
    expected = np.asarray(ImageOps.equalize(Image.fromarray(pixels)))
    ours = np.round(np.asarray(equalize(jnp.asarray(pixels / np.float32(255)))) * 255)
    np.testing.assert_array_equal(ours, expected)


@pytest.mark.parametrize("value", [0, 77, 255])
def test_equalize_leaves_a_flat_image(value):
    flat = jnp.full((20, 20, 3), value / 255.0)
    np.testing.assert_allclose(equalize(flat), flat, atol=1e-6)
