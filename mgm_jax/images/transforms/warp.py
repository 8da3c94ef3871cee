"""Rotation, affine map and elastic deformation: every pixel of the view looks up a point.

A view is the window of ``size`` pixels in the middle of the image; a map is applied about the
middle of that window. Points between pixels are bilinear, points outside of the image are black.
Where the image is larger than the window, its margin comes into view instead of black corners.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from mgm_jax.images.transforms.resample import centre_offset


def look_up(image: jax.Array, *, x: jax.Array, y: jax.Array) -> jax.Array:
    """Bilinear values of an image at points, zero outside of it.

    Args:
        image: ``[h, w, c]``.
        x, y: positions ``[...]`` along the columns and rows; whole numbers are pixel centres.

    Returns:
        ``[..., c]``.

    >>> look_up(jnp.array([[[0.0], [1.0]]]), x=jnp.array([0.5]), y=jnp.array([0.0]))[0, 0].item()
    0.5
    """
    height, width, channels = image.shape
    pixels = image.reshape(height * width, channels)
    x_floor, y_floor = jnp.floor(x), jnp.floor(y)
    total = jnp.zeros((*x.shape, channels), image.dtype)
    for corner_y in (y_floor, y_floor + 1.0):
        for corner_x in (x_floor, x_floor + 1.0):
            inside = (corner_x >= 0) & (corner_x < width) & (corner_y >= 0) & (corner_y < height)
            weight = (1.0 - jnp.abs(x - corner_x)) * (1.0 - jnp.abs(y - corner_y))
            row = jnp.clip(corner_y, 0, height - 1).astype(jnp.int32)
            column = jnp.clip(corner_x, 0, width - 1).astype(jnp.int32)
            # All channels of a pixel lie side by side: one look-up fetches the three of them.
            fetched = pixels.at[row * width + column].get(mode="promise_in_bounds")
            total += jnp.where(inside, weight, 0.0)[..., None] * fetched
    return total


def _window(image: jax.Array, size: int) -> tuple[jax.Array, jax.Array, float, float]:
    """Coordinates of the view's pixels about its middle, and the middle in image pixels."""
    about = jnp.arange(size, dtype=jnp.float32) - (size - 1) / 2
    centre_y = centre_offset(image.shape[0], size) + (size - 1) / 2
    centre_x = centre_offset(image.shape[1], size) + (size - 1) / 2
    return about[None, :], about[:, None], centre_x, centre_y


def affine_matrix(
    *, degrees: ArrayLike, scale: ArrayLike, shear_x: ArrayLike, shear_y: ArrayLike
) -> tuple[jax.Array, jax.Array, jax.Array, jax.Array]:
    """Two by two matrix of scale, then shear along x, shear along y, and rotation.

    ``A = scale * [[cos t, -sin t], [sin t, cos t]] [[1, 0], [-tan sy, 1]] [[1, -tan sx], [0, 1]]``

    Returns:
        The entries ``a_xx, a_xy, a_yx, a_yy``; x runs right and y runs down, so that a positive
        angle turns the image clockwise.
    """
    turn = jnp.deg2rad(jnp.asarray(degrees, jnp.float32))
    tan_x = jnp.tan(jnp.deg2rad(jnp.asarray(shear_x, jnp.float32)))
    tan_y = jnp.tan(jnp.deg2rad(jnp.asarray(shear_y, jnp.float32)))
    cos, sin = jnp.cos(turn), jnp.sin(turn)
    first_x = cos + sin * tan_y
    first_y = sin - cos * tan_y
    scale = jnp.asarray(scale, jnp.float32)
    return (
        scale * first_x,
        scale * (-sin - first_x * tan_x),
        scale * first_y,
        scale * (cos - first_y * tan_x),
    )


def affine(
    image: jax.Array,
    *,
    degrees: ArrayLike = 0.0,
    translate: tuple[ArrayLike, ArrayLike] = (0.0, 0.0),
    scale: ArrayLike = 1.0,
    shear: tuple[ArrayLike, ArrayLike] = (0.0, 0.0),
    size: int | None = None,
) -> jax.Array:
    """Scale, shear, turn and shift an image about the middle of the view.

    Equals torchvision's ``affine(..., interpolation=BILINEAR)``, black outside of the image.

    Args:
        image: ``[h, w, c]``.
        degrees: rotation, clockwise, scalar.
        translate: shift to the right and down in pixels.
        scale: enlargement, above 0.
        shear: angles along x and along y in degrees, below 90.
        size: side of the view, at most that of the image; None for a square image's own side.

    Returns:
        float32 ``[size, size, c]``, within [0, maximum of the image].

    >>> affine(jnp.ones((9, 9, 3)), degrees=45.0, size=5).shape
    (5, 5, 3)
    """
    a, b, c, d = affine_matrix(degrees=degrees, scale=scale, shear_x=shear[0], shear_y=shear[1])
    about_x, about_y, centre_x, centre_y = _window(image, size or image.shape[0])
    x = about_x - jnp.asarray(translate[0], jnp.float32)
    y = about_y - jnp.asarray(translate[1], jnp.float32)
    # The view asks where each of its pixels came from: the inverse of the map.
    determinant = a * d - b * c
    source_x = (d * x - b * y) / determinant + centre_x
    source_y = (a * y - c * x) / determinant + centre_y
    return look_up(image, x=source_x, y=source_y)


def rotate(image: jax.Array, *, degrees: ArrayLike, size: int | None = None) -> jax.Array:
    """Turn an image counter-clockwise about the middle of the view.

    Equals torchvision's ``rotate(..., interpolation=BILINEAR)``; see ``affine`` for the shapes.

    >>> bool(jnp.allclose(rotate(jnp.ones((5, 5, 1)), degrees=90.0), 1.0, atol=1e-5))
    True
    """
    return affine(image, degrees=-jnp.asarray(degrees, jnp.float32), size=size)


def elastic(image: jax.Array, *, displacement: jax.Array, size: int | None = None) -> jax.Array:
    """Move every pixel of the view by its own displacement.

    ``view(p) = image(p + displacement(p))``, bilinear, black outside. Equals torchvision's
    ``elastic``, which states the displacement in half widths instead of pixels.

    Args:
        image: ``[h, w, c]``.
        displacement: ``[size, size, 2]``, right and down, in pixels.
        size: side of the view, as in ``affine``.

    Returns:
        float32 ``[size, size, c]``.

    >>> elastic(jnp.ones((6, 6, 3)), displacement=jnp.zeros((4, 4, 2)), size=4).shape
    (4, 4, 3)
    """
    about_x, about_y, centre_x, centre_y = _window(image, size or image.shape[0])
    x = about_x + centre_x + displacement[..., 0]
    y = about_y + centre_y + displacement[..., 1]
    return look_up(image, x=x, y=y)
