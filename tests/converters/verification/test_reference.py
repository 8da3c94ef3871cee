"""The PyTorch networks that conversions are checked against, against the published ones."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from mgm_jax.encoders import (
    ARCHITECTURES,
    CifarResNetSpec,
    Conv4Spec,
    PixelsSpec,
    ResNetSpec,
    ViTSpec,
    random_state,
)
from mgm_jax.errors import InputError

torch = pytest.importorskip("torch")

from mgm_converters.verification.reference import reference_activations  # noqa: E402
from tests.converters.networks import CifarResNet, SequentialConv4  # noqa: E402

# Both sides are PyTorch in float32, with the same operations in the same order.
TOLERANCE = {"rtol": 1e-5, "atol": 1e-5}


def pixels(size: int, batch: int = 2) -> np.ndarray:
    return np.random.default_rng(0).normal(size=(batch, size, size, 3)).astype(np.float32)


def channels_first(images: np.ndarray):
    return torch.from_numpy(np.ascontiguousarray(images.transpose(0, 3, 1, 2)))


def arrays(network) -> dict[str, np.ndarray]:
    return {name: t.numpy() for name, t in network.state_dict().items() if "num_b" not in name}


def read_layers(network, names: dict[str, str], x) -> dict[str, np.ndarray]:
    """Outputs of the named modules of a network, maps as row, column, channel."""
    seen: dict[str, np.ndarray] = {}
    handles = []
    for tap, module in names.items():

        def keep(_, __, output, tap=tap):
            output = output.permute(0, 2, 3, 1) if output.ndim == 4 else output
            seen[tap] = output.detach().numpy()

        handles.append(network.get_submodule(module).register_forward_hook(keep))
    with torch.inference_mode():
        network(x)
    for handle in handles:
        handle.remove()
    return seen


@pytest.mark.slow
@pytest.mark.parametrize("name", ["resnet18", "resnet50", "wide_resnet50_2"])
def test_resnet_is_torchvisions(torchvision, randomised, name):
    network = randomised(getattr(torchvision.models, name)(weights=None))
    spec = replace(ARCHITECTURES[name].spec, image_size=64)
    taps = {tap: tap for tap in spec.taps if tap.startswith("layer")}
    images = pixels(64)
    theirs = read_layers(network, taps | {"stem": "maxpool"}, channels_first(images))
    state = arrays(network)
    ours = reference_activations(spec, {k: v for k, v in state.items() if k[:3] != "fc."}, images)
    for tap, expected in theirs.items():
        scale = np.abs(expected).max()
        np.testing.assert_allclose(ours[tap] / scale, expected / scale, err_msg=tap, **TOLERANCE)
    pooled = theirs[f"layer4.{spec.blocks[-1] - 1}"].mean((1, 2))
    np.testing.assert_allclose(ours["pool"], pooled, rtol=1e-4)


def test_cifar_resnet_is_the_published_code(randomised):
    network = randomised(CifarResNet(blocks=3))
    spec = CifarResNetSpec(blocks=3)
    taps = {tap: tap for tap in spec.taps if tap.startswith("layer")}
    images = pixels(32)
    theirs = read_layers(network, taps, channels_first(images))
    ours = reference_activations(spec, arrays(network), images)
    for tap, expected in theirs.items():
        scale = np.abs(expected).max()
        np.testing.assert_allclose(ours[tap] / scale, expected / scale, err_msg=tap, **TOLERANCE)


def test_conv4_is_the_published_code(randomised):
    network = randomised(SequentialConv4(width=8))
    state = {}
    for name, value in arrays(network).items():
        _, block, layer, part = name.split(".")
        state[f"blocks.{block}.{('conv', 'bn')[int(layer)]}.{part}"] = value
    images = pixels(84)
    with torch.inference_mode():
        expected = network(channels_first(images)).numpy()
    ours = reference_activations(Conv4Spec(channels=8), state, images)
    np.testing.assert_allclose(ours["flatten"], expected, **TOLERANCE)
    assert ours["block0"].shape == (2, 42, 42, 8)


@pytest.mark.parametrize(
    ("name", "options", "spec"),
    [
        ("plain", {}, {}),
        ("layer scale", {"init_values": 0.3}, {"layer_scale": True}),
        ("no class token", {"class_token": False, "global_pool": "avg"}, {"class_token": False}),
        (
            "registers",
            {"reg_tokens": 3, "no_embed_class": False},
            {"registers": 3},
        ),
    ],
)
def test_vit_is_timms(timm, randomised, name, options, spec):
    spec = ViTSpec(image_size=32, patch=8, embed_dim=48, layers=2, heads=4, mlp_dim=96, **spec)
    made = timm.models.vision_transformer.VisionTransformer(
        img_size=32, patch_size=8, embed_dim=48, depth=2, num_heads=4, mlp_ratio=2,
        num_classes=0, fc_norm=False, **options,
    )  # fmt: skip
    network = randomised(made)
    state = arrays(network)
    if spec.registers:
        # timm stores positions for its registers as well; DINOv2 has none there.
        with torch.no_grad():
            network.pos_embed[:, 1 : 1 + spec.registers] = 0
        state = arrays(network)
        kept = state["pos_embed"]
        state["pos_embed"] = np.concatenate([kept[:, :1], kept[:, 1 + spec.registers :]], 1)
        state["register_tokens"] = state.pop("reg_token")
    images = pixels(32)
    names = {"patch_embed": "patch_embed", "norm": "norm"}
    names |= {f"blocks.{i}": f"blocks.{i}" for i in range(2)}
    theirs = read_layers(network, names, channels_first(images))
    ours = reference_activations(spec, state, images)
    for tap, expected in theirs.items():
        np.testing.assert_allclose(ours[tap], expected, err_msg=f"{name} {tap}", **TOLERANCE)
    if spec.class_token:
        np.testing.assert_array_equal(ours["cls"], ours["norm"][:, 0])


@pytest.mark.parametrize("gelu", ["tanh", "quick"])
def test_gelu_variants_differ_and_stay_close(gelu):
    spec = ViTSpec(image_size=16, patch=8, embed_dim=48, layers=1, heads=4, mlp_dim=96)
    state = random_state(spec, seed=0)
    state["blocks.0.mlp.fc1.weight"] = state["blocks.0.mlp.fc1.weight"] * 10
    images = pixels(16)
    exact = reference_activations(spec, state, images)["blocks.0"]
    other = reference_activations(replace(spec, gelu=gelu), state, images)["blocks.0"]
    assert 0 < np.abs(exact - other).max() < 0.05 * np.abs(exact).max()


def test_same_padding_puts_the_odd_pixel_at_the_end():
    """With the stem alone: a 7x7 kernel that reads its centre sees pixel 2 i + 1, not 2 i."""
    spec = ResNetSpec(
        blocks=(1, 1, 1, 1), block="basic", channels=4, image_size=32, padding="tf-same"
    )
    state = random_state(spec, seed=0)
    state["conv1.weight"] = np.zeros_like(state["conv1.weight"])
    state["conv1.weight"][:, 0, 3, 3] = 1.0
    images = np.abs(pixels(32))
    read = {
        padding: reference_activations(replace(spec, padding=padding), state, images)["stem"]
        for padding in ("tf-same", "torchvision")
    }
    scale = np.sqrt(1 + spec.batch_norm_eps)
    red = images[..., 0]
    odd, even = red[:, 1::2, 1::2], red[:, ::2, ::2]
    np.testing.assert_allclose(read["tf-same"][:, 0, 0, 0] * scale, odd[:, :3, :3].max((1, 2)))
    np.testing.assert_allclose(
        read["torchvision"][:, 0, 0, 0] * scale, even[:, :2, :2].max((1, 2)), rtol=1e-6
    )


def test_pixels_have_no_weights():
    with pytest.raises(InputError, match="no weights to compare"):
        reference_activations(PixelsSpec(), {}, pixels(32))
