"""Vision transformers as DINO and timm name them; also MoCo-v3, MAE, MSN, iBOT, I-JEPA, DINOv2, 3.

Most names are the canonical ones. What differs from model to model:

================================  ==================================================================
layer scales                      ``ls1.gamma`` (DINOv2, timm), ``gamma_1`` (iBOT, timm's DINOv3)
registers                         ``register_tokens`` (DINOv2), ``storage_tokens`` (DINOv3),
                                  ``reg_token`` (timm, which adds positions to the patches alone)
gated MLP                         ``w12``, ``w3`` (DINOv2), ``w1``, ``w2``, ``w3`` (DINOv3),
                                  ``fc1_g``, ``fc1_x``, ``fc2`` (timm), or ``fc1`` twice as wide
                                  as ``fc2`` (timm's DINOv2 giant)
biases of queries, keys, values   ``qkv.bias``, times ``qkv.bias_mask`` (DINOv3), or ``q_bias`` and
                                  ``v_bias`` alone (timm)
blocks in chunks                  ``blocks.{chunk}.{i}`` (files of a training of DINOv2)
================================  ==================================================================
"""

from __future__ import annotations

import math
import re

import numpy as np

from mgm_converters.naming.heads import HEADS
from mgm_converters.naming.rules import Drop, Factor, Naming, Rename, Rule
from mgm_converters.naming.vit.shared_rules import attention_biases, joined


def _rules(block: str) -> tuple[Rule, ...]:
    return (
        Rename(pattern=r"cls_token", optional=True),
        Rename(
            pattern=r"register_tokens|storage_tokens|reg_token",
            target="register_tokens",
            optional=True,
        ),
        Rename(pattern=r"pos_embed", optional=True),
        Rename(pattern=r"rope_embed\.periods", target="rope_periods", optional=True),
        Rename(pattern=r"patch_embed\.proj\.weight"),
        Rename(pattern=r"patch_embed\.proj\.bias", optional=True),
        Rename(pattern=r"(?:norm_pre|norm|fc_norm)\.(?:weight|bias)"),
        Rename(
            pattern=r"attn_pool\.(?:latent|(?:q|kv|proj|norm|mlp\.fc[12])\.(?:weight|bias))",
            optional=True,
        ),
        Rename(
            pattern=rf"{block}\.(attn|mlp)\.norm\.(weight|bias)",
            target=r"blocks.\1.\2.norm.\3",
            optional=True,
        ),
        Rename(pattern=rf"{block}\.norm([12])\.(weight|bias)", target=r"blocks.\1.norm\2.\3"),
        Rename(
            pattern=rf"{block}\.attn\.(qkv|proj)\.(weight|bias)", target=r"blocks.\1.attn.\2.\3"
        ),
        Factor(pattern=rf"{block}\.attn\.qkv\.bias_mask", target=r"blocks.\1.attn.qkv.bias"),
        *attention_biases(block),
        Rename(
            pattern=rf"{block}\.mlp\.(fc1|fc2|w12|w3)\.(weight|bias)",
            target=r"blocks.\1.mlp.\2.\3",
        ),
        *joined(block, (r"mlp\.w1", r"mlp\.w2"), target="mlp.w12", optional=True),
        *joined(block, (r"mlp\.fc1_g", r"mlp\.fc1_x"), target="mlp.w12", optional=True),
        Rename(
            pattern=rf"{block}\.(?:ls|gamma_)([12])(?:\.gamma)?",
            target=r"blocks.\1.ls\2.gamma",
            optional=True,
        ),
        Drop(pattern=r"local_cls_norm\..*", reason="used in training alone"),
        *HEADS,
    )


def _finish(state: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Name the gated MLPs, and give timm's class token a position of its own."""
    gated = {
        name[: -len("fc2.weight")]
        for name, value in state.items()
        if name.endswith(".mlp.fc2.weight") and _is_gated(state, name, value)
    }
    state = {_gated_name(name, gated): value for name, value in state.items()}
    positions = state.get("pos_embed")
    if positions is not None and "cls_token" in state and _is_square(positions):
        # timm stores the sum of class token and its position as the token.
        state["pos_embed"] = np.concatenate([np.zeros_like(positions[:, :1]), positions], 1)
    return state


def _is_square(positions: np.ndarray) -> bool:
    """Whether there is a position for every patch, and none for a class token."""
    return positions.ndim == 3 and math.isqrt(positions.shape[1]) ** 2 == positions.shape[1]


def _is_gated(state: dict[str, np.ndarray], name: str, last: np.ndarray) -> bool:
    mlp = name[: -len("fc2.weight")]
    if f"{mlp}w12.weight" in state:
        return True
    first = state.get(f"{mlp}fc1.weight")
    return first is not None and first.ndim == last.ndim == 2 and len(first) == 2 * last.shape[1]


def _gated_name(name: str, gated: set[str]) -> str:
    mlp = re.match(r"blocks\.\d+\.mlp\.", name)
    if mlp is None or mlp[0] not in gated:
        return name
    return name.replace(".fc1.", ".w12.").replace(".fc2.", ".w3.")


VIT_TIMM = Naming(
    name="ViT of DINO and timm",
    family="vit",
    signature=("patch_embed.proj.weight", "blocks.0.attn.qkv.weight"),
    rules=_rules(r"blocks\.(\d+)"),
    finish=_finish,
)

VIT_CHUNKED = Naming(
    name="ViT of a training of DINOv2, blocks in chunks",
    family="vit",
    signature=("patch_embed.proj.weight", "blocks.0.0.attn.qkv.weight"),
    rules=_rules(r"blocks\.\d+\.(\d+)"),
    finish=_finish,
)
