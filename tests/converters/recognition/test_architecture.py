"""The spec follows from the canonical weights, for every architecture known by name."""

from __future__ import annotations

from dataclasses import replace

import pytest

from mgm_converters.recognition.architecture import (
    architecture_name,
    assumptions,
    infer_spec,
    named_spec,
)
from mgm_jax.encoders import ARCHITECTURES, ResNetSpec, ViTSpec, expected_shapes
from mgm_jax.errors import InputError

# That one of two networks pads otherwise no weight reveals.
UNTOLD = ("pixels", *(f"tf_efficientnet_lite{i}" for i in range(3)))
WITH_WEIGHTS = [name for name in ARCHITECTURES if name not in UNTOLD]
SMALL_VIT = ViTSpec(image_size=48, patch=16, embed_dim=192, layers=2, heads=3, mlp_dim=64)


class Shape:
    """An array without values: a wide ViT would fill the memory."""

    def __init__(self, *shape: int) -> None:
        self.shape = shape


def state(spec):
    return {name: Shape(*shape) for name, shape in expected_shapes(spec).items()}


@pytest.mark.parametrize("name", WITH_WEIGHTS)
def test_every_named_architecture_is_inferred(name):
    spec = ARCHITECTURES[name].spec
    assert infer_spec(spec.family, state(spec)) == spec
    assert architecture_name(spec) == name


@pytest.mark.parametrize(
    "options",
    [
        {"class_token": False},
        {"registers": 4},
        {"layer_scale": True},
        {"qkv_bias": False},
        {"image_size": 80},
    ],
)
def test_optional_parts_of_a_vit_are_inferred_and_kept_under_a_name(options):
    spec = replace(SMALL_VIT, **options)
    assert infer_spec("vit", state(spec)) == spec
    named = replace(ARCHITECTURES["vit_ti16"].spec, **({"image_size": 48} | options))
    assert named_spec("vit_ti16", state(spec)) == named


def test_a_name_decides_what_weights_do_not_reveal():
    assert named_spec("resnet50", {}) == ARCHITECTURES["resnet50"].spec


def test_mocos_small_vit_has_twelve_heads():
    spec = ARCHITECTURES["vit_s16"].spec
    assert infer_spec("vit", state(spec)) == replace(spec, heads=6)
    mocos = infer_spec("vit", state(spec), prefix="module.base_encoder.")
    assert mocos == replace(spec, heads=12)


def test_other_shapes_have_no_name():
    spec = ResNetSpec(blocks=(1, 1, 1, 1), block="basic")
    assert architecture_name(infer_spec("resnet", state(spec))) == "resnet"


@pytest.mark.parametrize(
    ("family", "change", "message"),
    [
        ("conv4", {"blocks.0.conv.weight": None}, r"blocks\.0\.conv\.weight is missing"),
        ("resnet", {"conv1.weight": Shape(64, 3, 5, 5)}, "expected a 7x7 or 3x3 stem, got 5x5"),
        ("resnet", {"conv1.weight": Shape(64, 147)}, "expected 4 axes"),
        ("vit", {"pos_embed": Shape(1, 12, 192)}, "square grid, got 11 patches"),
        ("vit", {"pos_embed": Shape(1, 1, 192)}, "square grid, got 0 patches"),
        (
            "vit",
            {"patch_embed.proj.weight": Shape(200, 3, 16, 16)},
            "200 is the width of no published ViT",
        ),
    ],
)
def test_shapes_that_no_spec_has(family, change, message):
    spec = {"conv4": "conv4", "resnet": "resnet18"}.get(family)
    weights = state(ARCHITECTURES[spec].spec if spec else SMALL_VIT) | change
    with pytest.raises(InputError, match=message):
        infer_spec(family, {name: value for name, value in weights.items() if value is not None})


def test_assumptions_name_what_no_weight_reveals():
    assert "12 heads" in assumptions(ARCHITECTURES["vit_b16"].spec)
    assert any("3x3 convolution" in line for line in assumptions(ARCHITECTURES["resnet50"].spec))
    assert not any("3x3" in line for line in assumptions(ARCHITECTURES["resnet18"].spec))
    assert all(assumptions(ARCHITECTURES[name].spec) for name in WITH_WEIGHTS)
