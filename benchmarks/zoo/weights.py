"""From the backbones' variables to PyTorch-layout state dicts, in files that say what they are."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from flax.traverse_util import flatten_dict
from safetensors.numpy import save_file

from benchmarks.zoo.networks.backbones import PIXELS, ResNet, ViT
from mgm_jax.encoders.spec import IMAGENET_MEAN, IMAGENET_STD
from mgm_jax.files.whole import whole_file

_NORM = {"scale": "weight", "bias": "bias", "mean": "running_mean", "var": "running_var"}


def state_dict(variables: Mapping[str, Any], backbone: ResNet | ViT) -> dict[str, np.ndarray]:
    """The backbone's weights under torchvision's (ResNet) or timm's (ViT) names and layouts.

    Args:
        variables: ``params`` and, of a ResNet, ``batch_stats`` of the backbone.
        backbone: which one.

    Returns:
        float32: convolutions ``[out, in, row, column]``, matrices ``[out, in]``.
    """
    flat: dict[tuple[str, ...], np.ndarray] = {}
    for tree in variables.values():
        flat |= {path: np.asarray(a) for path, a in flatten_dict(tree).items()}
    state = {}
    for path, array in flat.items():
        *owners, leaf = path
        name = ".".join(_owner(owner) for owner in owners)
        if not owners:
            state[leaf] = array
        elif leaf == "kernel":
            state[f"{name}.weight"] = _kernel(name, array, backbone)
        else:
            state[f"{name}.{_NORM[leaf]}"] = array
    return state


def _owner(name: str) -> str:
    """``layer1_0`` to ``layer1.0``, ``attn_qkv`` to ``attn.qkv``; ``patch_embed`` is one word."""
    return name.replace("_", ".").replace("patch.embed", "patch_embed")


def _kernel(name: str, kernel: np.ndarray, backbone: ResNet | ViT) -> np.ndarray:
    if name == "patch_embed.proj" and isinstance(backbone, ViT):
        patch = backbone.patch
        return kernel.reshape(patch, patch, 3, -1).transpose(3, 2, 0, 1)
    return kernel.transpose(3, 2, 0, 1) if kernel.ndim == 4 else kernel.T


def write_weights(
    path: Path,
    variables: Mapping[str, Any],
    backbone: ResNet | ViT,
    *,
    method: str,
    paradigm: str,
    training: Mapping[str, Any],
) -> None:
    """Write a backbone as float16 safetensors that :mod:`converters` reads.

    Args:
        path: file to write, whole or not at all.
        variables: of the backbone.
        backbone: which one.
        method: as its authors write it.
        paradigm: kind of training.
        training: plain values: budget, seed, hardware, commit, accuracies.
    """
    tensors = {
        name: np.ascontiguousarray(array, np.float16)
        for name, array in state_dict(variables, backbone).items()
    }
    metadata = {
        "mgm_method": method,
        "mgm_paradigm": paradigm,
        "mgm_input": json.dumps(
            {
                "size": PIXELS,
                "resize": PIXELS,
                "interpolation": "bilinear",
                "mean": IMAGENET_MEAN,
                "std": IMAGENET_STD,
            }
        ),
        "mgm_training": json.dumps(dict(training)),
    }
    if isinstance(backbone, ViT):
        metadata["mgm_heads"] = str(backbone.heads)
    with whole_file(path) as part:
        save_file(tensors, part, metadata=metadata)
