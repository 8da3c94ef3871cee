"""Image transforms on the device: plain functions of an image and explicit parameters.

An image is float32 ``[h, w, 3]`` with values in [0, 1]. Every function can be jitted and mapped
(``jax.vmap``) over images and over its parameters, and agrees with ``torchvision.transforms.v2``
on float tensors for the same parameters. What is drawn at random lives one floor up, in
``mgm_jax.images.operations``.

====================  ==========================================================
file                  transforms
====================  ==========================================================
``resample``          centre crop, resized crop, flips: separable, two matrix products
``warp``              rotation, affine map, elastic deformation: bilinear look-up
``colour``            brightness, contrast, saturation, hue, grey, jitter
``tone``              invert, posterize, equalize
``filters``           Gaussian blur, sharpness
====================  ==========================================================
"""

from __future__ import annotations

from mgm_jax.images.transforms.colour import (
    adjust_brightness,
    adjust_contrast,
    adjust_hue,
    adjust_saturation,
    blend,
    colour_jitter,
    greyscale,
)
from mgm_jax.images.transforms.filters import adjust_sharpness, gaussian_blur, reflected_gaussian
from mgm_jax.images.transforms.resample import centre_crop, flip, resized_crop
from mgm_jax.images.transforms.tone import equalize, invert, posterize
from mgm_jax.images.transforms.warp import affine, elastic, rotate

__all__ = [
    "adjust_brightness",
    "adjust_contrast",
    "adjust_hue",
    "adjust_saturation",
    "adjust_sharpness",
    "affine",
    "blend",
    "centre_crop",
    "colour_jitter",
    "elastic",
    "equalize",
    "flip",
    "gaussian_blur",
    "greyscale",
    "invert",
    "posterize",
    "reflected_gaussian",
    "resized_crop",
    "rotate",
]
