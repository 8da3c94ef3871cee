"""The settings that Hugging Face and timm write beside their weights.

They say what no weight reveals: heads, epsilon, activation, and the input of the network.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mgm_converters.recognition.evidence.record import Evidence
from mgm_jax.encoders import Preprocess
from mgm_jax.encoders.catalogue.methods import METHODS, Method
from mgm_jax.errors import InputError

CONFIG = "config.json"
PREPROCESSOR = "preprocessor_config.json"

_METHODS = {
    "vit_mae": "MAE",
    "vit_msn": "MSN",
    "ijepa": "I-JEPA",
    "dinov2": "DINOv2",
    "dinov2_with_registers": "DINOv2 with registers",
    "dinov3_vit": "DINOv3",
    "clip": "CLIP",
    "clip_vision_model": "CLIP",
    "siglip": "SigLIP",
    "siglip_vision_model": "SigLIP",
}
# Beginnings of what timm calls the training (a tag) or, where it has none of its own, the network.
_TIMM_METHODS = {
    "dinov3": "DINOv3",
    "reg4_dinov2": "DINOv2 with registers",
    "dinov2": "DINOv2",
    "dino": "DINO",
    "mae": "MAE",
    "ijepa": "I-JEPA",
    "siglip": "SigLIP",
    "eva02": "EVA-02",
    "openai": "CLIP",
    "clip": "OpenCLIP",
}
_GELU = {
    "gelu": "exact",
    "gelu_new": "tanh",
    "gelu_pytorch_tanh": "tanh",
    "quick_gelu": "quick",
}
# A default of Hugging Face's ViTs that no published network was trained with.
_PLACEHOLDER_EPS = 1e-12
# Numbers that Pillow and Hugging Face give to interpolations.
_INTERPOLATIONS = {0: "nearest", 2: "bilinear", 3: "bicubic"}


@dataclass(frozen=True, kw_only=True)
class Settings:
    """What the settings beside the weights say.

    Attributes:
        heads: attention heads; None where they do not say.
        vit: fields of a ``ViTSpec``.
        method: of training; None where they do not say.
        preprocess: the input; None where they do not say.
        rope_base: of the periods of rotary positions.
    """

    heads: int | None = None
    vit: Mapping[str, Any] = field(default_factory=dict)
    method: Method | None = None
    preprocess: Preprocess | None = None
    rope_base: float = 100.0

    def evidence(self) -> Evidence:
        """What they say, as :mod:`mgm_converters.recognition.decide` weighs it."""
        return Evidence(
            methods=None if self.method is None else (self.method,),
            heads=self.heads,
            preprocess=self.preprocess,
        )


def read_settings(folder: Path) -> Settings | None:
    """The settings in a folder, None where there are none.

    Raises:
        InputError: a file of settings that is no JSON, or holds impossible values.
    """
    if not (folder / CONFIG).is_file():
        return None
    values = _read(folder / CONFIG)
    if "pretrained_cfg" in values:
        return _timm(values)
    images = _read(folder / PREPROCESSOR) if (folder / PREPROCESSOR).is_file() else {}
    return _huggingface(values, images)


def _read(file: Path) -> dict[str, Any]:
    try:
        values = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(f"{file}: cannot be read as settings ({error})") from error
    if not isinstance(values, dict):
        raise InputError(f"{file}: expected a table of settings, got {type(values).__name__}")
    return values


def _huggingface(values: Mapping[str, Any], images: Mapping[str, Any]) -> Settings:
    tower = values.get("vision_config", values)
    vit: dict[str, Any] = {}
    eps = tower.get("layer_norm_eps")
    if isinstance(eps, float) and eps != _PLACEHOLDER_EPS:
        vit["layer_norm_eps"] = eps
    activation = tower.get("hidden_act")
    if activation in _GELU:
        vit["gelu"] = _GELU[activation]
    if tower.get("use_gated_mlp") and activation not in ("silu", "swish"):
        raise InputError(
            f"{CONFIG}: expected silu as hidden_act of a gated MLP, got {activation!r}, which no "
            "published network has"
        )
    heads = tower.get("num_attention_heads")
    rope = tower.get("rope_parameters") or {}
    return Settings(
        heads=heads if isinstance(heads, int) and heads > 0 else None,
        vit=vit,
        method=METHODS.get(_METHODS.get(str(values.get("model_type")), "")),
        preprocess=huggingface_images(images),
        rope_base=float(rope.get("rope_theta") or tower.get("rope_theta") or 100.0),
    )


def huggingface_images(values: Mapping[str, Any]) -> Preprocess | None:
    """The input that a ``preprocessor_config.json`` states; None where it states none."""
    size = values.get("size")
    size = {"shortest_edge": size} if isinstance(size, int) else size
    if not isinstance(size, Mapping):
        return None
    crop = values.get("crop_size")
    crop = {"height": crop} if isinstance(crop, int) else crop
    whole = size.get("shortest_edge") or size.get("height")
    side = crop.get("height") if isinstance(crop, Mapping) else None
    if not isinstance(whole, int):
        return None
    side = side if isinstance(side, int) and values.get("do_center_crop", True) else whole
    return Preprocess(
        size=side,
        resize=max(whole, side),
        interpolation=_INTERPOLATIONS.get(values.get("resample", 3), "bicubic"),  # type: ignore[arg-type]
        mean=tuple(values.get("image_mean", (0.5, 0.5, 0.5))),
        std=tuple(values.get("image_std", (0.5, 0.5, 0.5))),
    )


def _timm(values: Mapping[str, Any]) -> Settings:
    given = values["pretrained_cfg"]
    network, tag = str(values.get("architecture", "")), str(given.get("tag", ""))
    name = next(
        (
            method
            for start, method in _TIMM_METHODS.items()
            if start in tag.split("_")[0] or start in network
        ),
        "",
    )
    vit = {"gelu": "quick"} if "quickgelu" in network or name == "CLIP" else {}
    try:
        side = int(given["input_size"][1])
        preprocess = Preprocess(
            size=side,
            resize=max(side, math.floor(side / float(given["crop_pct"]))),
            interpolation=given["interpolation"],
            mean=tuple(given["mean"]),
            std=tuple(given["std"]),
        )
    except (KeyError, TypeError, ValueError, IndexError, ZeroDivisionError):
        preprocess = None
    return Settings(vit=vit, method=METHODS.get(name), preprocess=preprocess)
