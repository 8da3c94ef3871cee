"""EVA-02 with queries, keys and values apart: timm's base and large, and its authors' files.

The small networks of timm hold them joined and are named as its other vision transformers
(:mod:`mgm_converters.naming.vit.timm`). Keys have no bias.
"""

from __future__ import annotations

from mgm_converters.naming.heads import HEADS
from mgm_converters.naming.rules import Drop, Naming, Rename
from mgm_converters.naming.vit.shared_rules import attention_biases, joined, renamed

_BLOCK = r"blocks\.(\d+)"

EVA02 = Naming(
    name="EVA-02 of timm and its authors",
    family="vit",
    signature=("patch_embed.proj.weight", "blocks.0.attn.q_proj.weight"),
    rules=(
        Rename(pattern=r"cls_token|pos_embed"),
        Rename(pattern=r"patch_embed\.proj\.(?:weight|bias)"),
        Rename(pattern=r"(?:norm|fc_norm)\.(?:weight|bias)"),
        *joined(_BLOCK, tuple(rf"attn\.{part}_proj" for part in "qkv"), blank=(1,)),
        *attention_biases(_BLOCK),
        *renamed(_BLOCK, {r"attn\.proj": "attn.proj", "norm1": "norm1", "norm2": "norm2"}),
        *renamed(
            _BLOCK,
            {
                r"attn\.(?:norm|inner_attn_ln)": "attn.norm",
                r"mlp\.(?:norm|ffn_ln)": "mlp.norm",
                r"mlp\.(?:fc2|w3)": "mlp.w3",
            },
            optional=True,
        ),
        *joined(_BLOCK, (r"mlp\.fc1_g", r"mlp\.fc1_x"), target="mlp.w12", optional=True),
        *joined(_BLOCK, (r"mlp\.w1", r"mlp\.w2"), target="mlp.w12", optional=True),
        Drop(pattern=r"(?:.*\.)?rope\.freqs_(?:cos|sin)", reason="follows from the grid"),
        *HEADS,
    ),
)
