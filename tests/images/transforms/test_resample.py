"""Crops and flips against torchvision and against what they mean."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mgm_jax.images.transforms import centre_crop, flip, resized_crop
from mgm_jax.images.transforms.resample import box_weights, centre_offset

crop = jax.jit(resized_crop, static_argnames="size")
weights_of = jax.jit(box_weights, static_argnames=("pixels", "size"))


@pytest.mark.parametrize(
    ("top", "left", "height", "width"),
    [(0, 0, 40, 40), (3, 7, 30, 20), (10, 0, 25, 40), (12, 30, 5, 9), (39, 39, 1, 1)],
)
def test_resized_crop_equals_torchvision(picture, oracle, top, left, height, width):
    """Enlarged and reduced boxes, at the edges and within."""
    ours = crop(picture, top=top, left=left, height=height, width=width, size=24)
    theirs = oracle(
        "resized_crop", picture, top, left, height, width, size=[24, 24], antialias=True
    )
    np.testing.assert_allclose(ours, theirs, atol=2e-5)


@pytest.mark.parametrize("size", [40, 39, 37, 12])
def test_centre_crop_equals_torchvision(picture, oracle, size):
    np.testing.assert_array_equal(
        centre_crop(jnp.asarray(picture), size=size), oracle("center_crop", picture, [size, size])
    )


def test_flips_equal_torchvision(picture, oracle):
    image = jnp.asarray(picture)
    np.testing.assert_array_equal(flip(image), oracle("horizontal_flip", picture))
    np.testing.assert_array_equal(flip(image, vertical=True), oracle("vertical_flip", picture))


def test_crop_of_the_view_itself_changes_nothing(picture):
    start = centre_offset(40, 31)
    ours = crop(picture, top=start, left=start, height=31, width=31, size=31)
    np.testing.assert_allclose(ours, centre_crop(picture, size=31), atol=1e-6)


@given(
    pixels=st.sampled_from([4, 30]),
    start=st.floats(0, 1),
    length=st.floats(0, 1),
    size=st.sampled_from([5, 16]),
)
@settings(max_examples=20, deadline=None)
def test_weights_are_an_average_inside_of_the_box(pixels, start, length, size):
    """Rows sum to one, nothing is negative, nothing comes from outside of the box."""
    length = 1 + length * (pixels - 1)
    start = start * (pixels - length)
    weights = np.asarray(weights_of(start, length, pixels=pixels, size=size))
    np.testing.assert_allclose(weights.sum(axis=1), 1.0, atol=1e-5)
    assert weights.min() >= 0
    outside = (np.arange(pixels) + 1 < start - 1e-4) | (np.arange(pixels) > start + length + 1e-4)
    assert not weights[:, outside].any()


def test_a_fractional_box_moves_the_view_without_jumps(picture):
    """Over a whole pixel boundary in small steps, no step changes the view by much."""
    view = jax.vmap(
        lambda left: resized_crop(picture, top=2.0, left=left, height=20, width=18.3, size=16)
    )
    views = jax.jit(view)(jnp.linspace(3.9, 4.1, 21))
    assert float(jnp.abs(jnp.diff(views, axis=0)).max()) < 0.02
