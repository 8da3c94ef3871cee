"""The backbones against PyTorch's, and their convolution and pooling against XLA's own."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.zoo.export import MAX_BYTES
from benchmarks.zoo.networks.backbones import BACKBONES, ResNet, ViT
from benchmarks.zoo.networks.convolution import by_patches, max_pool
from benchmarks.zoo.weights import state_dict, write_weights

few = settings(max_examples=4, deadline=None)


@few
@given(st.sampled_from([1, 3, 5]), st.sampled_from([1, 2]), st.integers(1, 7), st.integers(0, 99))
def test_convolution_by_patches(kernel: int, stride: int, side: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    x = np.float32(rng.normal(size=(2, side, side, 3)))
    weights = np.float32(rng.normal(size=(kernel, kernel, 3, 4)))
    edge = (kernel // 2, kernel // 2)
    expected = jax.lax.conv_general_dilated(
        x, weights, (stride, stride), (edge, edge), dimension_numbers=("NHWC", "HWIO", "NHWC")
    )
    got = by_patches(jnp.asarray(x), jnp.asarray(weights), stride=stride)
    np.testing.assert_allclose(got, expected, rtol=1e-4, atol=1e-4)


@few
@given(st.integers(1, 5), st.integers(0, 99))
def test_max_pool_and_its_gradient(half: int, seed: int) -> None:
    x = jnp.asarray(np.random.default_rng(seed).normal(size=(2, 2 * half, 2 * half, 3)))

    def reference(x: jax.Array) -> jax.Array:
        return nn.max_pool(x, (3, 3), strides=(2, 2), padding=((1, 1), (1, 1)))

    np.testing.assert_array_equal(max_pool(x), reference(x))
    slopes = [
        jax.jit(jax.grad(lambda x, f=f: jnp.sum(f(x) ** 2)))(x) for f in (max_pool, reference)
    ]
    np.testing.assert_allclose(*slopes, rtol=1e-5)


def variables_of(backbone: ResNet | ViT) -> dict:
    """Random weights, statistics and biases included."""
    rng = np.random.default_rng(0)
    shapes = jax.eval_shape(
        lambda: backbone.init(jax.random.key(0), jnp.zeros((1, 64, 64, 3)), train=False)
    )
    return jax.tree.map(
        lambda s: jnp.asarray(
            0.5 + rng.random(s.shape) if len(s.shape) == 1 else rng.normal(size=s.shape) * 0.1,
            jnp.float32,
        ),
        shapes,
    )


@pytest.fixture(scope="module")
def images() -> np.ndarray:
    return np.random.default_rng(1).normal(size=(4, 64, 64, 3)).astype(np.float32)


def test_resnet_is_torchvisions(images: np.ndarray, torchvision) -> None:
    torch = pytest.importorskip("torch")
    backbone = ResNet()
    variables = variables_of(backbone)
    network = torchvision.models.resnet.ResNet(
        torchvision.models.resnet.BasicBlock, list(backbone.blocks)
    )
    for name, module in dict(network.named_modules()).items():
        # A quarter as wide as torchvision's.
        if isinstance(module, torch.nn.Conv2d):
            owner, _, leaf = name.rpartition(".")
            narrow = torch.nn.Conv2d(
                3 if name == "conv1" else module.in_channels // 4,
                module.out_channels // 4,
                module.kernel_size,
                module.stride,
                module.padding,
                bias=False,
            )
            setattr(network.get_submodule(owner), leaf, narrow)
        elif isinstance(module, torch.nn.BatchNorm2d):
            owner, _, leaf = name.rpartition(".")
            setattr(
                network.get_submodule(owner), leaf, torch.nn.BatchNorm2d(module.num_features // 4)
            )
    network.fc = torch.nn.Identity()
    state = {k: torch.tensor(v) for k, v in state_dict(variables, backbone).items()}
    missing, unexpected = network.load_state_dict(state, strict=False)
    assert all("num_batches_tracked" in name for name in missing)
    assert not unexpected
    with torch.inference_mode():
        expected = network.eval()(torch.tensor(images.transpose(0, 3, 1, 2))).numpy()
    got = jax.jit(partial(backbone.apply, train=False))(variables, images)
    np.testing.assert_allclose(got, expected, rtol=1e-3, atol=1e-4 * np.abs(expected).max())


def test_vit_is_timms(images: np.ndarray) -> None:
    torch = pytest.importorskip("torch")
    timm = pytest.importorskip("timm")
    backbone = ViT()
    variables = variables_of(backbone)
    network = timm.models.VisionTransformer(
        img_size=64,
        patch_size=backbone.patch,
        embed_dim=backbone.width,
        depth=backbone.layers,
        num_heads=backbone.heads,
        class_token=False,
        global_pool="",
        num_classes=0,
    )
    state = {k: torch.tensor(v) for k, v in state_dict(variables, backbone).items()}
    network.load_state_dict(state)
    with torch.inference_mode():
        tokens = network.eval()(torch.tensor(images.transpose(0, 3, 1, 2))).numpy()
    got = jax.jit(partial(backbone.apply, train=False))(variables, images)
    np.testing.assert_allclose(got, tokens.mean(axis=1), rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("name", BACKBONES)
def test_files_convert_to_the_same_encoder(name: str, images: np.ndarray, tmp_path: Path) -> None:
    from mgm_converters import convert

    backbone = BACKBONES[name]()
    variables = variables_of(backbone)
    file = tmp_path / "one.safetensors"
    write_weights(
        file, variables, backbone, method="SimCLR", paradigm="contrastive", training={"epoch": 1}
    )
    assert file.stat().st_size < MAX_BYTES
    assert sum(leaf.size for leaf in jax.tree.leaves(variables["params"])) < 600_000
    conversion = convert(file, verify=False)
    pixels = np.random.default_rng(2).integers(0, 256, (4, 64, 64, 3), dtype=np.uint8)
    preprocess = conversion.encoder.preprocess
    normalised = (pixels / 255.0 - np.array(preprocess.mean)) / np.array(preprocess.std)
    rounded = jax.tree.map(lambda a: a.astype(jnp.float16).astype(jnp.float32), variables)
    apply = jax.jit(partial(backbone.apply, train=False))
    expected = apply(rounded, np.float32(normalised))
    got = conversion.encoder(pixels)
    np.testing.assert_allclose(got, expected, rtol=2e-3, atol=1e-3 * np.abs(expected).max())
    assert conversion.report.method == "SimCLR"
    assert conversion.report.paradigm == "contrastive"
    assert (preprocess.size, preprocess.resize) == (64, 64)
