"""Views: what an encoder sees of an image, made on the device.

A view is a pure function of four things: the seed, the id of its image, the name of its setting
and its number. The batch it was made in, the other views and the device do not enter.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jax.typing import ArrayLike

from mgm_jax.errors import InputError
from mgm_jax.images.operations import CanvasOperation
from mgm_jax.images.settings import Setting, find_setting
from mgm_jax.images.transforms import centre_crop


def image_key(image_id: str) -> int:
    """Number of an image in the random draws: the first 32 bits of the sha256 of its id.

    Two images with one number would share their random draws, not their views.

    >>> image_key("cat/1.jpg") == image_key("cat/1.jpg")
    True
    """
    return int.from_bytes(hashlib.sha256(image_id.encode()).digest()[:4], "big")


def make_views(
    canvas: ArrayLike,
    image_keys: ArrayLike,
    view_numbers: ArrayLike,
    *,
    setting: str | Setting,
    strength: ArrayLike = 1.0,
    seed: int = 0,
    size: int,
) -> jax.Array:
    """Random views of images under an augmentation setting.

    A setting without operations (``semantic``), and any setting at strength 0, gives the centre
    crop of ``size`` pixels. Compiled once for each setting, size and shape; strength, seed, keys
    and numbers are free.

    Args:
        canvas: uint8 ``[b, R, R, 3]``, the images with R at least ``size``; crops and rotations
            see all of it.
        image_keys: ``[b]``, ``image_key`` of each image's id.
        view_numbers: ``[v]``, which views of each image, numbers from 0 to 2^31 - 1.
        setting: a name of ``SETTINGS``, or a setting of your own.
        strength: 0 (nothing happens) or more; 1 is the setting as it is defined.
        seed: from 0 to 2^32 - 1; another seed draws other views.
        size: side of a view in pixels.

    Returns:
        float32 ``[b, v, size, size, 3]`` in [0, 1].

    Raises:
        InputError: wrong shapes or types, a canvas smaller than the view, an unknown setting, a
            strength or seed out of range.

    Example:
        >>> canvas = np.zeros((2, 12, 12, 3), np.uint8)
        >>> keys = [image_key("a"), image_key("b")]
        >>> make_views(canvas, keys, range(4), setting="augs", size=8).shape
        (2, 4, 8, 8, 3)
    """
    setting = find_setting(setting)
    canvas = jnp.asarray(canvas)
    if canvas.ndim != 4 or canvas.shape[1] != canvas.shape[2] or canvas.shape[3] != 3:
        raise InputError(f"canvas must have the shape [b, R, R, 3]; got {list(canvas.shape)}.")
    if canvas.dtype != jnp.uint8:
        raise InputError(f"canvas must hold uint8 pixels; got {canvas.dtype}.")
    if not 1 <= size <= canvas.shape[1]:
        raise InputError(
            f"size must be from 1 to the side of the canvas, {canvas.shape[1]}; got {size}. "
            "Make larger canvases for larger views."
        )
    keys = _whole_numbers("image_keys", image_keys, bits=32)
    if keys.shape != canvas.shape[:1]:
        raise InputError(
            f"image_keys must hold one number an image, {canvas.shape[0]}; got {keys.shape[0]}."
        )
    numbers = _whole_numbers("view_numbers", view_numbers, bits=31)
    [seed_number] = _whole_numbers("seed", [seed], bits=32)
    if not isinstance(strength, Tracer) and not 0 <= float(np.asarray(strength)) < np.inf:
        raise InputError(f"strength must be a number of at least 0; got {strength}.")
    return _render(
        canvas,
        keys,
        numbers,
        jnp.asarray(strength, jnp.float32),
        seed_number,
        setting=setting,
        size=int(size),
    )


def _whole_numbers(name: str, values: ArrayLike | Sequence[int], *, bits: int) -> np.ndarray:
    numbers = np.asarray(values)
    if numbers.ndim != 1 or not (numbers.size == 0 or np.issubdtype(numbers.dtype, np.integer)):
        raise InputError(f"{name} must be a list of whole numbers; got {values!r}.")
    if numbers.size and (int(numbers.min()) < 0 or int(numbers.max()) >= 2**bits):
        raise InputError(f"{name} must be from 0 to 2^{bits} - 1; got {values!r}.")
    return numbers.astype(np.uint32)


@partial(jax.jit, static_argnames=("setting", "size"))
def _render(
    canvas: jax.Array,
    image_keys: jax.Array,
    view_numbers: jax.Array,
    strength: jax.Array,
    seed: jax.Array,
    *,
    setting: Setting,
    size: int,
) -> jax.Array:
    # The generator is named, so that a different default of JAX does not change the views.
    root = jax.random.fold_in(
        jax.random.key(seed, impl="threefry2x32"), np.uint32(image_key(setting.name))
    )

    def one_view(image: jax.Array, image_number: jax.Array, view_number: jax.Array) -> jax.Array:
        key = jax.random.fold_in(jax.random.fold_in(root, image_number), view_number)
        view = image
        for index, operation in enumerate(setting.operations):
            operation_key = jax.random.fold_in(key, index)
            if isinstance(operation, CanvasOperation):
                view = operation(operation_key, view, strength=strength, size=size)
            else:
                view = operation(operation_key, centre_crop(view, size=size), strength=strength)
        return centre_crop(view, size=size)

    images = canvas.astype(jnp.float32) / 255.0
    views_of_image = jax.vmap(one_view, in_axes=(None, None, 0))
    return jax.vmap(views_of_image, in_axes=(0, 0, None))(images, image_keys, view_numbers)
