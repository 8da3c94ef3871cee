"""Vision transformers as torchvision names them: ``encoder.layers.encoder_layer_N``."""

from __future__ import annotations

from mgm_converters.naming.heads import HEADS
from mgm_converters.naming.rules import Naming, Rename
from mgm_converters.naming.vit.shared_rules import renamed

_BLOCK = r"encoder\.layers\.encoder_layer_(\d+)"

VIT_TORCHVISION = Naming(
    name="ViT of torchvision",
    family="vit",
    signature=(
        "class_token",
        "conv_proj.weight",
        "encoder.layers.encoder_layer_0.self_attention.in_proj_weight",
    ),
    rules=(
        Rename(pattern=r"class_token", target="cls_token"),
        Rename(pattern=r"encoder\.pos_embedding", target="pos_embed"),
        Rename(pattern=r"conv_proj\.(weight|bias)", target=r"patch_embed.proj.\1"),
        Rename(
            pattern=rf"{_BLOCK}\.self_attention\.in_proj_(weight|bias)",
            target=r"blocks.\1.attn.qkv.\2",
        ),
        *renamed(
            _BLOCK,
            {
                r"self_attention\.out_proj": "attn.proj",
                "ln_1": "norm1",
                "ln_2": "norm2",
                # Versions before 0.14 wrote linear_1 and linear_2.
                r"mlp\.(?:0|linear_1)": "mlp.fc1",
                r"mlp\.(?:3|linear_2)": "mlp.fc2",
            },
        ),
        Rename(pattern=r"encoder\.ln\.(weight|bias)", target=r"norm.\1"),
        *HEADS,
    ),
)
