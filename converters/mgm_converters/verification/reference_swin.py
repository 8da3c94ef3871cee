"""Swin transformers in PyTorch, reading canonical weights.

The twin of :mod:`mgm_converters.verification.reference`. Windows are cut out one by one and a pair
of positions sees each other where both came from one window of the map before the shift was undone,
so that neither the reshaping nor the mask of the checked network is used again.
"""

from __future__ import annotations

from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor

from mgm_converters.verification import reference_layers as layers
from mgm_converters.verification.reference_layers import Weights
from mgm_jax.encoders import SwinSpec


def swin_activations(spec: SwinSpec, weights: Weights, x: Tensor) -> dict[str, Tensor]:
    """Every tap but the logits for normalised images ``[b, 3, h, w]``."""

    linear = partial(layers.linear, weights)
    norm = partial(layers.layer_norm, weights, eps=spec.layer_norm_eps)

    def attention(name: str, x: Tensor, *, heads: int, window: int, shift: int) -> Tensor:
        height, width = x.shape[1:3]
        x = torch.roll(x, (-shift, -shift), (1, 2))
        x = F.pad(x, (0, 0, 0, -width % window, 0, -height % window))
        table = weights[f"{name}.relative_position_bias_table"]
        positions = torch.cartesian_prod(torch.arange(window), torch.arange(window))
        offsets = positions[:, None] - positions[None] + window - 1
        bias = table[offsets[..., 0] * (2 * window - 1) + offsets[..., 1]].permute(2, 0, 1)
        made = torch.zeros_like(x)
        for top in range(0, x.shape[1], window):
            for left in range(0, x.shape[2], window):
                part = x[:, top : top + window, left : left + window].flatten(1, 2)
                qkv = linear(f"{name}.qkv", part).unflatten(-1, (3, heads, -1))
                q, k, v = qkv.permute(2, 0, 3, 1, 4)
                # Behind the last shift positions, the other end of the map has come in.
                wrapped = [
                    (start + positions[:, axis] >= length - shift) & (shift > 0)
                    for axis, (start, length) in enumerate(((top, x.shape[1]), (left, x.shape[2])))
                ]
                apart = sum(side[:, None] != side[None] for side in wrapped) > 0
                scores = q @ k.transpose(-2, -1) * q.shape[-1] ** -0.5 + bias
                scores = scores - 100.0 * apart
                y = (scores.softmax(-1) @ v).transpose(1, 2).flatten(2)
                y = linear(f"{name}.proj", y).unflatten(1, (window, window))
                made[:, top : top + window, left : left + window] = y
        return torch.roll(made[:, :height, :width], (shift, shift), (1, 2))

    def merged(name: str, x: Tensor) -> Tensor:
        x = F.pad(x, (0, 0, 0, x.shape[2] % 2, 0, x.shape[1] % 2))
        corners = [x[:, i::2, j::2] for j in (0, 1) for i in (0, 1)]
        return linear(f"{name}.reduction", norm(f"{name}.norm", torch.cat(corners, -1)))

    proj = weights["patch_embed.proj.weight"], weights["patch_embed.proj.bias"]
    x = norm("patch_embed.norm", F.conv2d(x, *proj, stride=4).permute(0, 2, 3, 1))
    taps = {"patch_embed": x}
    for stage, count in enumerate(spec.blocks):
        if stage:
            x = merged(f"layers.{stage}.downsample", x)
        for i in range(count):
            name, window = f"layers.{stage}.blocks.{i}", spec.stage_windows[stage]
            shift = window // 2 if i % 2 and min(x.shape[1:3]) > window else 0
            x = x + attention(
                f"{name}.attn",
                norm(f"{name}.norm1", x),
                heads=spec.heads[stage],
                window=window,
                shift=shift,
            )
            y = F.gelu(linear(f"{name}.mlp.fc1", norm(f"{name}.norm2", x)))
            x = taps[f"stages.{stage}.{i}"] = x + linear(f"{name}.mlp.fc2", y)
    x = taps["norm"] = norm("norm", x)
    maps = {name: value.permute(0, 3, 1, 2) for name, value in taps.items()}
    return maps | {"pool": x.mean((1, 2))}
