"""Rotation, affine map and elastic deformation against torchvision."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mgm_jax.images.transforms import affine, centre_crop, elastic, rotate
from mgm_jax.images.transforms.warp import affine_matrix

turn = jax.jit(rotate, static_argnames="size")
map_affine = jax.jit(affine, static_argnames="size")
deform = jax.jit(elastic, static_argnames="size")


def bilinear():
    from torchvision.transforms import InterpolationMode

    return InterpolationMode.BILINEAR


@pytest.mark.parametrize("degrees", [0.0, 17.0, -90.0, 133.3, 180.0])
def test_rotate_equals_torchvision(picture, oracle, degrees):
    theirs = oracle("rotate", picture, degrees, interpolation=bilinear())
    np.testing.assert_allclose(turn(picture, degrees=degrees), theirs, atol=1e-4)


@pytest.mark.parametrize(
    ("degrees", "translate", "scale", "shear"),
    [
        (0.0, (3.0, -5.0), 1.0, (0.0, 0.0)),
        (0.0, (0.0, 0.0), 0.6, (0.0, 0.0)),
        (0.0, (0.0, 0.0), 1.7, (0.0, 0.0)),
        (0.0, (0.0, 0.0), 1.0, (25.0, 0.0)),
        (0.0, (0.0, 0.0), 1.0, (0.0, -30.0)),
        (35.0, (4.0, 2.0), 1.3, (10.0, -15.0)),
    ],
)
def test_affine_equals_torchvision(picture, oracle, degrees, translate, scale, shear):
    theirs = oracle(
        "affine", picture, degrees, translate, scale, list(shear), interpolation=bilinear()
    )
    ours = map_affine(picture, degrees=degrees, translate=translate, scale=scale, shear=shear)
    np.testing.assert_allclose(ours, theirs, atol=2e-4)


def test_elastic_equals_torchvision(picture, oracle):
    torch = pytest.importorskip("torch")
    displacement = np.random.default_rng(0).normal(0, 2, (40, 40, 2)).astype(np.float32)
    theirs = oracle(
        "elastic",
        picture,
        displacement=torch.from_numpy(displacement / 20)[None],
        interpolation=bilinear(),
    )
    ours = deform(picture, displacement=displacement)
    np.testing.assert_allclose(ours, theirs, atol=1e-4)


def test_the_matrix_of_a_rotation_keeps_lengths_and_area():
    a, b, c, d = affine_matrix(degrees=40.0, scale=1.0, shear_x=0.0, shear_y=0.0)
    matrix = np.array([[a, b], [c, d]])
    np.testing.assert_allclose(matrix @ matrix.T, np.eye(2), atol=1e-6)


def test_no_change_of_a_larger_image_is_its_centre_crop(picture):
    """Also where the margin is odd, so that no pixel is blurred by half a step."""
    image = jnp.asarray(picture)
    for size in (40, 33):
        np.testing.assert_allclose(
            map_affine(image, size=size), centre_crop(picture, size=size), atol=1e-6
        )
        still = jnp.zeros((size, size, 2))
        np.testing.assert_allclose(
            deform(image, displacement=still, size=size),
            centre_crop(picture, size=size),
            atol=1e-6,
        )


def test_the_margin_comes_in_and_beyond_it_is_black():
    white = jnp.ones((40, 40, 3))
    assert float(turn(white, degrees=45.0, size=24).min()) > 0.99
    corners = turn(white, degrees=45.0)[jnp.array([0, 0, -1, -1]), jnp.array([0, -1, 0, -1])]
    assert float(corners.max()) == 0.0
