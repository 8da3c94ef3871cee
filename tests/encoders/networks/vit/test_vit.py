"""Vision transformers against timm and transformers."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from mgm_jax.encoders import ViTSpec
from tests.encoders.oracles import (
    assert_taps_agree,
    busy_state,
    encoder_of,
    load_into,
    read_torch,
    relative_error,
    views_of,
)

SMALL = ViTSpec(image_size=32, patch=8, embed_dim=48, layers=3, heads=3, mlp_dim=144)


def timm_vit(spec: ViTSpec, **options: Any) -> Any:
    import torch
    from timm.layers.activations import QuickGELU
    from timm.models.vision_transformer import VisionTransformer

    gelu = {
        "exact": torch.nn.GELU,
        "tanh": partial(torch.nn.GELU, approximate="tanh"),
        "quick": QuickGELU,
    }
    return VisionTransformer(
        img_size=spec.image_size,
        patch_size=spec.patch,
        embed_dim=spec.embed_dim,
        depth=spec.layers,
        num_heads=spec.heads,
        mlp_ratio=spec.mlp_dim / spec.embed_dim,
        class_token=spec.class_token,
        qkv_bias=spec.qkv_bias,
        init_values=1.0 if spec.layer_scale else None,
        norm_layer=partial(torch.nn.LayerNorm, eps=spec.layer_norm_eps),
        act_layer=gelu[spec.gelu],
        global_pool="",
        num_classes=0,
        **options,
    )


def expected_taps(network: Any, spec: ViTSpec, views: np.ndarray) -> dict[str, Any]:
    places = {tap: tap for tap in spec.taps if tap.startswith(("patch_embed", "blocks", "norm"))}
    found = read_torch(network, views, places)
    found["patch_mean"] = mean = found["norm"][:, spec.prefix :].mean(axis=1)
    if spec.class_token:
        found["cls"] = found["norm"][:, 0]
        found["cls_patch_mean"] = np.concatenate([found["cls"], mean], axis=1)
    return found


@pytest.mark.slow
@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"layer_scale": True, "gelu": "tanh", "layer_norm_eps": 1e-5},
        {"class_token": False, "qkv_bias": False, "gelu": "quick"},
    ],
    ids=["plain", "layer scale", "no class token"],
)
def test_every_tap_equals_timm(changes: dict[str, Any], timm: ModuleType) -> None:
    spec = replace(SMALL, **changes)
    state, views = busy_state(spec), views_of(spec)
    network = load_into(timm_vit(spec), state)
    assert_taps_agree(encoder_of(spec, state), views, expected_taps(network, spec, views))


def test_registers_equal_timm(timm: ModuleType) -> None:
    import torch

    spec = replace(SMALL, registers=4)
    state, views = busy_state(spec), views_of(spec)
    network = timm_vit(spec, reg_tokens=4, no_embed_class=True)
    theirs = dict(state)
    # timm adds positions to the patches alone: the class token carries its own.
    theirs["cls_token"] = state["cls_token"] + state["pos_embed"][:, :1]
    theirs["pos_embed"] = state["pos_embed"][:, 1:]
    theirs["reg_token"] = theirs.pop("register_tokens")
    load_into(network, theirs)
    with torch.no_grad():
        assert network(torch.zeros(1, 3, 32, 32)).shape == (1, 1 + 4 + 16, 48)
    assert_taps_agree(encoder_of(spec, state), views, expected_taps(network, spec, views))


@pytest.mark.slow
def test_base_width_equals_timm(timm: ModuleType) -> None:
    """Two blocks at the width and the patch of ViT-B/16: sums of 768 and 3072 terms."""
    spec = ViTSpec(image_size=64, patch=16, embed_dim=768, layers=2, heads=12, mlp_dim=3072)
    state, views = busy_state(spec), views_of(spec)
    network = load_into(timm_vit(spec), state)
    assert_taps_agree(encoder_of(spec, state), views, expected_taps(network, spec, views))


def test_last_layer_equals_transformers() -> None:
    torch = pytest.importorskip("torch")
    transformers = pytest.importorskip("transformers")
    config = transformers.ViTConfig(
        hidden_size=48,
        num_hidden_layers=2,
        num_attention_heads=4,
        intermediate_size=96,
        image_size=32,
        patch_size=8,
        layer_norm_eps=1e-6,
    )
    torch.manual_seed(0)
    network = transformers.ViTModel(config, add_pooling_layer=False).eval()
    spec = ViTSpec(image_size=32, patch=8, embed_dim=48, layers=2, heads=4, mlp_dim=96)
    views = views_of(spec)
    with torch.no_grad():
        expected = network(torch.from_numpy(views.transpose(0, 3, 1, 2).copy()))
    got = encoder_of(spec, from_transformers(network, layers=2)).activations(views, taps=["norm"])
    assert relative_error(got["norm"], expected.last_hidden_state.numpy()) <= 1e-4


def from_transformers(network: Any, *, layers: int) -> dict[str, np.ndarray]:
    """Canonical state of a ViTModel, read by the order of its tensors within a block.

    The names changed between major versions; the order of definition did not.
    """
    theirs = {name: value.detach().numpy() for name, value in network.named_parameters()}
    embeddings = {
        name.split("embeddings.", 1)[1]: v for name, v in theirs.items() if "embeddings." in name
    }
    state = {
        "cls_token": embeddings["cls_token"],
        "pos_embed": embeddings["position_embeddings"],
        "patch_embed.proj.weight": embeddings["patch_embeddings.projection.weight"],
        "patch_embed.proj.bias": embeddings["patch_embeddings.projection.bias"],
    }
    for i in range(layers):
        block = [(n, v) for n, v in theirs.items() if f"layer.{i}." in n or f"layers.{i}." in n]
        for leaf in ("weight", "bias"):
            parts = [v for n, v in block if n.endswith(leaf)]
            matrices = [v for n, v in block if n.endswith(leaf) and "norm" not in n]
            norms = [v for n, v in block if n.endswith(leaf) and "norm" in n]
            assert (len(parts), len(matrices), len(norms)) == (8, 6, 2)
            names = ("attn.proj", "mlp.fc1", "mlp.fc2")
            state[f"blocks.{i}.attn.qkv.{leaf}"] = np.concatenate(matrices[:3])
            state |= {
                f"blocks.{i}.{name}.{leaf}": v for name, v in zip(names, matrices[3:], strict=True)
            }
            state |= {f"blocks.{i}.norm{j}.{leaf}": v for j, v in enumerate(norms, start=1)}
    for leaf in ("weight", "bias"):
        (name,) = [n for n in theirs if n.endswith(f"layernorm.{leaf}") and ".layer" not in n]
        state[f"norm.{leaf}"] = theirs[name]
    return state
