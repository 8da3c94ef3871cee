"""The canonical state: its shapes, its problems, and its way into parameters."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mgm_jax.encoders import (
    ARCHITECTURES,
    Conv4Spec,
    EncoderSpec,
    PixelsSpec,
    ResNetSpec,
    ViTSpec,
    check_state,
    expected_shapes,
    to_params,
)
from mgm_jax.errors import InputError
from tests.encoders.oracles import busy_state

# Learned values without the classifier, from torchvision's and timm's own networks and from the
# published table of the CIFAR ResNets.
PUBLISHED_SIZES = {
    "conv4": 113_088,
    "resnet20": 269_072,
    "resnet56": 852_368,
    "resnet18": 11_176_512,
    "resnet34": 21_284_672,
    "resnet50": 23_508_032,
    "resnet101": 42_500_160,
    "resnet152": 58_143_808,
    "wide_resnet50_2": 66_834_240,
    "resnext50_32x4d": 22_979_904,
    "convnext_tiny": 27_820_128,
    "convnextv2_atto": 3_387_400,
    "swin_tiny": 27_519_354,
    "swin_base": 86_743_224,
    "mobilenet_v2": 2_223_872,
    "efficientnet_lite0": 3_371_008,
    "vit_ti16": 5_524_416,
    "vit_s16": 21_665_664,
    "vit_b16": 85_798_656,
    "vit_l16": 303_301_632,
    "vit_h14": 630_764_800,
    "pixels": 0,
}


@pytest.mark.parametrize("name", PUBLISHED_SIZES)
def test_sizes_are_the_published_ones(name: str) -> None:
    shapes = expected_shapes(ARCHITECTURES[name].spec)
    learned = [shape for key, shape in shapes.items() if "running" not in key]
    assert sum(int(np.prod(shape)) for shape in learned) == PUBLISHED_SIZES[name]


@settings(max_examples=20, deadline=None)
@given(
    eps=st.floats(1e-8, 1e-2),
    seed=st.integers(0, 1000),
    position=st.tuples(*[st.integers(0, 5)] * 2),
)
def test_folding_equals_normalising_after(eps: float, seed: int, position: tuple[int, int]) -> None:
    """One output value of a folded 3x3 convolution, against float64 arithmetic by the formula."""
    spec = Conv4Spec(image_size=16, channels=4, batch_norm_eps=eps)
    state = busy_state(spec, seed=seed)
    params = to_params(spec, state)["blocks_1"]["conv"]
    window = np.random.default_rng(seed).normal(size=(4, 3, 3))
    name = "blocks.1"
    plain = {part: state[f"{name}.{part}"].astype(np.float64) for part in _parts()}
    raw = np.einsum("oihw,ihw->o", plain["conv.weight"], window) + plain["conv.bias"]
    expected = (raw - plain["bn.running_mean"]) / np.sqrt(plain["bn.running_var"] + eps)
    expected = expected * plain["bn.weight"] + plain["bn.bias"]
    folded = np.einsum("hwio,ihw->o", params["kernel"], window) + params["bias"]
    np.testing.assert_allclose(folded, expected, rtol=1e-5, atol=1e-5)


def _parts() -> list[str]:
    return [
        "conv.weight",
        "conv.bias",
        *(f"bn.{part}" for part in ("weight", "bias", "running_mean", "running_var")),
    ]


def test_a_tiny_variance_does_not_lose_digits() -> None:
    """Scale 1/sqrt(1e-5 + 1e-12) in float32 would differ from float64 in the eighth digit."""
    spec = Conv4Spec(image_size=16, channels=2)
    state = busy_state(spec)
    state["blocks.0.bn.running_var"] = np.full(2, 1e-12, np.float32)
    kernel = to_params(spec, state)["blocks_0"]["conv"]["kernel"]
    scale = state["blocks.0.bn.weight"].astype(np.float64) / np.sqrt(1e-5 + 1e-12)
    expected = state["blocks.0.conv.weight"].transpose(2, 3, 1, 0) * scale
    np.testing.assert_array_equal(kernel, expected.astype(np.float32))


SPECS: list[EncoderSpec] = [
    Conv4Spec(image_size=16, channels=2),
    ResNetSpec(blocks=(1, 1), block="bottleneck", channels=4, image_size=32),
    ViTSpec(image_size=16, patch=8, embed_dim=8, layers=1, heads=2, mlp_dim=16, registers=1),
]


@pytest.mark.parametrize("spec", SPECS, ids=lambda spec: spec.family)
def test_every_problem_is_named_at_once(spec: EncoderSpec) -> None:
    state = busy_state(spec)
    first, second, third, *_ = state
    del state[first]
    state[second] = state[second][None]
    state[third] = np.full_like(state[third], np.nan)
    state["fc.weight"] = np.zeros(3, np.float32)
    with pytest.raises(InputError) as error:
        to_params(spec, state)
    message = str(error.value)
    assert f"missing: {first}" in message
    assert f"{second}: expected shape" in message
    assert f"{third}: {state[third].size} values NaN or Inf" in message
    assert "not part of this encoder: fc.weight" in message


def test_a_negative_variance_is_refused() -> None:
    spec = Conv4Spec(image_size=16, channels=2)
    state = busy_state(spec)
    state["blocks.0.bn.running_var"][1] = -0.5
    with pytest.raises(InputError, match="variance cannot be negative"):
        check_state(spec, state)


def test_pixels_have_no_weights() -> None:
    assert to_params(PixelsSpec(), {}) == {}
    with pytest.raises(InputError, match="not part"):
        to_params(PixelsSpec(), {"conv1.weight": np.zeros(1, np.float32)})
