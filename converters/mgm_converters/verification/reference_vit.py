"""The vision transformers in PyTorch, reading canonical weights.

The twin of :mod:`mgm_converters.verification.reference`.
Positions are interpolated by PyTorch's own kernel, with the arguments that each original gives it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import Tensor

from mgm_converters.verification.reference_layers import Weights, layer_norm, linear
from mgm_jax.encoders import ViTSpec


def vit_activations(spec: ViTSpec, weights: Weights, x: Tensor) -> dict[str, Tensor]:
    """Every tap but the logits for normalised images ``[b, 3, h, w]``."""
    patches = F.conv2d(
        x,
        weights["patch_embed.proj.weight"],
        weights.get("patch_embed.proj.bias"),
        stride=spec.patch,
    )
    grid = patches.shape[2], patches.shape[3]
    x = patches.flatten(2).transpose(1, 2)
    taps = {"patch_embed": x}
    batch = len(x)
    if spec.class_token:
        x = torch.cat([weights["cls_token"].expand(batch, -1, -1), x], 1)
    if spec.positions != "rope":
        x = x + interpolated(spec, weights["pos_embed"], grid)
    if spec.registers:
        registers = weights["register_tokens"].expand(batch, -1, -1)
        x = torch.cat([x[:, : spec.class_token], registers, x[:, spec.class_token :]], 1)
    if spec.pre_norm:
        x = taps["norm_pre"] = _layer_norm(spec, weights, "norm_pre", x)
    for i in range(spec.layers):
        name = f"blocks.{i}"
        y = _attention(
            spec, weights, f"{name}.attn", _layer_norm(spec, weights, f"{name}.norm1", x), grid
        )
        x = x + (y * weights[f"{name}.ls1.gamma"] if spec.layer_scale else y)
        y = _mlp(spec, weights, f"{name}.mlp", _layer_norm(spec, weights, f"{name}.norm2", x))
        x = x + (y * weights[f"{name}.ls2.gamma"] if spec.layer_scale else y)
        taps[name] = x
    return taps | _features(spec, weights, taps)


def interpolated(spec: ViTSpec, stored: Tensor, grid: tuple[int, int]) -> Tensor:
    """Stored positions ``[1, 1 + n, d]`` for another grid, as the originals do it."""
    side = spec.grid
    if grid == (side, side):
        return stored
    first, rest = stored[:, : spec.class_token], stored[:, spec.class_token :]
    square = rest.reshape(1, side, side, -1).permute(0, 3, 1, 2)
    if spec.position_resize == "offset":
        scales = tuple(float(n + 0.1) / math.sqrt(side * side) for n in grid)
        square = F.interpolate(square, scale_factor=scales, mode="bicubic")
    else:
        antialias = spec.position_resize == "antialias"
        square = F.interpolate(square, size=grid, mode="bicubic", antialias=antialias)
    return torch.cat([first, square.permute(0, 2, 3, 1).flatten(1, 2)], 1)


def _features(spec: ViTSpec, weights: Weights, taps: Mapping[str, Tensor]) -> dict[str, Tensor]:
    def norm(x: Tensor) -> Tensor:
        return _layer_norm(spec, weights, "norm", x) if spec.final_norm else x

    last = taps[f"blocks.{spec.layers - 1}"]
    x = norm(last)
    made = {"norm": x} if spec.final_norm else {}
    made["patch_mean"] = x[:, spec.prefix :].mean(1)
    if spec.class_token:
        made["cls"] = x[:, 0]
        made["cls_patch_mean"] = torch.cat([x[:, 0], made["patch_mean"]], 1)
        if spec.layers >= 4:
            four = range(spec.layers - 4, spec.layers)
            made["cls_last4"] = torch.cat([norm(taps[f"blocks.{i}"])[:, 0] for i in four], 1)
    if spec.fc_norm:
        made["fc_norm"] = _layer_norm(spec, weights, "fc_norm", last[:, spec.prefix :].mean(1))
    if spec.attention_pool:
        made["attention_pool"] = _pooled(spec, weights, x)
    if spec.proj_dim:
        made["proj"] = made["cls"] @ weights["proj.weight"].T
    return made


def _layer_norm(spec: ViTSpec, weights: Weights, name: str, x: Tensor) -> Tensor:
    return layer_norm(weights, name, x, eps=spec.layer_norm_eps)


def _attention(
    spec: ViTSpec, weights: Weights, name: str, x: Tensor, grid: tuple[int, int]
) -> Tensor:
    batch, tokens, dim = x.shape
    qkv = linear(weights, f"{name}.qkv", x).reshape(batch, tokens, 3, spec.heads, -1)
    q, k, v = qkv.permute(2, 0, 3, 1, 4)
    if spec.positions == "rope":
        q, k = (_rotated(spec, weights["rope_periods"], part, grid) for part in (q, k))
    if spec.positions == "both":
        q, k = (_turned(spec, part, grid) for part in (q, k))
    scores = (q @ k.transpose(-2, -1)) * (dim // spec.heads) ** -0.5
    mixed = (scores.softmax(-1) @ v).transpose(1, 2).reshape(batch, tokens, dim)
    if spec.attention_norm:
        mixed = _layer_norm(spec, weights, f"{name}.norm", mixed)
    return linear(weights, f"{name}.proj", mixed)


def _rotated(spec: ViTSpec, periods: Tensor, x: Tensor, grid: tuple[int, int]) -> Tensor:
    axes = [2 * (torch.arange(n) + 0.5) / n - 1 for n in grid]
    down, across = (axis.flatten() for axis in torch.meshgrid(*axes, indexing="ij"))
    turns = torch.cat([down[:, None] / periods, across[:, None] / periods], 1)
    angles = 2 * math.pi * torch.cat([turns, turns], 1)
    fixed, patches = x[:, :, : spec.prefix], x[:, :, spec.prefix :]
    half = spec.head_dim // 2
    other = torch.cat([-patches[..., half:], patches[..., :half]], -1)
    return torch.cat([fixed, patches * angles.cos() + other * angles.sin()], 2)


def _turned(spec: ViTSpec, x: Tensor, grid: tuple[int, int]) -> Tensor:
    """Neighbouring entries as one complex number, times a phase."""
    axes = [torch.arange(n) * (16 / n) for n in grid]
    quarter = spec.head_dim // 4
    rates = 10_000.0 ** (-torch.arange(quarter) / quarter)
    down, across = (axis.flatten() for axis in torch.meshgrid(*axes, indexing="ij"))
    angles = torch.cat([down[:, None] * rates, across[:, None] * rates], 1)
    fixed, patches = x[:, :, : spec.prefix], x[:, :, spec.prefix :]
    pairs = torch.view_as_complex(patches.unflatten(-1, (-1, 2)).contiguous())
    turned = torch.view_as_real(pairs * torch.polar(torch.ones_like(angles), angles))
    return torch.cat([fixed, turned.flatten(-2)], 2)


def _pooled(spec: ViTSpec, weights: Weights, x: Tensor) -> Tensor:
    """PyTorch's own multi-head attention with one query, then an MLP beside an identity."""
    kinds = {
        kind: torch.cat([weights[f"attn_pool.{part}.{kind}"] for part in ("q", "kv")])
        for kind in ("weight", "bias")
    }
    query = weights["attn_pool.latent"].expand(len(x), -1, -1).transpose(0, 1)
    tokens = x.transpose(0, 1)
    pooled, _ = F.multi_head_attention_forward(
        query,
        tokens,
        tokens,
        spec.embed_dim,
        spec.heads,
        kinds["weight"],
        kinds["bias"],
        None,
        None,
        False,
        0.0,
        weights["attn_pool.proj.weight"],
        weights["attn_pool.proj.bias"],
        training=False,
    )
    pooled = pooled[0]
    y = _layer_norm(spec, weights, "attn_pool.norm", pooled)
    y = linear(weights, "attn_pool.mlp.fc1", y)
    y = F.gelu(y, approximate="tanh" if spec.gelu == "tanh" else "none")
    return pooled + linear(weights, "attn_pool.mlp.fc2", y)


def _mlp(spec: ViTSpec, weights: Weights, name: str, x: Tensor) -> Tensor:
    if spec.mlp == "swiglu":
        gate, up = linear(weights, f"{name}.w12", x).chunk(2, dim=-1)
        hidden = F.silu(gate) * up
        if spec.mlp_norm:
            hidden = _layer_norm(spec, weights, f"{name}.norm", hidden)
        return linear(weights, f"{name}.w3", hidden)
    x = linear(weights, f"{name}.fc1", x)
    if spec.gelu == "quick":
        x = x * torch.sigmoid(1.702 * x)
    else:
        x = F.gelu(x, approximate="tanh" if spec.gelu == "tanh" else "none")
    return linear(weights, f"{name}.fc2", x)
