"""ConvNeXt in PyTorch, reading canonical weights.

The twin of :mod:`mgm_converters.verification.reference`.
"""

from __future__ import annotations

from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor

from mgm_converters.verification import reference_layers as layers
from mgm_converters.verification.reference_layers import Weights
from mgm_jax.encoders import ConvNeXtSpec


def convnext_activations(spec: ConvNeXtSpec, weights: Weights, x: Tensor) -> dict[str, Tensor]:
    """Every tap but the logits for normalised images ``[b, 3, h, w]``."""

    def conv(name: str, x: Tensor, **options: int) -> Tensor:
        return F.conv2d(x, weights[f"{name}.weight"], weights[f"{name}.bias"], **options)

    linear = partial(layers.linear, weights)
    norm = partial(layers.layer_norm, weights, eps=spec.layer_norm_eps)

    def over_channels(name: str, x: Tensor) -> Tensor:
        return norm(name, x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)

    def block(name: str, x: Tensor) -> Tensor:
        y = conv(f"{name}.conv_dw", x, padding=3, groups=x.shape[1])
        y = norm(f"{name}.norm", y.permute(0, 2, 3, 1))
        y = F.gelu(linear(f"{name}.mlp.fc1", y))
        if spec.response_norm:
            response = torch.linalg.vector_norm(y, dim=(1, 2), keepdim=True)
            share = response / (response.mean(-1, keepdim=True) + 1e-6)
            grn = f"{name}.mlp.grn"
            y = y + weights[f"{grn}.weight"] * (y * share) + weights[f"{grn}.bias"]
        y = linear(f"{name}.mlp.fc2", y)
        if spec.layer_scale:
            y = y * weights[f"{name}.gamma"]
        return x + y.permute(0, 3, 1, 2)

    x = over_channels("stem.1", conv("stem.0", x, stride=4))
    taps = {"stem": x}
    for stage, count in enumerate(spec.blocks):
        if stage:
            halving = f"stages.{stage}.downsample"
            x = conv(f"{halving}.1", over_channels(f"{halving}.0", x), stride=2)
        for i in range(count):
            x = taps[f"stages.{stage}.{i}"] = block(f"stages.{stage}.blocks.{i}", x)
    x = taps["pool"] = x.mean((2, 3))
    return taps | ({"norm": norm("norm", x)} if spec.final_norm else {})
