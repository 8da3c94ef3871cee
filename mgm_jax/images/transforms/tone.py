"""Tone: invert, posterize and equalize, each a function of single pixel values."""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike


def invert(image: jax.Array) -> jax.Array:
    """Negative of an image, ``1 - image``.

    >>> invert(jnp.array([0.25])).tolist()
    [0.75]
    """
    return 1.0 - image


def posterize(image: jax.Array, *, levels: ArrayLike) -> jax.Array:
    """Round values down to a few levels, ``floor(levels * image) / levels``.

    Equals torchvision's ``posterize`` on floats with ``levels = 2 ** bits``: white becomes
    ``1 - 1 / levels``.

    Args:
        image: ``[h, w, c]`` within [0, 1].
        levels: number of levels, a scalar of at least 1.

    >>> posterize(jnp.array([0.2, 0.6, 1.0]), levels=2).tolist()
    [0.0, 0.5, 0.5]
    """
    levels = jnp.asarray(levels, jnp.float32)
    return jnp.minimum(jnp.floor(image * levels), levels - 1.0) / levels


def equalize(image: jax.Array) -> jax.Array:
    """Spread the values of each channel so that all of the range is used about equally.

    Pillow's histogram equalization, as torchvision computes it: values in 256 steps with the
    histogram ``h``, ``step = floor((pixels - h[highest value]) / 255)``, and value u becomes
    ``floor((sum_{t<u} h[t] + floor(step / 2)) / step) / 255``. A channel with a step of 0 (one
    value, or fewer than 256 pixels beside the highest) stays as it is.

    Args:
        image: ``[h, w, c]`` within [0, 1].

    Returns:
        ``[h, w, c]``, multiples of 1/255.

    >>> equalize(jnp.zeros((4, 4, 3))).max().item()
    0.0
    """
    height, width, channels = image.shape
    # The bin edges of torchvision's conversion to bytes: equal steps, 1.0 still in the last one.
    values = jnp.floor(image * (256 - 1e-3)).astype(jnp.int32)
    by_channel = values.reshape(height * width, channels).T

    def one_channel(values: jax.Array) -> jax.Array:
        counts = jnp.zeros(256, jnp.int32).at[values].add(1, mode="promise_in_bounds")
        step = (height * width - counts[jnp.max(values)]) // 255
        below = jnp.cumsum(counts) - counts
        table = jnp.minimum((below + step // 2) // jnp.maximum(step, 1), 255)
        table = jnp.where(step == 0, jnp.arange(256), table)
        return table.at[values].get(mode="promise_in_bounds")

    equal = jax.vmap(one_channel)(by_channel).T.reshape(image.shape)
    return equal.astype(jnp.float32) / 255.0
