"""Encoders: images in, features at any named layer out."""

from __future__ import annotations

from mgm_jax.encoders.canonical import expected_shapes, to_params
from mgm_jax.encoders.spec import (
    CifarResNetSpec,
    Conv4Spec,
    EncoderSpec,
    PixelsSpec,
    Preprocess,
    ResNetSpec,
    ViTSpec,
)
from mgm_jax.encoders.untrained import random_state

__all__ = [
    "CifarResNetSpec",
    "Conv4Spec",
    "EncoderSpec",
    "PixelsSpec",
    "Preprocess",
    "ResNetSpec",
    "ViTSpec",
    "expected_shapes",
    "random_state",
    "to_params",
]
