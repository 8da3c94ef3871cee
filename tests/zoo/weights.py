"""Small random encoders in the layout of the zoo's files, written on the spot without PyTorch."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from safetensors.numpy import save_file

State = dict[str, np.ndarray]

INPUT = {
    "size": 64,
    "resize": 64,
    "interpolation": "bilinear",
    "mean": [0.485, 0.456, 0.406],
    "std": [0.229, 0.224, 0.225],
}
TRAINING = {"epochs": 12, "images_seen": 300000, "seed": 3, "knn": {"unseen": 0.25}}


def resnet_state(
    seed: int = 0,
    *,
    width: int = 4,
    blocks: tuple[int, ...] = (1, 1, 1, 1),
    dtype: type = np.float16,
) -> State:
    """torchvision's names: basic blocks, a 7x7 stem of stride 2."""
    rng = np.random.default_rng(seed)
    state: State = {}

    def conv(name: str, out: int, into: int, kernel: int) -> None:
        scale = np.sqrt(2 / (into * kernel**2))
        state[name] = (scale * rng.normal(size=(out, into, kernel, kernel))).astype(dtype)

    def norm(name: str, channels: int) -> None:
        for kind, low, high in (
            ("weight", 0.5, 1.5),
            ("bias", -0.5, 0.5),
            ("running_mean", -0.5, 0.5),
            ("running_var", 0.5, 2.0),
        ):
            state[f"{name}.{kind}"] = rng.uniform(low, high, channels).astype(dtype)

    conv("conv1.weight", width, 3, 7)
    norm("bn1", width)
    into = width
    for stage, count in enumerate(blocks):
        out = width * 2**stage
        for block in range(count):
            name = f"layer{stage + 1}.{block}"
            for number, source in ((1, into), (2, out)):
                conv(f"{name}.conv{number}.weight", out, source, 3)
                norm(f"{name}.bn{number}", out)
            if into != out:
                conv(f"{name}.downsample.0.weight", out, into, 1)
                norm(f"{name}.downsample.1", out)
            into = out
    return state


def vit_state(
    seed: int = 0, *, dim: int = 24, depth: int = 2, patch: int = 8, dtype: type = np.float16
) -> State:
    """timm's names: class token, learned positions of 64 pixels."""
    rng = np.random.default_rng(seed)
    shapes: dict[str, tuple[int, ...]] = {
        "cls_token": (1, 1, dim),
        "pos_embed": (1, (64 // patch) ** 2 + 1, dim),
        "patch_embed.proj.weight": (dim, 3, patch, patch),
        "patch_embed.proj.bias": (dim,),
        "norm.weight": (dim,),
        "norm.bias": (dim,),
    }
    for block in range(depth):
        for part, out, into in (
            ("attn.qkv", 3 * dim, dim),
            ("attn.proj", dim, dim),
            ("mlp.fc1", 4 * dim, dim),
            ("mlp.fc2", dim, 4 * dim),
        ):
            shapes[f"blocks.{block}.{part}.weight"] = (out, into)
            shapes[f"blocks.{block}.{part}.bias"] = (out,)
        for part in ("norm1", "norm2"):
            shapes[f"blocks.{block}.{part}.weight"] = shapes[f"blocks.{block}.{part}.bias"] = (dim,)

    def draw(name: str, shape: tuple[int, ...]) -> np.ndarray:
        if "norm" in name and name.endswith("weight"):
            return rng.uniform(0.5, 1.5, shape)
        fan = np.prod(shape[1:]) if len(shape) > 1 and "token" not in name else 4
        return rng.normal(size=shape) / np.sqrt(fan)

    return {name: draw(name, shape).astype(dtype) for name, shape in shapes.items()}


def stated(
    method: str = "SimCLR",
    paradigm: str = "contrastive",
    *,
    heads: int | None = None,
    **changes: str,
) -> dict[str, str]:
    """Metadata as the zoo's files carry it; ``changes`` replaces whole texts."""
    texts = {
        "mgm_method": method,
        "mgm_paradigm": paradigm,
        "mgm_input": json.dumps(INPUT),
        "mgm_training": json.dumps(TRAINING),
    }
    if heads is not None:
        texts["mgm_heads"] = str(heads)
    return texts | changes


def write(path: Path, state: State, metadata: Mapping[str, str] | None = None) -> Path:
    """Write a safetensors file and return its path."""
    path.parent.mkdir(parents=True, exist_ok=True)
    save_file(state, path, metadata=dict(metadata or {}))
    return path


def write_zoo(folder: Path) -> Path:
    """A zoo of three: two methods on a ResNet, one on a ViT."""
    write(folder / "simclr-resnet.safetensors", resnet_state(0), stated())
    write(
        folder / "untrained-resnet.safetensors",
        resnet_state(1),
        stated("Untrained", "untrained", mgm_training=json.dumps({"epochs": 0})),
    )
    write(folder / "mae-vit.safetensors", vit_state(), stated("MAE", "masked", heads=3))
    return folder
