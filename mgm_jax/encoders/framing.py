"""Images of any size to the square an encoder takes, on the device."""

from __future__ import annotations

from functools import partial

import jax
import jax.numpy as jnp

from mgm_jax.encoders.spec import Interpolation, Preprocess


def frame(images: jax.Array, preprocess: Preprocess) -> jax.Array:
    """Resize the short side, cut out the centre, scale to [0, 1]; no mean and deviation yet.

    Bilinear and bicubic interpolation widen with the scale (anti-aliasing) and the result is
    rounded to whole pixel values, as Pillow does; the two differ by at most one of 255 levels.

    Args:
        images: uint8 ``[b, h, w, 3]``.
        preprocess: what to do; ``mean`` and ``std`` are not used.

    Returns:
        float32 ``[b, size, size, 3]`` in [0, 1].
    """
    return _frame(
        images,
        size=preprocess.size,
        resize=preprocess.resize,
        interpolation=preprocess.interpolation,
    )


@partial(jax.jit, static_argnames=("size", "resize", "interpolation"))
def _frame(images: jax.Array, *, size: int, resize: int, interpolation: Interpolation) -> jax.Array:
    batch, height, width, channels = images.shape
    short = min(height, width)
    # The long side is rounded down and the centre to the nearest pixel, as torchvision does.
    height, width = resize * height // short, resize * width // short
    x = images.astype(jnp.float32)
    if images.shape[1:3] != (height, width):
        x = jax.image.resize(x, (batch, height, width, channels), interpolation)
        x = jnp.clip(jnp.round(x), 0.0, 255.0)
    top, left = round((height - size) / 2), round((width - size) / 2)
    return x[:, top : top + size, left : left + size] / 255.0
