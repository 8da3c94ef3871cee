"""The spec of an encoder from the shapes of its canonical weights.

Shapes give the block kind, the widths, the depth, the patch and the grid. They do not give the
number of heads, the LayerNorm epsilon, the GELU variant or the padding: the first follows from the
width by convention, the others take the value of the family, and :func:`assumptions` says so.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from mgm_converters.naming.rules import Family
from mgm_converters.recognition.convnext import spec_of_convnext
from mgm_converters.recognition.mobilenet import spec_of_mobilenet
from mgm_converters.recognition.swin import spec_of_swin
from mgm_jax.encoders import (
    ARCHITECTURES,
    CifarResNetSpec,
    Conv4Spec,
    ConvNeXtSpec,
    EncoderSpec,
    MobileNetSpec,
    ResNetSpec,
    SwinSpec,
    ViTSpec,
)
from mgm_jax.encoders.catalogue.published import PUBLISHED
from mgm_jax.encoders.catalogue.registry import VIT_SIZES
from mgm_jax.errors import InputError

State = Mapping[str, np.ndarray]

# The usual heads of a width; then SigLIP's largest, I-JEPA and OpenCLIP giant, DINOv2 giant and
# DINOv3's largest.
_HEADS = {dim: heads for dim, _, heads in VIT_SIZES.values()} | {
    1152: 16,
    1408: 16,
    1536: 24,
    4096: 32,
}
# With rotary positions the file says the width of a head, unless Hugging Face wrote it.
_ROTARY_HEADS = _HEADS | {1280: 20}
# MoCo-v3 gave its small ViT twice the usual heads.
_MOCO_V3_PREFIX = re.compile(r"(?:^|\.)(?:base_encoder|momentum_encoder)\.$")
_MOCO_V3_HEADS = _HEADS | {384: 12}


def infer_spec(
    family: Family, state: State, *, prefix: str = "", heads: int | None = None
) -> EncoderSpec:
    """The spec that a canonical state of ``family`` belongs to.

    Args:
        family: of the encoder.
        state: canonical name to array; only names and shapes are looked at.
        prefix: what stood before the names in the file; MoCo-v3's decides the number of heads.
        heads: of a ViT, where something else than the width says it.

    Raises:
        InputError: a weight that decides the spec is missing, or has a shape no spec has.
    """
    spec = _of_family(family, state, prefix=prefix, heads=heads)
    return replace(spec, image_channels=_image_channels(spec, state))


# The weight that sees the image, a family each.
_FIRST = {
    "conv4": "blocks.0.conv.weight",
    "resnet_cifar": "conv1.weight",
    "resnet": "conv1.weight",
    "vit": "patch_embed.proj.weight",
    "convnext": "stem.0.weight",
    "swin": "patch_embed.proj.weight",
    "mobilenet": "conv_stem.weight",
}


def _image_channels(spec: EncoderSpec, state: State) -> int:
    """Channels of the images that the weights take.

    Raises:
        InputError: neither grey nor colour.
    """
    name = _FIRST.get(spec.family)
    if name is None:
        return spec.image_channels
    channels = _shape(state, name, 4)[1]
    if channels not in (1, 3):
        raise InputError(
            f"{name}: takes images of {channels} channels; expected 3 (colour) or 1 (grey). Pass "
            "the features of such an encoder instead"
        )
    return channels


def _of_family(family: Family, state: State, *, prefix: str, heads: int | None) -> EncoderSpec:
    match family:
        case "conv4":
            return Conv4Spec(channels=_shape(state, "blocks.0.conv.weight", 4)[0])
        case "resnet_cifar":
            return CifarResNetSpec(
                blocks=_count(r"layer1\.(\d+)\.", state),
                channels=_shape(state, "conv1.weight", 4)[0],
            )
        case "resnet":
            return _resnet(state)
        case "convnext":
            return spec_of_convnext(state)
        case "swin":
            return spec_of_swin(state)
        case "mobilenet":
            return spec_of_mobilenet(state)
        case "vit":
            return _vit(state, prefix=prefix, heads=heads)


def named_spec(model: str, state: State) -> EncoderSpec:
    """The spec of a named encoder, with the optional parts that the weights have.

    For a ViT the name decides widths, depth, heads and what else no weight reveals; the grid, the
    tokens, the norms and the kind of the MLP are taken from the weights.

    Args:
        model: a name in ``ARCHITECTURES`` or ``PUBLISHED``.
        state: canonical name to array.

    Raises:
        InputError: a weight that decides an optional part has a shape no spec has.
    """
    spec = (PUBLISHED.get(model) or ARCHITECTURES[model]).spec
    first = state.get(_FIRST.get(spec.family, ""))
    if first is not None and len(first.shape) == 4:
        # A network that is trained on grey images goes by the name of its colour one.
        spec = replace(spec, image_channels=_image_channels(spec, state))
    if isinstance(spec, ConvNeXtSpec):
        # A file of masked pretraining has no final norm.
        return replace(spec, final_norm="norm.weight" in state)
    if not isinstance(spec, ViTSpec):
        return spec
    return replace(
        spec, image_size=_grid(state, default=spec.grid) * spec.patch, **_optional_parts(state)
    )


def architecture_name(spec: EncoderSpec) -> str:
    """Name in ``ARCHITECTURES`` of ``spec``, or the family where it has none.

    Neither the input size nor the classifier counts, and of a ViT only widths, depth and patch.
    """
    shown = _outline(spec)
    names = (name for name, known in ARCHITECTURES.items() if _outline(known.spec) == shown)
    return next(names, spec.family)


def _outline(spec: EncoderSpec) -> dict[str, Any]:
    if isinstance(spec, ViTSpec):
        return {
            name: getattr(spec, name)
            for name in ("embed_dim", "layers", "mlp_dim", "patch", "attention_pool")
        }
    varying = {"image_size": None, "classes": 0, "padding": None, "final_norm": None}
    varying |= {"image_channels": 3}
    return spec.to_dict() | varying


def assumptions(spec: EncoderSpec) -> tuple[str, ...]:
    """What no weight reveals about ``spec``, with the value that was taken."""
    match spec:
        case Conv4Spec():
            return (f"input of {spec.image_size} pixels", f"BatchNorm epsilon {_eps(spec)}")
        case ResNetSpec():
            strides = "stride in the 3x3 convolution of a bottleneck, "
            return (
                f"{strides if spec.block == 'bottleneck' else ''}{spec.padding} padding",
                f"BatchNorm epsilon {_eps(spec)}",
            )
        case SwinSpec():
            return (
                f"input of {spec.image_size} pixels",
                "exact GELU",
                f"LayerNorm epsilon {spec.layer_norm_eps:g}",
            )
        case MobileNetSpec():
            strides = ", ".join(map(str, spec.strides))
            return (
                f"strides {strides}",
                f"{spec.padding} padding",
                f"BatchNorm epsilon {_eps(spec)}",
            )
        case ConvNeXtSpec():
            return ("exact GELU", f"LayerNorm epsilon {spec.layer_norm_eps:g}")
        case ViTSpec():
            return (
                f"{spec.heads} heads",
                f"LayerNorm epsilon {spec.layer_norm_eps:g}",
                *([f"{spec.gelu} GELU"] if spec.mlp == "gelu" else []),
                *([_RESIZES[spec.position_resize]] if spec.positions == "learned" else []),
                f"feature {spec.default_tap}",
            )
        case _:
            return (f"BatchNorm epsilon {_eps(spec)}",)


_RESIZES = {
    "bicubic": "positions resized by the bicubic kernel",
    "antialias": "positions resized by the anti-aliased bicubic kernel",
    "offset": "positions resized by the bicubic kernel, scale (n + 0.1) / stored",
}


def _eps(spec: EncoderSpec) -> str:
    return f"{vars(spec)['batch_norm_eps']:g}"


def _resnet(state: State) -> ResNetSpec:
    channels, _, kernel, _ = _shape(state, "conv1.weight", 4)
    if kernel not in (3, 7):
        raise InputError(f"conv1.weight: expected a 7x7 or 3x3 stem, got {kernel}x{kernel}")
    bottleneck = "layer1.0.conv3.weight" in state
    inner = _shape(state, "layer1.0.conv1.weight", 4)[0]
    stages = _count(r"layer(\d+)\.", state, first=1)
    return ResNetSpec(
        blocks=tuple(_count(rf"layer{stage}\.(\d+)\.", state) for stage in range(1, stages + 1)),
        block="bottleneck" if bottleneck else "basic",
        channels=channels,
        inner_factor=max(1, inner // channels) if bottleneck else 1,
        groups=inner // _shape(state, "layer1.0.conv2.weight", 4)[1] if bottleneck else 1,
        stem="imagenet" if kernel == 7 else "cifar",
        image_size=224 if kernel == 7 else 32,
    )


def _vit(state: State, *, prefix: str, heads: int | None) -> ViTSpec:
    dim, _, patch, _ = _shape(state, "patch_embed.proj.weight", 4)
    parts = _optional_parts(state)
    gated = parts["mlp"] == "swiglu"
    # A head that pools by attention is SigLIP's, whose towers use these two.
    if parts["attention_pool"]:
        parts = {**parts, "gelu": "tanh", "position_resize": "antialias"}
    hidden, *_ = _shape(state, f"blocks.0.mlp.{'w12' if gated else 'fc1'}.weight", 2)
    if gated and hidden % 2:
        raise InputError(f"blocks.0.mlp.w12.weight: expected an even number of rows, got {hidden}")
    return ViTSpec(
        image_size=_grid(state, default=_ROTARY_GRID) * patch,
        patch=patch,
        embed_dim=dim,
        layers=_count(r"blocks\.(\d+)\.", state),
        heads=heads or _usual_heads(state, dim, prefix),
        mlp_dim=hidden // 2 if gated else hidden,
        **parts,
    )


# Rotary positions know no size; the one that the published networks are evaluated at.
_ROTARY_GRID = 14


def _usual_heads(state: State, dim: int, prefix: str) -> int:
    if "rope_periods" in state:
        # One period for every fourth entry of a head.
        quarter = _shape(state, "rope_periods", 1)[0]
        if not quarter or dim % (4 * quarter):
            raise InputError(f"rope_periods: {quarter} periods do not divide a width of {dim}")
        return dim // (4 * quarter)
    table = _HEADS if "pos_embed" in state else _ROTARY_HEADS
    table = _MOCO_V3_HEADS if _MOCO_V3_PREFIX.search(prefix) else table
    if dim not in table:
        raise InputError(
            f"no weight reveals the number of attention heads, and {dim} is the width of no "
            f"published ViT ({', '.join(map(str, table))}); name the architecture"
        )
    return table[dim]


def _grid(state: State, *, default: int) -> int:
    """Patches along one side, from the stored positions; the default where there are none."""
    if "pos_embed" not in state:
        return default
    class_token = "cls_token" in state
    tokens = _shape(state, "pos_embed", 3)[1] - class_token
    grid = math.isqrt(max(tokens, 0))
    if grid < 1 or grid**2 != tokens:
        raise InputError(
            f"pos_embed: expected positions of a square grid, got {tokens} patches "
            f"{'after the class token' if class_token else 'and no class token'}"
        )
    return grid


def _optional_parts(state: State) -> dict[str, Any]:
    """What a ViT has or has not, by the names of its weights."""
    return {
        "class_token": "cls_token" in state,
        "registers": _shape(state, "register_tokens", 3)[1] if "register_tokens" in state else 0,
        "layer_scale": "blocks.0.ls1.gamma" in state,
        "qkv_bias": "blocks.0.attn.qkv.bias" in state,
        "mlp": "swiglu" if "blocks.0.mlp.w12.weight" in state else "gelu",
        "positions": _positions(state),
        "patch_bias": "patch_embed.proj.bias" in state,
        "pre_norm": "norm_pre.weight" in state,
        "final_norm": "norm.weight" in state,
        "fc_norm": "fc_norm.weight" in state,
        "attention_norm": "blocks.0.attn.norm.weight" in state,
        "mlp_norm": "blocks.0.mlp.norm.weight" in state,
        "attention_pool": "attn_pool.latent" in state,
        "proj_dim": _shape(state, "proj.weight", 2)[0] if "proj.weight" in state else 0,
    }


def _positions(state: State) -> str:
    if "pos_embed" not in state:
        # Some files leave the periods of DINOv3 to a formula; its networks all have registers.
        if "rope_periods" not in state and "register_tokens" not in state:
            raise InputError(
                "pos_embed is missing: the file holds no positions, and nothing says that they "
                "rotate. Fixed ones (sines and cosines) have to be saved with the weights"
            )
        return "rope"
    # A gated MLP without layer scales is EVA-02's, which rotates as well.
    gated = "blocks.0.mlp.w12.weight" in state
    return "both" if gated and "blocks.0.ls1.gamma" not in state else "learned"


def _shape(state: State, name: str, rank: int) -> tuple[int, ...]:
    if name not in state:
        raise InputError(f"{name} is missing, and the architecture depends on it")
    shape = state[name].shape
    if len(shape) != rank:
        raise InputError(f"{name}: expected {rank} axes, got shape {shape}")
    return shape


def _count(pattern: str, names: Iterable[str], *, first: int = 0) -> int:
    """How many numbers stand in the group of ``pattern``, counted from ``first`` to the highest."""
    numbers = [int(match[1]) for name in names if (match := re.match(pattern, name))]
    return max(numbers, default=first - 1) - first + 1
