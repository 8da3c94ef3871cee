"""Filters: Gaussian blur and sharpness."""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from mgm_jax.images.transforms.colour import to_image, to_planes
from mgm_jax.images.transforms.resample import separable

# Below this many pixels a Gaussian is a single pixel in float32; it also keeps 0 / 0 out.
MIN_SIGMA = 1e-2


def reflected_gaussian(sigma: ArrayLike, *, pixels: int, reach: int | None = None) -> jax.Array:
    """Matrix that blurs an axis of an image, mirrored at its first and last pixel.

    Row i holds ``exp(-(i - p)^2 / (2 sigma^2))`` for all p within ``reach`` of i, scaled to sum to
    one; the weight of a pixel beyond an end goes to its mirror image within.

    Args:
        sigma: standard deviation in pixels, scalar; 0 gives the identity.
        pixels: number of pixels of the axis.
        reach: half width of the filter in pixels, below ``pixels``; None for the widest.

    Returns:
        float32 ``[pixels, pixels]``.

    >>> reflected_gaussian(0.0, pixels=2).tolist()
    [[1.0, 0.0], [0.0, 1.0]]
    """
    width = jnp.maximum(jnp.asarray(sigma, jnp.float32), MIN_SIGMA)
    reach = pixels - 1 if reach is None else reach
    row = jnp.arange(pixels)[:, None]
    column = jnp.arange(pixels)[None, :]

    def weight(distance: jax.Array) -> jax.Array:
        bell = jnp.exp(-0.5 * (distance / width) ** 2)
        return jnp.where(jnp.abs(distance) <= reach, bell, 0.0)

    last = pixels - 1
    matrix = weight(column - row)
    matrix += jnp.where(column > 0, weight(row + column), 0.0)
    matrix += jnp.where(column < last, weight(2 * last - row - column), 0.0)
    return matrix / jnp.sum(matrix, axis=1, keepdims=True)


def gaussian_blur(
    image: jax.Array, *, sigma: ArrayLike, kernel_size: int | None = None
) -> jax.Array:
    """Blur an image with a Gaussian, mirrored at the border.

    Two matrix products with the banded matrices of ``reflected_gaussian``; a wide filter costs no
    more than a narrow one. Equals torchvision's ``gaussian_blur`` for the same kernel size.

    Args:
        image: ``[h, w, c]``.
        sigma: standard deviation in pixels, scalar; 0 changes nothing.
        kernel_size: odd width of the filter in pixels; None for one as wide as the image allows.

    Returns:
        float32 ``[h, w, c]``, within the range of the image.

    >>> gaussian_blur(jnp.ones((8, 8, 3)), sigma=2.0, kernel_size=5).shape
    (8, 8, 3)
    """
    reach = None if kernel_size is None else kernel_size // 2
    rows = reflected_gaussian(sigma, pixels=image.shape[0], reach=reach)
    columns = reflected_gaussian(sigma, pixels=image.shape[1], reach=reach)
    return separable(image, rows, columns)


def adjust_sharpness(image: jax.Array, *, factor: ArrayLike) -> jax.Array:
    """Blend with a slightly smoothed image; 0 is smoothed, 1 unchanged, above 1 sharpened.

    The filter is the 3 x 3 mean with weight 5 in the middle and 1 around it, over 13; the outermost
    pixels have no full neighbourhood and stay, as in torchvision.

    Args:
        image: ``[h, w, c]``.
        factor: scalar of at least 0.

    Returns:
        ``[h, w, c]`` within [0, 1].

    >>> bool((adjust_sharpness(jnp.ones((4, 4, 3)), factor=2.0) == 1.0).all())
    True
    """
    planes = to_planes(image)
    inner = planes[:, 1:-1, 1:-1]
    rows = planes[:, :-2] + planes[:, 1:-1] + planes[:, 2:]
    square = rows[:, :, :-2] + rows[:, :, 1:-1] + rows[:, :, 2:]
    smooth = (square + 4.0 * inner) / 13.0
    moved = (1.0 - factor) * (smooth - inner)
    changed = planes + jnp.pad(moved, ((0, 0), (1, 1), (1, 1)))
    return to_image(jnp.clip(changed, 0.0, 1.0))
