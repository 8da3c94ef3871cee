"""Encoders: images in, features at any named layer out.

The way from weights to features::

    state --canonical--> params ---------------+
    (names to arrays)    (folded, Flax)         |
    spec --networks--> module with taps --forward--> {tap: float32 [b, d]}
    (no weights)                                |
    image --framing--> [b, s, s, 3] --preprocess+

A state comes from a folder (``checkpoint``), from the converters, or is drawn (``untrained``); an
``Encoder`` holds it with its spec and preprocessing. ``callables`` go another way to the same rows.

================  =================================================================================
``spec``          what an encoder is without weights: one file a family, and its preprocessing
``canonical``     one naming of weights a family, folded into parameters
``untrained``     random weights
``control``       the untrained control of an encoder
``networks``      the Flax modules, every layer a named tap
``framing``       images of any size to the square an encoder takes
``forward``       the one compiled function of all encoders
``encoder``       Encoder, the value users hold
``callables``     encoders from any callable of JAX, PyTorch or NumPy: ``wrap``
``checkpoint``    Encoder to and from a folder
``catalogue``     encoders by name: ``registry`` the architectures and ``load_encoder``,
                  ``methods`` what each method of training fixes, ``published`` the published
                  encoders, ``listing`` the tables of ``mgm models``
================  =================================================================================
"""

from __future__ import annotations

from mgm_jax.encoders.callables import WrappedEncoder, wrap
from mgm_jax.encoders.canonical import check_state, expected_shapes, to_params
from mgm_jax.encoders.catalogue.published import PUBLISHED, Published
from mgm_jax.encoders.catalogue.registry import ARCHITECTURES, Architecture, load_encoder
from mgm_jax.encoders.checkpoint import read_encoder, save_encoder
from mgm_jax.encoders.control import untrained_control
from mgm_jax.encoders.encoder import Encoder
from mgm_jax.encoders.spec import (
    CifarResNetSpec,
    Conv4Spec,
    ConvNeXtSpec,
    EncoderSpec,
    MobileNetSpec,
    PixelsSpec,
    Preprocess,
    ResNetSpec,
    SwinSpec,
    ViTSpec,
)
from mgm_jax.encoders.untrained import random_state

__all__ = [
    "ARCHITECTURES",
    "PUBLISHED",
    "Architecture",
    "CifarResNetSpec",
    "Conv4Spec",
    "ConvNeXtSpec",
    "Encoder",
    "EncoderSpec",
    "MobileNetSpec",
    "PixelsSpec",
    "Preprocess",
    "Published",
    "ResNetSpec",
    "SwinSpec",
    "ViTSpec",
    "WrappedEncoder",
    "check_state",
    "expected_shapes",
    "load_encoder",
    "random_state",
    "read_encoder",
    "save_encoder",
    "to_params",
    "untrained_control",
    "wrap",
]
