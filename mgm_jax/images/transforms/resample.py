"""Crops and flips: resampling along the two axes of an image, one matrix product each.

A resized crop is linear in the pixels and separable: with one weight matrix for the rows and one
for the columns, ``view = R image C'``. Matrix products run near the machine's rate where pixel
look-ups do not, and the weights of a view are only ``2 size x n`` numbers.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike


def centre_offset(length: int, size: int) -> int:
    """First pixel of the window of ``size`` pixels in the middle of ``length`` pixels.

    Half a pixel is rounded to the even number, as torchvision's centre crop does.

    >>> centre_offset(96, 84)
    6
    """
    return round((length - size) / 2)


def centre_crop(image: jax.Array, *, size: int) -> jax.Array:
    """Cut the middle square out of an image; no pixel is changed.

    Args:
        image: ``[h, w, c]`` with h and w at least ``size``.
        size: side of the square in pixels.

    Returns:
        ``[size, size, c]``; the image itself where it has that shape already.

    >>> centre_crop(jnp.zeros((6, 8, 3)), size=4).shape
    (4, 4, 3)
    """
    height, width = image.shape[:2]
    top, left = centre_offset(height, size), centre_offset(width, size)
    return image[top : top + size, left : left + size]


def flip(image: jax.Array, *, vertical: bool = False) -> jax.Array:
    """Mirror an image left to right, or top to bottom where ``vertical``.

    >>> flip(jnp.array([[[1.0], [2.0]]]))[0, :, 0].tolist()
    [2.0, 1.0]
    """
    return image[::-1] if vertical else image[:, ::-1]


def box_weights(start: ArrayLike, length: ArrayLike, *, pixels: int, size: int) -> jax.Array:
    """Weights that resample the stretch ``[start, start + length)`` of an axis to ``size`` pixels.

    Output pixel i looks at ``c_i = start + (i + 1/2) s`` with ``s = length / size``. Pixel p, with
    its centre at p + 1/2, gets the weight

        ``w_ip  ~  max(0, 1 - |p + 1/2 - c_i| / max(s, 1)) * overlap(p, stretch)``,

    scaled so that each row sums to one: bilinear where the stretch is enlarged, and a triangle
    filter as wide as the step where it is reduced (antialias). The overlap of pixel and stretch,
    between 0 and 1, keeps pixels outside of the box out of the view, and makes the weights a
    continuous function of a fractional box.

    Args:
        start: left edge in pixels, from 0.
        length: length in pixels, at least 1, with the stretch inside ``[0, pixels]``.
        pixels: number of pixels of the axis.
        size: number of pixels of the view.

    Returns:
        float32 ``[size, pixels]``.

    >>> box_weights(1.0, 2.0, pixels=4, size=2).tolist()
    [[0.0, 1.0, 0.0, 0.0], [0.0, 0.0, 1.0, 0.0]]
    """
    start = jnp.asarray(start, jnp.float32)
    length = jnp.asarray(length, jnp.float32)
    step = length / size
    looked_at = start + (jnp.arange(size, dtype=jnp.float32) + 0.5) * step
    left_edge = jnp.arange(pixels, dtype=jnp.float32)
    distance = jnp.abs(left_edge + 0.5 - looked_at[:, None])
    triangle = jnp.maximum(0.0, 1.0 - distance / jnp.maximum(step, 1.0))
    overlap = jnp.minimum(left_edge + 1.0, start + length) - jnp.maximum(left_edge, start)
    weights = triangle * jnp.clip(overlap, 0.0, 1.0)
    return weights / jnp.sum(weights, axis=1, keepdims=True)


def separable(image: jax.Array, rows: jax.Array, columns: jax.Array) -> jax.Array:
    """Apply one matrix to the rows and one to the columns of an image.

    ``out[i, j, c] = sum_pq rows[i, p] image[p, q, c] columns[j, q]``

    Args:
        image: ``[h, w, c]``.
        rows: ``[h', h]``.
        columns: ``[w', w]``.

    Returns:
        ``[h', w', c]``.
    """
    # Full float32 everywhere: TF32 and bfloat16 products would show as steps in the view.
    return jnp.einsum(
        "ip,pqc,jq->ijc", rows, image, columns, precision=jax.lax.Precision.HIGHEST, optimize=True
    )


def resized_crop(
    image: jax.Array,
    *,
    top: ArrayLike,
    left: ArrayLike,
    height: ArrayLike,
    width: ArrayLike,
    size: int,
) -> jax.Array:
    """Cut a box out of an image and resize it to a square, bilinear with antialias.

    Equals torchvision's ``resized_crop(..., antialias=True)`` for whole numbers; edges of the box
    may be fractional.

    Args:
        image: ``[h, w, c]``.
        top, left: upper left corner of the box in pixels, scalars.
        height, width: sides of the box in pixels, at least 1, the box inside of the image.
        size: side of the view in pixels.

    Returns:
        float32 ``[size, size, c]``, within the range of the image.

    >>> resized_crop(jnp.ones((8, 8, 3)), top=2, left=0.5, height=4, width=7, size=6).shape
    (6, 6, 3)
    """
    rows = box_weights(top, height, pixels=image.shape[0], size=size)
    columns = box_weights(left, width, pixels=image.shape[1], size=size)
    return separable(image, rows, columns)
