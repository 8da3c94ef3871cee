"""Swin transformers as their authors, timm, torchvision and Hugging Face name them.

The published weights of SimMIM, MoBY and EsViT have the authors' names. Those count the merging of
positions to the stage before it, as Hugging Face does; timm counts it to the stage behind, which is
the canonical way. torchvision numbers stages and mergings alike.
"""

from __future__ import annotations

import re

import numpy as np

from mgm_converters.naming.heads import HEADS
from mgm_converters.naming.rules import Drop, Naming, Part, Rename, Rule
from mgm_converters.naming.units import layers

State = dict[str, np.ndarray]

_BUFFERS = Drop(
    pattern=r"(?:.*\.)?(?:relative_position_index|attn_mask)",
    reason="follows from the window, not a weight",
)
# What torchvision calls as the authors do.
_SAME = {name.replace(".", r"\."): name for name in ("norm1", "attn.qkv", "attn.proj", "norm2")}
_TABLE = "attn.relative_position_bias_table"


def _block(block: str, names: dict[str, str], *, table: str) -> tuple[Rule, ...]:
    """The rules of one block; its pattern holds the numbers of stage and block as groups."""
    ours = r"layers.\1.blocks.\2"
    return (
        *layers({rf"{block}\.{theirs}": f"{ours}.{name}" for theirs, name in names.items()}),
        Rename(pattern=rf"{block}\.{table}", target=f"{ours}.{_TABLE}"),
    )


def _moved(state: State, raised: int) -> State:
    """Mergings counted to the stage behind them."""

    def renamed(name: str) -> str:
        match = re.match(r"layers\.(\d+)\.downsample\.", name)
        return f"layers.{int(match[1]) + raised}{name[match.end(1) :]}" if match else name

    return {renamed(name): value for name, value in state.items()}


def _finish(state: State) -> State:
    # Only where mergings stand at the end of a stage has the first stage one.
    return _moved(state, 1) if "layers.0.downsample.norm.weight" in state else state


SWIN_AUTHORS = Naming(
    name="Swin of its authors and timm",
    family="swin",
    signature=(
        "patch_embed.proj.weight",
        f"layers.0.blocks.0.{_TABLE}",
        "layers.0.blocks.0.attn.qkv.weight",
    ),
    # The second version has a network in the place of the table.
    absent=("layers.0.blocks.0.attn.logit_scale",),
    rules=(
        Rename(pattern=r"patch_embed\.(?:proj|norm)\.(?:weight|bias)"),
        *_block(
            r"layers\.(\d+)\.blocks\.(\d+)",
            {**_SAME, r"mlp\.fc1": "mlp.fc1", r"mlp\.fc2": "mlp.fc2"},
            table=_TABLE.replace(".", r"\."),
        ),
        Rename(pattern=r"layers\.\d+\.downsample\.(?:norm\.(?:weight|bias)|reduction\.weight)"),
        Rename(pattern=r"norm\.(?:weight|bias)"),
        _BUFFERS,
        *HEADS,
    ),
    finish=_finish,
)


def _stages_of_torchvision(state: State) -> State:
    """Features 1, 3, 5, 7 are the stages, 2, 4, 6 the mergings before all but the first."""

    def renamed(name: str) -> str:
        match = re.match(r"layers\.(\d+)\.", name)
        return f"layers.{int(match[1]) // 2}{name[match.end(1) :]}" if match else name

    return {renamed(name): value for name, value in state.items()}


SWIN_TORCHVISION = Naming(
    name="Swin of torchvision",
    family="swin",
    signature=(
        "features.0.0.weight",
        f"features.1.0.{_TABLE}",
        "features.1.0.attn.qkv.weight",
    ),
    absent=("features.1.0.attn.logit_scale",),
    rules=(
        *layers({r"features\.0\.0": "patch_embed.proj", r"features\.0\.2": "patch_embed.norm"}),
        *_block(
            r"features\.([1357])\.(\d+)",
            {**_SAME, r"mlp\.0": "mlp.fc1", r"mlp\.3": "mlp.fc2"},
            table=_TABLE.replace(".", r"\."),
        ),
        Rename(
            pattern=r"features\.([246])\.(norm\.(?:weight|bias)|reduction\.weight)",
            target=r"layers.\1.downsample.\2",
        ),
        Rename(pattern=r"norm\.(?:weight|bias)"),
        _BUFFERS,
        *HEADS,
    ),
    finish=_stages_of_torchvision,
)


def _huggingface(
    name: str,
    *,
    parts: tuple[str, str, str],
    output: str,
    table: str,
    mlp: tuple[str, str],
) -> Naming:
    block = r"encoder\.layers\.(\d+)\.blocks\.(\d+)"
    first = "encoder.layers.0.blocks.0."
    return Naming(
        name=name,
        family="swin",
        signature=(
            "embeddings.patch_embeddings.projection.weight",
            first + parts[0].replace("\\", "") + ".weight",
            first + table.replace("\\", ""),
        ),
        rules=(
            *layers(
                {
                    r"embeddings\.patch_embeddings\.projection": "patch_embed.proj",
                    r"embeddings\.norm": "patch_embed.norm",
                    "layernorm": "norm",
                }
            ),
            Drop(pattern=r"embeddings\.mask_token", reason="used in pretraining alone"),
            *(
                Part(
                    pattern=rf"{block}\.{part}\.{kind}",
                    target=rf"layers.\1.blocks.\2.attn.qkv.{kind}",
                    position=position,
                    of=3,
                )
                for kind in ("weight", "bias")
                for position, part in enumerate(parts)
            ),
            *_block(
                block,
                {
                    "layernorm_before": "norm1",
                    output: "attn.proj",
                    "layernorm_after": "norm2",
                    mlp[0]: "mlp.fc1",
                    mlp[1]: "mlp.fc2",
                },
                table=table,
            ),
            Rename(
                pattern=r"encoder\.layers\.(\d+)\.downsample\.(norm\.(?:weight|bias)|reduction\.weight)",
                target=r"layers.\1.downsample.\2",
            ),
            _BUFFERS,
            *HEADS,
        ),
        finish=_finish,
    )


SWIN_HUGGINGFACE = _huggingface(
    "Swin of Hugging Face",
    parts=(r"attention\.self\.query", r"attention\.self\.key", r"attention\.self\.value"),
    output=r"attention\.output\.dense",
    table=r"attention\.self\.relative_position_bias_table",
    mlp=(r"intermediate\.dense", r"output\.dense"),
)

SWIN_HUGGINGFACE_RECENT = _huggingface(
    "Swin of Hugging Face, names since version 5",
    parts=(r"attention\.q_proj", r"attention\.k_proj", r"attention\.v_proj"),
    output=r"attention\.o_proj",
    table=r"attention\.relative_position_bias\.relative_position_bias_table",
    mlp=(r"mlp\.fc1", r"mlp\.fc2"),
)

SWIN_NAMINGS = (SWIN_AUTHORS, SWIN_TORCHVISION, SWIN_HUGGINGFACE, SWIN_HUGGINGFACE_RECENT)
