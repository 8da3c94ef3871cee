"""The same networks in PyTorch, reading canonical weights: what a conversion is checked against.

Written from the papers with ``torch.nn.functional`` alone, in the order of the forward pass, and
with BatchNorm left in its place: nothing here is shared with the modules that are checked.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from mgm_converters.verification.reference_convnext import convnext_activations
from mgm_converters.verification.reference_layers import Weights
from mgm_converters.verification.reference_mobilenet import mobilenet_activations
from mgm_converters.verification.reference_swin import swin_activations
from mgm_converters.verification.reference_vit import vit_activations
from mgm_jax.encoders import (
    CifarResNetSpec,
    Conv4Spec,
    ConvNeXtSpec,
    EncoderSpec,
    MobileNetSpec,
    ResNetSpec,
    SwinSpec,
    ViTSpec,
)
from mgm_jax.encoders.spec import LOGITS
from mgm_jax.errors import InputError

Taps = dict[str, Tensor]


def reference_activations(
    spec: EncoderSpec, state: Mapping[str, np.ndarray], images: np.ndarray
) -> dict[str, np.ndarray]:
    """Activations of the PyTorch network of ``spec`` at every tap.

    Args:
        spec: the network.
        state: canonical name to array.
        images: float32 [b, h, w, 3], normalised.

    Returns:
        Tap to array: maps [b, row, column, c], tokens [b, t, c], features [b, d].

    Raises:
        InputError: a family without weights.
    """
    weights = {name: torch.from_numpy(np.ascontiguousarray(a)) for name, a in state.items()}
    x = torch.from_numpy(np.ascontiguousarray(images.transpose(0, 3, 1, 2)))
    with torch.inference_mode():
        match spec:
            case Conv4Spec():
                taps = _conv4(spec, weights, x)
            case CifarResNetSpec():
                taps = _resnet_cifar(spec, weights, x)
            case ResNetSpec():
                taps = _resnet(spec, weights, x)
            case SwinSpec():
                taps = swin_activations(spec, weights, x)
            case MobileNetSpec():
                taps = mobilenet_activations(spec, weights, x)
            case ConvNeXtSpec():
                taps = convnext_activations(spec, weights, x)
            case ViTSpec():
                taps = vit_activations(spec, weights, x)
            case _:
                raise InputError(f"family {spec.family} has no weights to compare")
    if "head.weight" in weights:
        taps[LOGITS] = F.linear(
            taps[spec.default_tap], weights["head.weight"], weights["head.bias"]
        )
    # Maps leave PyTorch as channel, row, column.
    return {
        name: (tap.permute(0, 2, 3, 1) if tap.ndim == 4 else tap).numpy()
        for name, tap in taps.items()
    }


def _norm(weights: Weights, name: str, x: Tensor, *, eps: float) -> Tensor:
    return F.batch_norm(
        x,
        weights[f"{name}.running_mean"],
        weights[f"{name}.running_var"],
        weights[f"{name}.weight"],
        weights[f"{name}.bias"],
        eps=eps,
    )


def _conv4(spec: Conv4Spec, weights: Weights, x: Tensor) -> Taps:
    taps: Taps = {}
    for i in range(4):
        name = f"blocks.{i}"
        x = F.conv2d(x, weights[f"{name}.conv.weight"], weights[f"{name}.conv.bias"], padding=1)
        x = F.relu(_norm(weights, f"{name}.bn", x, eps=spec.batch_norm_eps))
        x = taps[f"block{i}"] = F.max_pool2d(x, 2)
    return taps | {"flatten": x.flatten(1)}


def _resnet_cifar(spec: CifarResNetSpec, weights: Weights, x: Tensor) -> Taps:
    def unit(name: str, number: int, x: Tensor, stride: int = 1) -> Tensor:
        dot = f"{name}." if name else ""
        x = F.conv2d(x, weights[f"{dot}conv{number}.weight"], stride=stride, padding=1)
        return _norm(weights, f"{dot}bn{number}", x, eps=spec.batch_norm_eps)

    x = F.relu(unit("", 1, x))
    taps = {"stem": x}
    for stage in range(1, 4):
        for block in range(spec.blocks):
            name = f"layer{stage}.{block}"
            stride = 2 if stage > 1 and block == 0 else 1
            shortcut = x
            if stride == 2:
                # Option A of the paper: every second pixel, new channels zero on both sides.
                added = x.shape[1] // 2
                shortcut = F.pad(x[:, :, ::2, ::2], (0, 0, 0, 0, added, added))
            y = F.relu(unit(name, 1, x, stride))
            x = taps[name] = F.relu(unit(name, 2, y) + shortcut)
    return taps | {"pool": x.mean((2, 3))}


def _resnet(spec: ResNetSpec, weights: Weights, x: Tensor) -> Taps:
    same = spec.padding == "tf-same"

    def pad(x: Tensor, kernel: int, stride: int, value: float = 0.0) -> Tensor:
        if not same:
            return F.pad(x, (kernel // 2,) * 4, value=value)
        size = x.shape[-1]
        total = max((-(-size // stride) - 1) * stride + kernel - size, 0)
        return F.pad(x, (total // 2, total - total // 2) * 2, value=value)

    def unit(conv: str, norm: str, x: Tensor, stride: int = 1) -> Tensor:
        kernel = weights[f"{conv}.weight"]
        groups = x.shape[1] // kernel.shape[1]
        x = F.conv2d(pad(x, kernel.shape[-1], stride), kernel, stride=stride, groups=groups)
        return _norm(weights, norm, x, eps=spec.batch_norm_eps)

    large = spec.stem == "imagenet"
    x = F.relu(unit("conv1", "bn1", x, 2 if large else 1))
    if large:
        x = F.max_pool2d(pad(x, 3, 2, value=-torch.inf), 3, 2)
    taps = {"stem": x}
    convolutions = 3 if spec.block == "bottleneck" else 2
    # The stride sits in the first 3x3 convolution: number 2 of a bottleneck, 1 of a basic block.
    strided = convolutions - 1
    for stage, count in enumerate(spec.blocks, start=1):
        for block in range(count):
            name = f"layer{stage}.{block}"
            stride = 2 if stage > 1 and block == 0 else 1
            y = x
            for i in range(1, convolutions + 1):
                y = unit(f"{name}.conv{i}", f"{name}.bn{i}", y, stride if i == strided else 1)
                y = F.relu(y) if i < convolutions else y
            if f"{name}.downsample.0.weight" in weights:
                x = unit(f"{name}.downsample.0", f"{name}.downsample.1", x, stride)
            x = taps[name] = F.relu(y + x)
    return taps | {"pool": x.mean((2, 3))}
