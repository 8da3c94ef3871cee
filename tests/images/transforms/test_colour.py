"""Colour transforms against torchvision."""

from __future__ import annotations

from itertools import permutations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mgm_jax.images.transforms import (
    adjust_brightness,
    adjust_contrast,
    adjust_hue,
    adjust_saturation,
    colour_jitter,
    greyscale,
)

jitter = jax.jit(colour_jitter)


@pytest.mark.parametrize("factor", [0.0, 0.4, 1.0, 1.8])
@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        (adjust_brightness, "adjust_brightness"),
        (adjust_contrast, "adjust_contrast"),
        (adjust_saturation, "adjust_saturation"),
    ],
)
def test_blends_equal_torchvision(picture, oracle, ours, theirs, factor):
    np.testing.assert_allclose(
        jax.jit(ours)(picture, factor=factor), oracle(theirs, picture, factor), atol=1e-5
    )


@pytest.mark.parametrize("shift", [-0.5, -0.13, 0.0, 0.07, 0.5])
def test_hue_equals_torchvision(picture, oracle, shift):
    np.testing.assert_allclose(
        jax.jit(adjust_hue)(picture, shift=shift), oracle("adjust_hue", picture, shift), atol=1e-5
    )


def test_hue_of_pure_colours_and_greys(oracle):
    """Corners of the colour cube, where two channels tie."""
    corners = np.array(np.meshgrid([0, 1], [0, 1], [0, 1]), np.float32).reshape(3, 8).T[None]
    np.testing.assert_allclose(
        adjust_hue(jnp.asarray(corners), shift=0.21), oracle("adjust_hue", corners, 0.21), atol=1e-5
    )


def test_grey_equals_torchvision(picture, oracle):
    np.testing.assert_allclose(
        greyscale(jnp.asarray(picture)),
        oracle("rgb_to_grayscale", picture, num_output_channels=3),
        atol=1e-6,
    )


def test_jitter_in_every_order_equals_torchvision(picture, oracle):
    """Factors that clip, so that the order matters."""
    steps = [
        ("adjust_brightness", 1.6),
        ("adjust_contrast", 1.5),
        ("adjust_saturation", 0.3),
        ("adjust_hue", 0.2),
    ]
    results = []
    for order in permutations(range(4)):
        expected = picture
        for kind in order:
            expected = oracle(steps[kind][0], expected, steps[kind][1])
        ours = jitter(
            picture,
            brightness=1.6,
            contrast=1.5,
            saturation=0.3,
            hue=0.2,
            order=jnp.array(order),
        )
        np.testing.assert_allclose(ours, expected, atol=2e-5)
        results.append(expected)
    assert np.abs(results[0] - results[-1]).max() > 0.05


def test_neutral_jitter_changes_no_bit(picture):
    same = jitter(picture, brightness=1.0, contrast=1.0, saturation=1.0, hue=0.0)
    np.testing.assert_array_equal(same, picture)
