"""DINOv2 and DINOv3 as Hugging Face names them, in files and, since version 5, in memory.

DINOv2 keeps ``encoder.layer.N`` in both; its files have ``attention.attention.query`` and, where
the MLP is gated, ``mlp.weights_in``, where the memory has ``attention.q_proj`` and
``mlp.gate_proj`` beside ``mlp.up_proj``. DINOv3 has ``layer.N`` in files, ``model.layer.N`` in
memory, no bias of the keys, and no positions, whose periods follow from a formula.
"""

from __future__ import annotations

from mgm_converters.naming.heads import HEADS
from mgm_converters.naming.rules import Drop, Naming, Rename, Rule
from mgm_converters.naming.vit.shared_rules import joined, renamed

_MASK = Drop(pattern=r"embeddings\.mask_token", reason="the token of masked patches")
_TOKENS: tuple[Rule, ...] = (
    Rename(pattern=r"embeddings\.cls_token", target="cls_token"),
    Rename(pattern=r"embeddings\.register_tokens", target="register_tokens", optional=True),
    _MASK,
)


def _scales(block: str) -> Rename:
    return Rename(pattern=rf"{block}\.layer_scale([12])\.lambda1", target=r"blocks.\1.ls\2.gamma")


def _mlp(block: str, *, gated: bool) -> tuple[Rule, ...]:
    """The MLP whose ``up_proj`` is the first matrix, or the second half of it where gated."""
    if not gated:
        return renamed(block, {r"mlp\.up_proj": "mlp.fc1", r"mlp\.down_proj": "mlp.fc2"})
    return (
        *joined(block, (r"mlp\.gate_proj", r"mlp\.up_proj"), target="mlp.w12"),
        *renamed(block, {r"mlp\.down_proj": "mlp.w3"}),
    )


_GATE = "encoder.layer.0.mlp.gate_proj.weight"


def _dinov2(
    name: str, parts: tuple[str, ...], output: str, *mlp: Rule, gated: bool = False
) -> Naming:
    block = r"encoder\.layer\.(\d+)"
    query = parts[0].replace("\\", "")
    return Naming(
        name=name,
        family="vit",
        signature=(
            "embeddings.patch_embeddings.projection.weight",
            "encoder.layer.0.norm1.weight",
            f"encoder.layer.0.{query}.weight",
            *((_GATE,) if gated else ()),
        ),
        absent=() if gated else (_GATE,),
        rules=(
            *_TOKENS,
            Rename(pattern=r"embeddings\.position_embeddings", target="pos_embed"),
            Rename(
                pattern=r"embeddings\.patch_embeddings\.projection\.(weight|bias)",
                target=r"patch_embed.proj.\1",
            ),
            *joined(block, parts),
            *renamed(block, {"norm1": "norm1", "norm2": "norm2", output: "attn.proj"}),
            *mlp,
            _scales(block),
            Rename(pattern=r"layernorm\.(weight|bias)", target=r"norm.\1"),
            *HEADS,
        ),
    )


_BLOCK = r"encoder\.layer\.(\d+)"
_CLASSIC = tuple(rf"attention\.attention\.{part}" for part in ("query", "key", "value"))
_RECENT = tuple(rf"attention\.{part}_proj" for part in "qkv")
_PLAIN = {r"mlp\.fc1": "mlp.fc1", r"mlp\.fc2": "mlp.fc2"}

DINOV2_NAMINGS = (
    _dinov2(
        "DINOv2 of Hugging Face",
        _CLASSIC,
        r"attention\.output\.dense",
        *renamed(_BLOCK, _PLAIN, optional=True),
        *renamed(
            _BLOCK, {r"mlp\.weights_in": "mlp.w12", r"mlp\.weights_out": "mlp.w3"}, optional=True
        ),
    ),
    _dinov2(
        "DINOv2 of Hugging Face, names since version 5",
        _RECENT,
        r"attention\.o_proj",
        *renamed(_BLOCK, _PLAIN),
    ),
    _dinov2(
        "DINOv2 of Hugging Face, gated, names since version 5",
        _RECENT,
        r"attention\.o_proj",
        *_mlp(_BLOCK, gated=True),
        gated=True,
    ),
)


def _dinov3(layer: str, *, gated: bool) -> Naming:
    block = layer.replace(".", r"\.") + r"\.(\d+)"
    gate = f"{layer}.0.mlp.gate_proj.weight"
    kind = ("gated, " if gated else "") + ("in memory" if layer != "layer" else "in files")
    return Naming(
        name=f"DINOv3 of Hugging Face, {kind}",
        family="vit",
        signature=(
            "embeddings.patch_embeddings.weight",
            f"{layer}.0.mlp.up_proj.weight",
            *((gate,) if gated else ()),
        ),
        absent=() if gated else (gate,),
        rules=(
            *_TOKENS,
            Rename(
                pattern=r"embeddings\.patch_embeddings\.(weight|bias)",
                target=r"patch_embed.proj.\1",
            ),
            *joined(block, tuple(rf"attention\.{part}_proj" for part in "qkv"), blank=(1,)),
            *renamed(
                block, {r"attention\.o_proj": "attn.proj", "norm1": "norm1", "norm2": "norm2"}
            ),
            *_mlp(block, gated=gated),
            _scales(block),
            Rename(pattern=r"norm\.(weight|bias)", target=r"norm.\1"),
            *HEADS,
        ),
    )


DINOV3_NAMINGS = tuple(
    _dinov3(layer, gated=gated) for layer in ("layer", "model.layer") for gated in (False, True)
)
