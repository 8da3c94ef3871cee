"""What encoders are, without their weights: one frozen description a family, one file each.

===============  ==================================================================================
``base``         what every family has: a square input, named taps, a digest, shapes of weights
``shapes``       the layers that weights consist of, and the shapes of their tensors
``preprocess``   from an image of any size to the input
``conv4``, ...   the families
===============  ==================================================================================
"""

from __future__ import annotations

from mgm_jax.encoders.spec.base import FAMILIES, LOGITS, EncoderSpec, Family
from mgm_jax.encoders.spec.conv4 import Conv4Spec
from mgm_jax.encoders.spec.convnext import ConvNeXtSpec
from mgm_jax.encoders.spec.mobilenet import MobileNetSpec
from mgm_jax.encoders.spec.pixels import PixelsSpec
from mgm_jax.encoders.spec.preprocess import (
    IMAGENET_MEAN,
    IMAGENET_STD,
    Interpolation,
    Preprocess,
)
from mgm_jax.encoders.spec.resnet import CifarResNetSpec, ResNetSpec
from mgm_jax.encoders.spec.shapes import ConvNorm
from mgm_jax.encoders.spec.swin import SwinSpec
from mgm_jax.encoders.spec.vit import Resize, ViTSpec

__all__ = [
    "FAMILIES",
    "IMAGENET_MEAN",
    "IMAGENET_STD",
    "LOGITS",
    "CifarResNetSpec",
    "Conv4Spec",
    "ConvNeXtSpec",
    "ConvNorm",
    "EncoderSpec",
    "Family",
    "Interpolation",
    "MobileNetSpec",
    "PixelsSpec",
    "Preprocess",
    "ResNetSpec",
    "Resize",
    "SwinSpec",
    "ViTSpec",
]
