"""The image towers of CLIP: as OpenAI and OpenCLIP name them, and as Hugging Face does.

OpenAI's files hold the text tower at the top and the image tower behind ``visual.``; Hugging Face
writes ``text_model.`` and ``vision_model.``, and the matrix into the common space beside both.
"""

from __future__ import annotations

from mgm_converters.naming.heads import HEADS
from mgm_converters.naming.rules import Drop, Naming, Rename
from mgm_converters.naming.vit.shared_rules import joined, renamed

_TEXT = "the text tower"
_OPENAI_BLOCK = r"visual\.transformer\.resblocks\.(\d+)"

CLIP_OPENAI = Naming(
    name="CLIP of OpenAI and OpenCLIP",
    family="vit",
    signature=(
        "visual.conv1.weight",
        "visual.class_embedding",
        "visual.transformer.resblocks.0.attn.in_proj_weight",
    ),
    rules=(
        Rename(pattern=r"visual\.class_embedding", target="cls_token", form="token"),
        Rename(pattern=r"visual\.positional_embedding", target="pos_embed", form="token"),
        Rename(pattern=r"visual\.conv1\.(weight|bias)", target=r"patch_embed.proj.\1"),
        Rename(pattern=r"visual\.ln_pre\.(weight|bias)", target=r"norm_pre.\1"),
        Rename(pattern=r"visual\.ln_post\.(weight|bias)", target=r"norm.\1"),
        Rename(pattern=r"visual\.proj", target="proj.weight", form="transposed", optional=True),
        Rename(
            pattern=rf"{_OPENAI_BLOCK}\.attn\.in_proj_(weight|bias)",
            target=r"blocks.\1.attn.qkv.\2",
        ),
        *renamed(
            _OPENAI_BLOCK,
            {
                r"attn\.out_proj": "attn.proj",
                "ln_1": "norm1",
                "ln_2": "norm2",
                r"mlp\.c_fc": "mlp.fc1",
                r"mlp\.c_proj": "mlp.fc2",
            },
        ),
        Rename(
            pattern=rf"{_OPENAI_BLOCK}\.ls_([12])\.gamma",
            target=r"blocks.\1.ls\2.gamma",
            optional=True,
        ),
        Drop(
            pattern=r"(?:text|transformer|token_embedding|ln_final)\..*"
            r"|positional_embedding|text_projection(?:\..*)?|logit_scale|logit_bias|attn_mask",
            reason=_TEXT,
        ),
        Drop(pattern=r"input_resolution|context_length|vocab_size", reason="a setting"),
    ),
)

_HF_BLOCK = r"vision_model\.encoder\.layers\.(\d+)"

CLIP_HUGGINGFACE = Naming(
    name="CLIP of Hugging Face",
    family="vit",
    signature=(
        "vision_model.embeddings.class_embedding",
        "vision_model.embeddings.patch_embedding.weight",
        "vision_model.encoder.layers.0.self_attn.q_proj.weight",
    ),
    rules=(
        Rename(
            pattern=r"vision_model\.embeddings\.class_embedding", target="cls_token", form="token"
        ),
        Rename(
            pattern=r"vision_model\.embeddings\.position_embedding\.weight",
            target="pos_embed",
            form="token",
        ),
        Drop(pattern=r".*\.position_ids", reason="the numbers of the positions"),
        Rename(
            pattern=r"vision_model\.embeddings\.patch_embedding\.(weight|bias)",
            target=r"patch_embed.proj.\1",
        ),
        # The name is misspelt in every file.
        Rename(pattern=r"vision_model\.pre_layrnorm\.(weight|bias)", target=r"norm_pre.\1"),
        Rename(pattern=r"vision_model\.post_layernorm\.(weight|bias)", target=r"norm.\1"),
        Rename(pattern=r"visual_projection\.weight", target="proj.weight", optional=True),
        *joined(_HF_BLOCK, tuple(rf"self_attn\.{part}_proj" for part in "qkv")),
        *renamed(
            _HF_BLOCK,
            {
                r"self_attn\.out_proj": "attn.proj",
                "layer_norm1": "norm1",
                "layer_norm2": "norm2",
                r"mlp\.fc1": "mlp.fc1",
                r"mlp\.fc2": "mlp.fc2",
            },
        ),
        Drop(pattern=r"text_projection\..*|logit_scale", reason=_TEXT),
        # Its numbers of positions are matched above.
        Drop(pattern=r"text_model\.(?!.*\.position_ids$).*", reason=_TEXT),
        *HEADS,
    ),
)
