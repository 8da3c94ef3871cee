"""Vision transformers as Flax names them in big_vision (SigLIP among them) and vision_transformer.

Queries, keys and values are kernels ``[d, heads, d / heads]``, the projection behind them
``[heads, d / heads, d]``. The number at a layer counts all layers of a block in vision_transformer
(``LayerNorm_2``, ``MlpBlock_3``) and those of its kind in big_vision (``LayerNorm_1``,
``MlpBlock_0``).
"""

from __future__ import annotations

import re

import numpy as np

from mgm_converters.naming.rules import Drop, Naming, Rename

State = dict[str, np.ndarray]

_BLOCK = r"Transformer\.encoderblock_(\d+)"
_POOL = r"MAPHead_0"
_ATTENTION = r"MultiHeadDotProductAttention_\d\.(query|key|value|out)\.(kernel|bias)"
_MLP = r"MlpBlock_\d\.Dense_([01])\.(kernel|bias)"
_LEAF = {"scale": "weight", "kernel": "weight", "bias": "bias"}


def _finish(state: State) -> State:
    """Kernels to matrices, queries, keys and values joined, layers by our names."""
    made: State = {}
    owners = {name.rpartition(".attention.")[0] for name in state if ".attention." in name}
    for name, value in state.items():
        if ".attention." in name:
            continue
        owner, _, leaf = name.rpartition(".")
        if leaf not in _LEAF:
            made[name] = value
            continue
        owner = re.sub(r"\.mlp\.Dense_([01])$", lambda match: f".mlp.fc{int(match[1]) + 1}", owner)
        matrix = leaf == "kernel" and value.ndim == 2
        made[f"{owner}.{_LEAF[leaf]}"] = value.T if matrix else value
    for owner in sorted(owners):
        made |= _attention(state, owner)
    if "cls_token" in made and made["pos_embed"].shape[1] == _square(made["pos_embed"]):
        # Positions of the patches alone: the class token has none.
        positions = made["pos_embed"]
        made["pos_embed"] = np.concatenate([np.zeros_like(positions[:, :1]), positions], axis=1)
    return made


def _square(positions: np.ndarray) -> int:
    return int(positions.shape[1] ** 0.5) ** 2


def _attention(state: State, owner: str) -> State:
    def part(name: str) -> tuple[np.ndarray, np.ndarray]:
        kernel, bias = (state[f"{owner}.attention.{name}.{leaf}"] for leaf in ("kernel", "bias"))
        width = bias.size
        return kernel.reshape(-1, width).T, bias.reshape(width)

    query, key, value, out = (part(name) for name in ("query", "key", "value", "out"))
    pool = owner == "attn_pool"
    joined = {"q": (query,), "kv": (key, value)} if pool else {"attn.qkv": (query, key, value)}
    made = {f"{owner}.{'proj' if pool else 'attn.proj'}": (out,)}
    made |= {f"{owner}.{name}": parts for name, parts in joined.items()}
    return {
        f"{name}.{kind}": np.concatenate([one[index] for one in parts])
        for name, parts in made.items()
        for index, kind in enumerate(("weight", "bias"))
    }


VIT_FLAX = Naming(
    name="ViT of Flax (big_vision, vision_transformer)",
    family="vit",
    signature=(
        "embedding.kernel",
        "Transformer.encoderblock_0.LayerNorm_0.scale",
        "Transformer.encoder_norm.scale",
    ),
    rules=(
        Rename(pattern=r"embedding\.kernel", target="patch_embed.proj.weight", form="kernel"),
        Rename(pattern=r"embedding\.bias", target="patch_embed.proj.bias"),
        Rename(pattern=r"cls", target="cls_token", form="token", optional=True),
        Rename(
            pattern=r"pos_embedding|Transformer\.posembed_input\.pos_embedding",
            target="pos_embed",
            form="token",
        ),
        Rename(pattern=rf"{_BLOCK}\.LayerNorm_0\.(scale|bias)", target=r"blocks.\1.norm1.\2"),
        Rename(pattern=rf"{_BLOCK}\.LayerNorm_[12]\.(scale|bias)", target=r"blocks.\1.norm2.\2"),
        Rename(pattern=rf"{_BLOCK}\.{_ATTENTION}", target=r"blocks.\1.attention.\2.\3"),
        Rename(pattern=rf"{_BLOCK}\.{_MLP}", target=r"blocks.\1.mlp.Dense_\2.\3"),
        Rename(pattern=r"Transformer\.encoder_norm\.(scale|bias)", target=r"norm.\1"),
        Rename(pattern=rf"{_POOL}\.probe", target="attn_pool.latent", optional=True),
        Rename(
            pattern=rf"{_POOL}\.{_ATTENTION}", target=r"attn_pool.attention.\1.\2", optional=True
        ),
        Rename(
            pattern=rf"{_POOL}\.LayerNorm_0\.(scale|bias)",
            target=r"attn_pool.norm.\1",
            optional=True,
        ),
        Rename(pattern=rf"{_POOL}\.{_MLP}", target=r"attn_pool.mlp.Dense_\1.\2", optional=True),
        Drop(pattern=r"(?:head|pre_logits)\..*", reason="a head, not the encoder"),
    ),
    finish=_finish,
)
