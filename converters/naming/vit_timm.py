"""Vision transformers as DINO and timm name them; also MoCo-v3, MAE, iBOT and DINOv2.

The names are the canonical ones, so the rules only say which there may be. DINOv2 adds the two
layer scales of a block (``ls1``, ``ls2``), which iBOT calls ``gamma_1`` and ``gamma_2``.
"""

from __future__ import annotations

from converters.naming.heads import HEADS
from converters.naming.rules import Naming, Rename

VIT_TIMM = Naming(
    name="ViT of DINO and timm",
    family="vit",
    signature=("patch_embed.proj.weight", "blocks.0.attn.qkv.weight"),
    rules=(
        Rename(pattern=r"cls_token|register_tokens", optional=True),
        Rename(pattern=r"pos_embed"),
        Rename(pattern=r"patch_embed\.proj\.(?:weight|bias)"),
        Rename(pattern=r"blocks\.\d+\.norm[12]\.(?:weight|bias)"),
        Rename(pattern=r"blocks\.\d+\.attn\.(?:qkv|proj)\.(?:weight|bias)"),
        Rename(pattern=r"blocks\.\d+\.mlp\.fc[12]\.(?:weight|bias)"),
        Rename(pattern=r"blocks\.\d+\.ls[12]\.gamma", optional=True),
        Rename(
            pattern=r"blocks\.(\d+)\.gamma_([12])", target=r"blocks.\1.ls\2.gamma", optional=True
        ),
        Rename(pattern=r"norm\.(?:weight|bias)"),
        *HEADS,
    ),
)
