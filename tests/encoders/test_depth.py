"""The layers of ``taps: all``: every one of them, none twice, in the order of the forward pass."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from mgm_jax.encoders import (
    PUBLISHED,
    CifarResNetSpec,
    Conv4Spec,
    ConvNeXtSpec,
    Encoder,
    EncoderSpec,
    MobileNetSpec,
    PixelsSpec,
    Preprocess,
    ResNetSpec,
    SwinSpec,
    ViTSpec,
    random_state,
)

VIT = ViTSpec(image_size=16, patch=8, embed_dim=8, layers=4, heads=2, mlp_dim=16)
SMALL: dict[str, EncoderSpec] = {
    "conv4": Conv4Spec(image_size=32, channels=4),
    "cifar": CifarResNetSpec(image_size=16, blocks=2, channels=4, classes=3),
    "resnet": ResNetSpec(image_size=32, blocks=(1, 2), block="bottleneck", channels=4, classes=3),
    "convnext": ConvNeXtSpec(image_size=16, blocks=(1, 2), channels=(4, 8), classes=3),
    "convnext, masked": ConvNeXtSpec(
        image_size=16, blocks=(1, 1), channels=(4, 8), response_norm=True, final_norm=False
    ),
    "swin": SwinSpec(image_size=32, embed_dim=4, blocks=(2, 1), heads=(1, 2), window=4),
    "mobilenet": MobileNetSpec(
        image_size=32,
        stem=4,
        head=8,
        expand=(1, 2),
        kernels=(3, 5),
        strides=(1, 2),
        channels=(4, 6),
        repeats=(1, 2),
    ),
    "pixels": PixelsSpec(image_size=4),
    "vit": VIT,
    "vit of CLIP": replace(VIT, pre_norm=True, proj_dim=5),
    "vit without class token": replace(VIT, class_token=False),
    "vit of MSN": replace(VIT, feature="blocks.3"),
    "vit of DINO": replace(VIT, feature="cls_last4"),
    "vit of MAE, fine-tuned": replace(VIT, fc_norm=True),
    "vit, no final norm": replace(VIT, final_norm=False, registers=2),
}


def encoder_of(spec: EncoderSpec) -> Encoder:
    state = random_state(spec, seed=0)
    rng = np.random.default_rng(1)
    # Norms and scales of an untrained network are all alike; here every layer must matter.
    state = {k: (v + 0.1 * rng.random(v.shape)).astype(np.float32) for k, v in state.items()}
    preprocess = Preprocess(size=spec.image_size, resize=spec.image_size)
    return Encoder.from_state(state, name="x", spec=spec, preprocess=preprocess)


# Layers of these are told from each other by the same code as those of the plain one.
ALIKE = {"convnext, masked", "vit without class token", "vit of MSN", "vit, no final norm"}


@pytest.mark.parametrize(
    "name", [pytest.param(n, marks=pytest.mark.nightly) if n in ALIKE else n for n in SMALL]
)
def test_no_two_layers_are_the_same_and_only_copies_are_left_out(name: str) -> None:
    spec = SMALL[name]
    encoder = encoder_of(spec)
    views = np.random.default_rng(0).random((3, *(spec.image_size,) * 2, 3), dtype=np.float32)
    features = {t: np.asarray(v) for t, v in encoder.features(views, taps=spec.taps).items()}
    layers = spec.depth_taps
    assert spec.default_tap in layers and list(layers) == [t for t in spec.taps if t in layers]
    for i, tap in enumerate(layers):
        assert not any(np.array_equal(features[tap], features[other]) for other in layers[:i])
    # What is left out repeats a layer, joins several, or is behind the classifier.
    joined = {"logits", "cls_last4", "cls_patch_mean", "patch_mean"}
    for tap in set(spec.taps) - set(layers) - joined:
        # The last block is averaged in float32 by the pool and by the tap alike.
        assert any(
            features[tap].shape == features[other].shape
            and np.allclose(features[tap], features[other], rtol=1e-6, atol=1e-6)
            for other in layers
        ), tap


@pytest.mark.parametrize("name", SMALL)
def test_depth_runs_from_zero_to_one(name: str) -> None:
    spec = SMALL[name]
    depths = [spec.relative_depth(tap) for tap in spec.depth_taps]
    assert depths[-1] == 1.0 and depths == sorted(set(depths))
    assert len(depths) == 1 or depths[0] == 0.0
    assert all(math.isnan(spec.relative_depth(t)) for t in set(spec.taps) - set(spec.depth_taps))


@pytest.mark.parametrize("name", PUBLISHED)
def test_every_published_encoder_has_its_feature_among_its_layers(name: str) -> None:
    spec = PUBLISHED[name].spec
    assert spec.default_tap in spec.depth_taps
