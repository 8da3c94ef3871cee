"""Vision transformers as MMPretrain and MMSelfSup name them: ``layers.N.ln1``, ``layers.N.ffn``."""

from __future__ import annotations

from mgm_converters.naming.heads import HEADS
from mgm_converters.naming.rules import Naming, Rename
from mgm_converters.naming.vit.shared_rules import renamed

_BLOCK = r"layers\.(\d+)"

VIT_OPENMMLAB = Naming(
    name="ViT of MMPretrain and MMSelfSup",
    family="vit",
    signature=(
        "patch_embed.projection.weight",
        "layers.0.attn.qkv.weight",
        "layers.0.ffn.layers.0.0.weight",
    ),
    rules=(
        Rename(pattern=r"cls_token", optional=True),
        Rename(pattern=r"pos_embed", optional=True),
        Rename(pattern=r"patch_embed\.projection\.weight", target="patch_embed.proj.weight"),
        Rename(
            pattern=r"patch_embed\.projection\.bias", target="patch_embed.proj.bias", optional=True
        ),
        Rename(pattern=r"pre_norm\.(weight|bias)", target=r"norm_pre.\1", optional=True),
        Rename(
            pattern=rf"{_BLOCK}\.attn\.(qkv|proj)\.(weight|bias)", target=r"blocks.\1.attn.\2.\3"
        ),
        *renamed(
            _BLOCK,
            {
                "(?:ln|norm)1": "norm1",
                "(?:ln|norm)2": "norm2",
                r"ffn\.layers\.0\.0": "mlp.fc1",
                r"ffn\.layers\.1": "mlp.fc2",
            },
        ),
        Rename(
            pattern=rf"{_BLOCK}\.attn\.gamma1\.weight", target=r"blocks.\1.ls1.gamma", optional=True
        ),
        Rename(
            pattern=rf"{_BLOCK}\.ffn\.gamma2\.weight", target=r"blocks.\1.ls2.gamma", optional=True
        ),
        Rename(pattern=r"(?:ln|norm)1\.(weight|bias)", target=r"norm.\1", optional=True),
        # The norm of the mean over the patches, where that is the feature.
        Rename(pattern=r"(?:ln|norm)2\.(weight|bias)", target=r"fc_norm.\1", optional=True),
        *HEADS,
    ),
)
