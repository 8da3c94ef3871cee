"""What a checkpoint tells of its training: the input it expects, and the kind of training.

Both are guesses from the spelling and from what lay beside the weights; the caller may say better.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from mgm_converters.naming.conv4.flat import CONV4_FLAT
from mgm_converters.naming.conv4.sequential import CONV4_SEQUENTIAL
from mgm_converters.naming.conv4.trunk import CONV4_TRUNK
from mgm_converters.naming.rules import Naming
from mgm_converters.naming.vit.flax import VIT_FLAX
from mgm_converters.recognition.architecture import architecture_name
from mgm_converters.recognition.evidence.traces import SELF_SUPERVISED
from mgm_jax.encoders import ARCHITECTURES, EncoderSpec, MobileNetSpec, Preprocess
from mgm_jax.encoders.spec import IMAGENET_MEAN, IMAGENET_STD

Facts = Mapping[str, Any]

# A single linear map from features to classes; projection heads have several layers.
_CLASSIFIER = re.compile(r"(?:.*\.)?(?:_?fc|head|classifier|linear)(?:\.1)?\.weight")
_SELF_SUPERVISED = re.compile(rf"(?:.*\.)?(?:{SELF_SUPERVISED})(?:\..*)?")
_CONTRASTIVE = re.compile(r"(?:^|\.)(?:encoder_q|base_encoder)\.$")


def guess_preprocess(naming: Naming, spec: EncoderSpec, *, facts: Facts) -> Preprocess:
    """The input that encoders in this spelling were trained on.

    ==================  ==========================================================================
    Conv4               short side 96, centre 84, bilinear; ProtoTransfer and C3LR (assumed) take
                        [0, 1] as it is, A Closer Look takes ImageNet mean and deviation
    CIFAR ResNet        32 pixels whole, ImageNet mean and deviation
    ResNet              short side 8/7 of the centre square, bilinear, ImageNet mean and deviation
    ViT, ConvNeXt, Swin as ResNet, bicubic
    ViT of Flax         whole, bicubic, values from -1 to 1
    EfficientNet-Lite   as TensorFlow trains it: the size it is scaled for, bicubic, -1 to 1
    ==================  ==========================================================================
    """
    size = spec.image_size
    if naming is VIT_FLAX:
        half = (0.5, 0.5, 0.5)
        return Preprocess(size=size, resize=size, interpolation="bicubic", mean=half, std=half)
    scaled = ARCHITECTURES.get(architecture_name(spec))
    if scaled and isinstance(spec, MobileNetSpec) and spec.padding == "tf-same":
        return scaled.preprocess
    normalised: dict[str, Any] = {"mean": IMAGENET_MEAN, "std": IMAGENET_STD}
    if naming.family == "conv4":
        as_is = naming in (CONV4_SEQUENTIAL, CONV4_FLAT)
        as_is = as_is and facts.get("setup.normalize_imagenet") is not True
        return Preprocess(size=size, resize=round(size * 8 / 7), **({} if as_is else normalised))
    if size <= 32:
        return Preprocess(size=size, resize=size, **normalised)
    return Preprocess(
        size=size,
        resize=round(size * 8 / 7),
        interpolation="bicubic" if naming.family in ("vit", "convnext", "swin") else "bilinear",
        **normalised,
    )


def guess_paradigm(naming: Naming, *, prefix: str, facts: Facts, dropped: Iterable[str]) -> str:
    """How the encoder was trained, or ``unknown``.

    Args:
        naming: the spelling; some belong to one method.
        prefix: what stood before the names; MoCo's say so.
        facts: plain values that lay beside the weights.
        dropped: names that are no part of the encoder; a classifier among them says supervised.

    Returns:
        ``contrastive``, ``contrastive+clustering``, ``supervised``, ``untrained`` or ``unknown``.
    """
    if naming is CONV4_FLAT:
        return "contrastive+clustering"
    if naming is CONV4_TRUNK:
        return "supervised"
    if naming is CONV4_SEQUENTIAL:
        if facts.get("setup.self_sup_loss") == "proto":
            return "contrastive"
        # Their untrained control is a file written before the first epoch, with no optimiser.
        untrained = facts.get("epoch") == 0 and facts.get("optimizer", "none") is None
        return "untrained" if untrained else "unknown"
    if _CONTRASTIVE.search(prefix):
        return "contrastive"
    dropped = tuple(dropped)
    if any(map(_SELF_SUPERVISED.fullmatch, dropped)):
        return "unknown"
    return "supervised" if any(map(_CLASSIFIER.fullmatch, dropped)) else "unknown"


def never_trained(state: Mapping[str, np.ndarray]) -> bool:
    """Whether all norms have the scales they start with, which one step of training changes.

    A classifier beside such an encoder says nothing: networks have one from the start.

    Args:
        state: canonical weights.
    """
    # Of the arrays of one axis only the scales of norms are called weight.
    scales = [
        values for name, values in state.items() if name.endswith(".weight") and values.ndim == 1
    ]
    return bool(scales) and all(bool(((one == 1) | (one == 0)).all()) for one in scales)
