"""Vision transformers as Hugging Face names them, in both of its spellings.

Files on disk keep the classic names (``encoder.layer.N.attention.attention.query``). In memory,
from version 5 on, a block is ``layers.N`` with ``attention.q_proj``. Queries, keys and values are
three tensors here, which the canonical state holds joined in this order. ViT, MAE, MSN and I-JEPA
share these names.
"""

from __future__ import annotations

from mgm_converters.naming.heads import HEADS
from mgm_converters.naming.rules import Naming, Rename, Rule
from mgm_converters.naming.vit.shared_rules import joined, renamed

_EMBEDDINGS: tuple[Rule, ...] = (
    Rename(pattern=r"embeddings\.cls_token", target="cls_token", optional=True),
    Rename(pattern=r"embeddings\.position_embeddings", target="pos_embed"),
    Rename(
        pattern=r"embeddings\.patch_embeddings\.projection\.(weight|bias)",
        target=r"patch_embed.proj.\1",
    ),
    Rename(pattern=r"layernorm\.(weight|bias)", target=r"norm.\1"),
)

_CLASSIC = r"encoder\.layer\.(\d+)"
_RECENT = r"layers\.(\d+)"

VIT_HUGGINGFACE = Naming(
    name="ViT of Hugging Face",
    family="vit",
    signature=(
        "embeddings.patch_embeddings.projection.weight",
        "encoder.layer.0.attention.attention.query.weight",
    ),
    absent=("encoder.layer.0.norm1.weight",),
    rules=(
        *_EMBEDDINGS,
        *joined(
            _CLASSIC,
            (
                r"attention\.attention\.query",
                r"attention\.attention\.key",
                r"attention\.attention\.value",
            ),
        ),
        *renamed(
            _CLASSIC,
            {
                r"attention\.output\.dense": "attn.proj",
                r"layernorm_before": "norm1",
                r"layernorm_after": "norm2",
                r"intermediate\.dense": "mlp.fc1",
                r"output\.dense": "mlp.fc2",
            },
        ),
        *HEADS,
    ),
)

VIT_HUGGINGFACE_RECENT = Naming(
    name="ViT of Hugging Face, names since version 5",
    family="vit",
    signature=(
        "embeddings.patch_embeddings.projection.weight",
        "layers.0.attention.q_proj.weight",
    ),
    absent=("layers.0.norm1.weight",),
    rules=(
        *_EMBEDDINGS,
        *joined(_RECENT, (r"attention\.q_proj", r"attention\.k_proj", r"attention\.v_proj")),
        *renamed(
            _RECENT,
            {
                r"attention\.o_proj": "attn.proj",
                r"layernorm_before": "norm1",
                r"layernorm_after": "norm2",
                r"mlp\.fc1": "mlp.fc1",
                r"mlp\.fc2": "mlp.fc2",
            },
        ),
        *HEADS,
    ),
)
