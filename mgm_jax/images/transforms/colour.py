"""Colour: brightness, contrast, saturation, hue, grey, and the jitter of the four in any order.

The arithmetic runs on three planes ``[3, h, w]``, where pixels lie side by side; an image with its
channels last would be read in steps of three. XLA drops the pair of transposes between one
transform and the next.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike

# Weights of red, green and blue in the grey value, as in torchvision (ITU-R 601-2, rounded).
LUMA = (0.2989, 0.587, 0.114)
# Offsets of red, green and blue along the hue circle, in sixths of a turn.
HUE_CORNERS = (5.0, 3.0, 1.0)
# What brightness, contrast, saturation and hue blend with: shares of the mean grey and of the grey.
MEAN_SHARE = np.array([0.0, 1.0, 0.0, 0.0], np.float32)
GREY_SHARE = np.array([0.0, 0.0, 1.0, 0.0], np.float32)


def to_planes(image: jax.Array) -> jax.Array:
    """Channels first: ``[h, w, 3]`` to ``[3, h, w]``."""
    return jnp.moveaxis(image, -1, 0)


def to_image(planes: jax.Array) -> jax.Array:
    """Channels last: ``[3, h, w]`` to ``[h, w, 3]``."""
    return jnp.moveaxis(planes, 0, -1)


def blend(image: jax.Array, other: ArrayLike, *, factor: ArrayLike) -> jax.Array:
    """Straight line through two images, ``factor * image + (1 - factor) * other``, within [0, 1].

    Factor 1 is the image, 0 the other one, above 1 leads away from it.

    >>> blend(jnp.array([0.5]), 1.0, factor=0.5).tolist()
    [0.75]
    """
    return jnp.clip(factor * image + (1.0 - factor) * other, 0.0, 1.0)


def _grey(planes: jax.Array) -> jax.Array:
    return LUMA[0] * planes[0] + LUMA[1] * planes[1] + LUMA[2] * planes[2]


def adjust_brightness(image: jax.Array, *, factor: ArrayLike) -> jax.Array:
    """Scale all values by a factor of 0 (black) upwards; 1 changes nothing.

    >>> adjust_brightness(jnp.array([[[0.25, 0.5, 1.0]]]), factor=0.5)[0, 0].tolist()
    [0.125, 0.25, 0.5]
    """
    return blend(image, 0.0, factor=factor)


def adjust_contrast(image: jax.Array, *, factor: ArrayLike) -> jax.Array:
    """Blend with the mean grey value of the image; 0 is flat, 1 changes nothing."""
    planes = to_planes(image)
    return to_image(blend(planes, jnp.mean(_grey(planes)), factor=factor))


def adjust_saturation(image: jax.Array, *, factor: ArrayLike) -> jax.Array:
    """Blend with the grey image; 0 is grey, 1 changes nothing."""
    planes = to_planes(image)
    return to_image(blend(planes, _grey(planes), factor=factor))


def greyscale(image: jax.Array) -> jax.Array:
    """Grey image ``0.2989 r + 0.587 g + 0.114 b`` in three equal channels.

    >>> greyscale(jnp.ones((2, 2, 3))).shape
    (2, 2, 3)
    """
    planes = to_planes(image)
    return to_image(jnp.broadcast_to(_grey(planes), planes.shape))


def _shift_hue(planes: jax.Array, shift: ArrayLike) -> jax.Array:
    red, green, blue = planes
    highest = jnp.maximum(jnp.maximum(red, green), blue)
    lowest = jnp.minimum(jnp.minimum(red, green), blue)
    span = highest - lowest
    per_span = 1.0 / jnp.where(span > 0, span, 1.0)
    # The hue in sixths of a turn: 0 red, 2 green, 4 blue.
    hue = jnp.where(
        highest == red,
        (green - blue) * per_span,
        jnp.where(highest == green, 2.0 + (blue - red) * per_span, 4.0 + (red - green) * per_span),
    )
    hue += 6.0 * jnp.asarray(shift, jnp.float32)

    # Each channel is a trapezoid over the hue circle; the corners say where it starts to fall.
    along = hue + jnp.array(HUE_CORNERS)[:, None, None]
    along -= 6.0 * jnp.floor(along / 6.0)
    shifted = highest - span * jnp.clip(jnp.minimum(along, 4.0 - along), 0.0, 1.0)
    return jnp.where(shift == 0.0, planes, shifted)


def adjust_hue(image: jax.Array, *, shift: ArrayLike) -> jax.Array:
    """Turn the hue by a share of the colour circle; the highest and lowest channel values stay.

    Args:
        image: ``[h, w, 3]``.
        shift: share of a full turn, -0.5 to 0.5; 0 changes nothing.

    Returns:
        ``[h, w, 3]``.

    >>> adjust_hue(jnp.array([[[1.0, 0.0, 0.0]]]), shift=1 / 3).round(4)[0, 0].tolist()
    [0.0, 1.0, 0.0]
    """
    return to_image(_shift_hue(to_planes(image), shift))


def colour_jitter(
    image: jax.Array,
    *,
    brightness: ArrayLike,
    contrast: ArrayLike,
    saturation: ArrayLike,
    hue: ArrayLike,
    order: ArrayLike | tuple[int, ...] = (0, 1, 2, 3),
) -> jax.Array:
    """Brightness, contrast, saturation and hue, one after the other in a given order.

    The first three are blends, each with its own second image, so that a step of unknown kind is
    one formula with looked-up coefficients. The hue, which is none, is turned once: the blends
    that stand before it in the order are made before, the others after it.

    Args:
        image: ``[h, w, 3]``.
        brightness, contrast, saturation: factors, scalars; 1 changes nothing.
        hue: shift, scalar; 0 changes nothing.
        order: int32 ``[4]``, a permutation of 0 brightness, 1 contrast, 2 saturation, 3 hue.

    Returns:
        ``[h, w, 3]``.

    >>> image = jnp.full((2, 2, 3), 0.25)
    >>> same = colour_jitter(image, brightness=1.0, contrast=1.0, saturation=1.0, hue=0.0)
    >>> bool((same == image).all())
    True
    """
    kinds = jnp.asarray(order, jnp.int32)
    factors = jnp.stack([jnp.float32(f) for f in (brightness, contrast, saturation, 1.0)])
    share_of_mean, share_of_grey = jnp.asarray(MEAN_SHARE), jnp.asarray(GREY_SHARE)
    before_hue = jnp.arange(4) < jnp.argmax(kinds == 3)

    def step(planes: jax.Array, turn: tuple[jax.Array, jax.Array]) -> tuple[jax.Array, None]:
        kind, wanted = turn
        grey = _grey(planes)
        other = share_of_mean[kind] * jnp.mean(grey) + share_of_grey[kind] * grey
        return blend(planes, other, factor=jnp.where(wanted, factors[kind], 1.0)), None

    # A loop in place of six copies of the step: the views compile in half of the time.
    planes, _ = jax.lax.scan(step, to_planes(image), (kinds[:3], before_hue[:3]))
    planes = _shift_hue(planes, hue)
    planes, _ = jax.lax.scan(step, planes, (kinds[1:], ~before_hue[1:]))
    return to_image(planes)
