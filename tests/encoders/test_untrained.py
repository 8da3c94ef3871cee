"""Random weights: their spread, their streams."""

from __future__ import annotations

import numpy as np
import pytest

from mgm_jax.encoders import (
    CifarResNetSpec,
    Conv4Spec,
    ConvNeXtSpec,
    EncoderSpec,
    MobileNetSpec,
    ResNetSpec,
    SwinSpec,
    ViTSpec,
    expected_shapes,
    random_state,
)
from mgm_jax.errors import InputError

CONVNEXT = ConvNeXtSpec(blocks=(1, 1), channels=(64, 128), response_norm=True)
SWIN = SwinSpec(embed_dim=32, blocks=(1,), heads=(2,))
RESNET = ResNetSpec(blocks=(2, 2), block="basic")
VIT = ViTSpec(
    image_size=64, patch=8, embed_dim=192, layers=2, heads=3, mlp_dim=768, layer_scale=True
)


@pytest.mark.parametrize(
    ("spec", "name", "deviation"),
    [
        # Normal with variance 2 / fan_out; fan_out = 128 channels x 9 pixels.
        (RESNET, "layer2.1.conv1.weight", np.sqrt(2 / (128 * 9))),
        (RESNET, "layer2.0.conv1.weight", np.sqrt(2 / (128 * 9))),
        # Normal with variance 2 / fan_in; fan_in = 32 channels x 9 pixels.
        (CifarResNetSpec(blocks=3), "layer3.0.conv1.weight", np.sqrt(2 / (32 * 9))),
        # Uniform in +-1/sqrt(fan_in): deviation 1/sqrt(3 fan_in).
        (Conv4Spec(), "blocks.1.conv.weight", np.sqrt(1 / (3 * 64 * 9))),
        (VIT, "patch_embed.proj.weight", np.sqrt(1 / (3 * 3 * 64))),
        (VIT, "blocks.1.mlp.fc1.weight", 0.02),
        (VIT, "pos_embed", 0.02),
        (VIT, "cls_token", 1e-6),
        (SWIN, "layers.0.blocks.0.mlp.fc1.weight", 0.02),
        (SWIN, "layers.0.blocks.0.attn.relative_position_bias_table", 0.02),
        (SWIN, "patch_embed.proj.weight", np.sqrt(1 / (3 * 3 * 16))),
        # Its fan_out counts all outputs of a depthwise convolution.
        (MobileNetSpec(), "blocks.3.1.conv_dw.weight", np.sqrt(2 / (384 * 9))),
        (CONVNEXT, "stages.1.downsample.1.weight", 0.02),
        (CONVNEXT, "stages.0.blocks.0.mlp.fc2.weight", 0.02),
    ],
)
def test_spread(spec: EncoderSpec, name: str, deviation: float) -> None:
    value = random_state(spec, seed=0)[name]
    # The deviation of n normal values is off by 1/sqrt(2n); four of these are never reached.
    tolerance = 4 / np.sqrt(2 * value.size)
    np.testing.assert_allclose(value.std(), deviation, rtol=tolerance)
    assert abs(value.mean()) < 4 * deviation / np.sqrt(value.size)


def test_uniform_weights_and_biases_keep_their_bound() -> None:
    state = random_state(Conv4Spec(), seed=0)
    bound = 1 / np.sqrt(64 * 9)
    for part in ("weight", "bias"):
        largest = np.abs(state[f"blocks.2.conv.{part}"]).max()
        assert 0.8 * bound < largest <= bound


@pytest.mark.parametrize("spec", [RESNET, Conv4Spec(), CifarResNetSpec(blocks=1)])
def test_batch_norm_starts_as_identity(spec: EncoderSpec) -> None:
    for name, value in random_state(spec, seed=0).items():
        if "bn" in name or "downsample.1" in name:
            assert np.all(value == name.endswith(("weight", "running_var")))


def test_norms_biases_and_scales_of_a_vit() -> None:
    state = random_state(VIT, seed=0)
    assert np.all(state["blocks.0.norm1.weight"] == 1)
    assert np.all(state["norm.bias"] == 0)
    assert np.all(state["blocks.0.attn.qkv.bias"] == 0)
    np.testing.assert_array_equal(state["blocks.1.ls2.gamma"], np.float32(1e-5))


def test_convnext_starts_near_the_identity() -> None:
    state = random_state(CONVNEXT, seed=0)
    block = "stages.0.blocks.0"
    np.testing.assert_array_equal(state[f"{block}.gamma"], np.float32(1e-6))
    for name in ("mlp.grn.weight", "mlp.grn.bias", "conv_dw.bias"):
        assert np.all(state[f"{block}.{name}"] == 0)
    assert np.all(state[f"{block}.norm.weight"] == 1)


def test_shapes_and_type() -> None:
    state = random_state(VIT, seed=1)
    assert {name: value.shape for name, value in state.items()} == expected_shapes(VIT)
    assert {value.dtype for value in state.values()} == {np.dtype(np.float32)}


def test_seed_and_name_decide_the_values() -> None:
    one, again, other = (random_state(RESNET, seed=seed) for seed in (3, 3, 4))
    deeper = random_state(ResNetSpec(blocks=(3, 2), block="basic"), seed=3)
    for name, value in one.items():
        np.testing.assert_array_equal(value, again[name])
        np.testing.assert_array_equal(value, deeper[name])
    assert np.all(one["conv1.weight"] != other["conv1.weight"])
    assert np.all(one["layer1.0.conv1.weight"] != one["layer1.0.conv2.weight"])


def test_a_negative_seed_is_refused() -> None:
    with pytest.raises(InputError, match="seed"):
        random_state(RESNET, seed=-1)
