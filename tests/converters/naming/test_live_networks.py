"""Conversions of live networks of torchvision, timm, Hugging Face and the few-shot code."""

from __future__ import annotations

import numpy as np
import pytest

from mgm_converters import convert
from tests.converters.networks import CifarResNet, FlatConv4, SequentialConv4, TrunkConv4, small_vit

torch = pytest.importorskip("torch")

TOLERANCE = 1e-4
# What a network that takes any size is given: a tenth of the pixels of 224.
SIDE = 72


def views_for(encoder, batch: int = 2) -> np.ndarray:
    size = encoder.preprocess.size
    return np.random.default_rng(1).uniform(size=(batch, size, size, 3)).astype(np.float32)


def assert_equal(conversion, run, tap: str) -> None:
    """Our tap and what ``run`` makes of the same normalised images, within the tolerance."""
    encoder = conversion.encoder
    views = views_for(encoder)
    normalised = (views - np.float32(encoder.preprocess.mean)) / np.float32(encoder.preprocess.std)
    with torch.inference_mode():
        x = torch.from_numpy(np.ascontiguousarray(normalised.transpose(0, 3, 1, 2)))
        theirs = run(x).numpy()
    # All taps, as the verification asks for them: the same compilation serves both.
    ours = np.asarray(encoder.activations(views, taps=encoder.taps)[tap])
    assert ours.shape == theirs.shape
    assert np.abs(ours - theirs).max() <= TOLERANCE * np.abs(theirs).max()


@pytest.mark.parametrize("network", [SequentialConv4, FlatConv4, TrunkConv4])
def test_three_spellings_of_conv4(write, randomised, network):
    live = randomised(network())
    conversion = convert(write({"state_dict": live.state_dict()}))
    assert_equal(conversion, live, "flatten")


def test_cifar_resnet(write, randomised):
    live = randomised(CifarResNet(blocks=3))
    content = {f"module.{key}": value for key, value in live.state_dict().items()}
    conversion = convert(write(content))
    assert conversion.report.architecture == "resnet20"
    assert_equal(conversion, live, "pool")


@pytest.mark.parametrize(
    ("library", "name"),
    [("torchvision", "resnet18"), ("timm", "resnet18")],
)
def test_resnets_of_torchvision_and_timm(request, write, randomised, library, name):
    made = request.getfixturevalue(library)
    if library == "torchvision":
        live = randomised(made.models.get_model(name, weights=None))
    else:
        live = randomised(made.create_model(name, pretrained=False))
    conversion = convert(write(live.state_dict()), size=SIDE)
    assert conversion.report.architecture == name
    assert set(conversion.report.dropped.values()) == {
        "a head, not the encoder",
        "a counter of training steps, not a weight",
    }
    live.fc = torch.nn.Identity()
    assert_equal(conversion, live, "pool")


@pytest.mark.parametrize("block", ["basic", "bottleneck"])
@pytest.mark.parametrize("head", [False, True])
def test_resnets_of_hugging_face(transformers, tmp_path, randomised, block, head):
    widths = [64, 128, 256, 512] if block == "basic" else [256, 512, 1024, 2048]
    config = transformers.ResNetConfig(
        depths=[1, 2, 1, 1], hidden_sizes=widths, layer_type=block, embedding_size=64
    )
    made = transformers.ResNetForImageClassification if head else transformers.ResNetModel
    live = randomised(made(config))
    live.save_pretrained(tmp_path)
    conversion = convert(tmp_path / "model.safetensors", size=SIDE)
    assert conversion.report.format == "safetensors"
    assert conversion.report.prefix == ("resnet." if head else "")
    body = live.resnet if head else live
    assert_equal(conversion, lambda x: body(x).pooler_output.flatten(1), "pool")


def dino(weights):
    return {"teacher": {f"module.backbone.{name}": value for name, value in weights.items()}}


def moco_v3(weights):
    twins = ("base_encoder", "momentum_encoder")
    content = {f"module.{twin}.{name}": v for twin in twins for name, v in weights.items()}
    return {"state_dict": content | {"module.predictor.0.weight": torch.zeros(4, 4)}}


def mae(weights):
    decoder = {"decoder_blocks.0.attn.qkv.weight": torch.zeros(24, 8)}
    return {"model": weights | decoder | {"mask_token": torch.zeros(1, 1, 8)}}


@pytest.mark.parametrize(
    ("wrap", "prefix"),
    [(dict, ""), (dino, "module.backbone."), (moco_v3, "module.base_encoder."), (mae, "")],
)
def test_vits_in_timms_naming(timm, write, randomised, wrap, prefix):
    live = randomised(small_vit(timm, num_classes=7))
    conversion = convert(write(wrap(live.state_dict())))
    assert conversion.report.prefix == prefix
    # MoCo-v3 alone of these is evaluated on bilinear images.
    expected = "bilinear" if wrap is moco_v3 else "bicubic"
    assert conversion.encoder.preprocess.interpolation == expected
    assert_equal(conversion, live.forward_features, "norm")
    assert_equal(conversion, lambda x: live.forward_features(x)[:, 0], "cls")


def test_dinov2_layer_scales(timm, write, randomised):
    live = randomised(small_vit(timm, num_classes=0, init_values=0.5))
    conversion = convert(write(live.state_dict()))
    assert_equal(conversion, live.forward_features, "norm")


@pytest.mark.parametrize("spelling", ["file", "memory"])
def test_vits_of_hugging_face(transformers, write, tmp_path, randomised, spelling):
    config = transformers.ViTConfig(
        hidden_size=192, num_hidden_layers=2, num_attention_heads=3, intermediate_size=256,
        image_size=64, patch_size=16, layer_norm_eps=1e-6,
    )  # fmt: skip
    live = randomised(transformers.ViTForImageClassification(config))
    if spelling == "file":
        live.save_pretrained(tmp_path)
        file = tmp_path / "model.safetensors"
    else:
        file = write(live.state_dict())
    conversion = convert(file)
    assert conversion.report.prefix == "vit."
    assert_equal(conversion, lambda x: live.vit(x).last_hidden_state, "norm")


def test_half_precision_weights(write, randomised):
    live = randomised(SequentialConv4()).half()
    conversion = convert(write(live.state_dict()))
    assert_equal(conversion, live.float(), "flatten")
