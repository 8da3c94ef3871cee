"""Guesses about input and training."""

from __future__ import annotations

import pytest

from mgm_converters.naming.conv4.flat import CONV4_FLAT
from mgm_converters.naming.conv4.sequential import CONV4_SEQUENTIAL
from mgm_converters.naming.conv4.trunk import CONV4_TRUNK
from mgm_converters.naming.resnet.cifar import RESNET_CIFAR
from mgm_converters.naming.resnet.torchvision import RESNET_TORCHVISION
from mgm_converters.naming.vit.timm import VIT_TIMM
from mgm_converters.recognition.evidence.guesses import guess_paradigm, guess_preprocess
from mgm_jax.encoders import ARCHITECTURES

RAW = (0.0, 0.0, 0.0)
IMAGENET = (0.485, 0.456, 0.406)


@pytest.mark.parametrize(
    ("naming", "architecture", "facts", "resize", "mean", "interpolation"),
    [
        (CONV4_SEQUENTIAL, "conv4", {}, 96, RAW, "bilinear"),
        (
            CONV4_SEQUENTIAL,
            "conv4",
            {"setup.normalize_imagenet": True},
            96,
            IMAGENET,
            "bilinear",
        ),
        (CONV4_FLAT, "conv4", {}, 96, RAW, "bilinear"),
        (CONV4_TRUNK, "conv4", {}, 96, IMAGENET, "bilinear"),
        (RESNET_CIFAR, "resnet20", {}, 32, IMAGENET, "bilinear"),
        (RESNET_TORCHVISION, "resnet50", {}, 256, IMAGENET, "bilinear"),
        (RESNET_TORCHVISION, "resnet18_cifar", {}, 32, IMAGENET, "bilinear"),
        (VIT_TIMM, "vit_s16", {}, 256, IMAGENET, "bicubic"),
    ],
)
def test_preprocess(naming, architecture, facts, resize, mean, interpolation):
    spec = ARCHITECTURES[architecture].spec
    result = guess_preprocess(naming, spec, facts=facts)
    assert result.size == spec.image_size
    assert (result.resize, result.mean, result.interpolation) == (resize, mean, interpolation)


@pytest.mark.parametrize(
    ("naming", "prefix", "facts", "dropped", "paradigm"),
    [
        (CONV4_SEQUENTIAL, "", {"setup.self_sup_loss": "proto"}, (), "contrastive"),
        (CONV4_SEQUENTIAL, "", {"epoch": 0, "optimizer": None}, (), "untrained"),
        (CONV4_SEQUENTIAL, "", {"epoch": 0}, (), "unknown"),
        (CONV4_SEQUENTIAL, "", {}, (), "unknown"),
        (CONV4_FLAT, "", {}, (), "contrastive+clustering"),
        (CONV4_TRUNK, "", {}, (), "supervised"),
        (RESNET_CIFAR, "module.", {}, ("module.linear.weight",), "supervised"),
        (RESNET_TORCHVISION, "", {}, ("fc.weight", "fc.bias"), "supervised"),
        (RESNET_TORCHVISION, "", {}, (), "unknown"),
        (RESNET_TORCHVISION, "", {}, ("fc.0.weight", "fc.2.weight"), "unknown"),
        (
            RESNET_TORCHVISION,
            "module.encoder_q.",
            {},
            ("module.encoder_q.fc.weight",),
            "contrastive",
        ),
        (VIT_TIMM, "module.base_encoder.", {}, (), "contrastive"),
        (VIT_TIMM, "", {}, ("head.weight",), "supervised"),
        (VIT_TIMM, "backbone.", {}, ("head.mlp.0.weight",), "unknown"),
    ],
)
def test_paradigm(naming, prefix, facts, dropped, paradigm):
    result = guess_paradigm(naming, prefix=prefix, facts=facts, dropped=dropped)
    assert result == paradigm
