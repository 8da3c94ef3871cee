"""The image towers of SigLIP and SigLIP 2 as Hugging Face names them.

The tower stands behind ``vision_model.``, beside a text tower where there is one; from version 5 on
an image tower alone has no such step.
"""

from __future__ import annotations

import numpy as np

from mgm_converters.naming.rules import Drop, Naming, Rename
from mgm_converters.naming.vit.shared_rules import joined, renamed

_HEAD = {
    "probe": "latent",
    r"attention\.out_proj\.(weight|bias)": r"proj.\1",
    r"layernorm\.(weight|bias)": r"norm.\1",
    r"mlp\.(fc[12])\.(weight|bias)": r"mlp.\1.\2",
    # Split into queries and the rest when all is read.
    r"attention\.in_proj_(weight|bias)": r"qkv.\1",
}


def _finish(state: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Queries of the pool by themselves, keys and values joined."""
    for kind in ("weight", "bias"):
        joint = state.pop(f"attn_pool.qkv.{kind}", None)
        if joint is not None:
            third = len(joint) // 3
            state[f"attn_pool.q.{kind}"] = joint[:third]
            state[f"attn_pool.kv.{kind}"] = joint[third:]
    return state


_BLOCK = r"encoder\.layers\.(\d+)"

SIGLIP_HUGGINGFACE = Naming(
    name="SigLIP of Hugging Face",
    family="vit",
    signature=(
        "embeddings.patch_embedding.weight",
        "encoder.layers.0.self_attn.q_proj.weight",
        "head.probe",
    ),
    rules=(
        Rename(pattern=r"embeddings\.position_embedding\.weight", target="pos_embed", form="token"),
        Drop(pattern=r"embeddings\.position_ids", reason="the numbers of the positions"),
        Rename(
            pattern=r"embeddings\.patch_embedding\.(weight|bias)", target=r"patch_embed.proj.\1"
        ),
        Rename(pattern=r"post_layernorm\.(weight|bias)", target=r"norm.\1"),
        *joined(_BLOCK, tuple(rf"self_attn\.{part}_proj" for part in "qkv")),
        *renamed(
            _BLOCK,
            {
                r"self_attn\.out_proj": "attn.proj",
                "layer_norm1": "norm1",
                "layer_norm2": "norm2",
                r"mlp\.fc1": "mlp.fc1",
                r"mlp\.fc2": "mlp.fc2",
            },
        ),
        *(
            Rename(pattern=rf"head\.{theirs}", target=f"attn_pool.{ours}")
            for theirs, ours in _HEAD.items()
        ),
    ),
    finish=_finish,
)
