"""Descriptions of encoders and of their preprocessing."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from mgm_jax.encoders import (
    ARCHITECTURES,
    CifarResNetSpec,
    Conv4Spec,
    EncoderSpec,
    PixelsSpec,
    Preprocess,
    ResNetSpec,
    ViTSpec,
)
from mgm_jax.errors import InputError

VIT = ViTSpec(image_size=32, patch=8, embed_dim=48, layers=2, heads=3, mlp_dim=96)


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_json_gives_the_same_spec_back(name: str) -> None:
    architecture = ARCHITECTURES[name]
    text = json.dumps([architecture.spec.to_dict(), architecture.preprocess.to_dict()])
    spec, preprocess = json.loads(text)
    assert EncoderSpec.from_dict(spec) == architecture.spec
    assert hash(EncoderSpec.from_dict(spec)) == hash(architecture.spec)
    assert Preprocess.from_dict(preprocess) == architecture.preprocess


@pytest.mark.parametrize(
    ("spec", "tap", "width"),
    [
        (Conv4Spec(), "flatten", 1600),
        (Conv4Spec(image_size=64), "flatten", 1024),
        (CifarResNetSpec(blocks=9), "pool", 64),
        (ResNetSpec(blocks=(3, 4, 6, 3), block="bottleneck"), "pool", 2048),
        (ResNetSpec(blocks=(3, 4, 6, 3), block="bottleneck", channels=128), "layer3.5", 2048),
        (VIT, "cls", 48),
        (replace(VIT, class_token=False), "patch_mean", 48),
        (PixelsSpec(image_size=8), "flatten", 192),
    ],
)
def test_default_taps_and_widths(spec: EncoderSpec, tap: str, width: int) -> None:
    assert spec.width(tap) == width
    if tap != "layer3.5":
        assert spec.default_tap == spec.taps[-1] == tap


def test_unknown_tap_is_named_with_those_that_exist() -> None:
    with pytest.raises(InputError, match=r"tap layer9 does not exist.*block0.*flatten"):
        Conv4Spec().width("layer9")


@pytest.mark.parametrize(
    ("family", "options", "message"),
    [
        ("vit", {"image_size": 30}, "multiple of the patch"),
        ("vit", {"heads": 5}, "divisor of embed_dim"),
        ("vit", {"gelu": "fast"}, "one of exact, tanh, quick"),
        ("vit", {"layers": 0}, "at least 1 for layers"),
        ("vit", {"registers": -1}, "at least 0 for registers"),
        ("conv4", {"image_size": 15}, "at least 16 pixels"),
        ("conv4", {"depth": 4}, "depth does not exist"),
        ("resnet", {"block": "basic"}, "blocks"),
        ("resnet", {"block": "dense", "blocks": [1]}, "one of basic, bottleneck"),
        ("resnet", {"block": "basic", "blocks": [1], "inner_factor": 2}, "inner_factor"),
        ("alexnet", {}, "family"),
    ],
)
def test_impossible_specs_are_refused(family: str, options: dict[str, Any], message: str) -> None:
    base = VIT.to_dict() if family == "vit" else {"family": family}
    with pytest.raises(InputError, match=message):
        EncoderSpec.from_dict(base | options)


def test_the_base_class_is_no_encoder() -> None:
    with pytest.raises(InputError, match="describes no network"):
        EncoderSpec(image_size=32)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"resize": 80}, "size <= resize"),
        ({"interpolation": "lanczos"}, "nearest, bilinear or bicubic"),
        ({"std": (1.0, 0.0, 1.0)}, "std above 0"),
        ({"mean": (0.5, 0.5)}, "3 values"),
        ({"mean": (0.5,)}, "as many values for std"),
        ({"crop": 84}, "crop does not exist"),
    ],
)
def test_impossible_preprocessing_is_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        Preprocess.from_dict({"size": 84, "resize": 96} | options)
