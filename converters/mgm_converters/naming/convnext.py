"""ConvNeXt of both versions as its authors, timm, torchvision and Hugging Face name it.

=======================  ===========================================================================
authors                  ``downsample_layers.{i}``, ``stages.{i}.{j}.dwconv``, ``pwconv1``, ``grn``;
                         the files of DINOv3 hold the norm a second time as ``norms.3``
authors, sparse          the same within masked pretraining: ``dwconv.kernel`` ``[49, c]``,
                         ``norm.ln``, ``pwconv1.linear``, no final norm
timm                     ``stem``, ``stages.{i}.blocks.{j}``; small networks hold their matrices as
                         1x1 convolutions
torchvision              ``features.{0..7}``, V1 alone
Hugging Face             ``embeddings``, ``encoder.stages.{i}.layers.{j}``
=======================  ===========================================================================
"""

from __future__ import annotations

import math
import re

import numpy as np

from mgm_converters.naming.heads import HEADS
from mgm_converters.naming.rules import Drop, Naming, Rename, Rule

State = dict[str, np.ndarray]

_ENDS = r"\.(weight|bias)"


def _blocks(
    block: str, *, conv: str, norm: str, first: str, second: str, grn: str, gamma: str
) -> tuple[Rule, ...]:
    """The rules of one block; its pattern holds the numbers of stage and block as groups."""
    ours = r"stages.\1.blocks.\2"
    parts = {conv: "conv_dw", norm: "norm", first: "mlp.fc1", second: "mlp.fc2"}
    return (
        *(
            Rename(pattern=rf"{block}\.{theirs}{_ENDS}", target=rf"{ours}.{name}.\3")
            for theirs, name in parts.items()
        ),
        Rename(
            pattern=rf"{block}\.{grn}\.(?:weight|gamma)",
            target=rf"{ours}.mlp.grn.weight",
            form="flat",
            optional=True,
        ),
        Rename(
            pattern=rf"{block}\.{grn}\.(?:bias|beta)",
            target=rf"{ours}.mlp.grn.bias",
            form="flat",
            optional=True,
        ),
        Rename(pattern=rf"{block}\.{gamma}", target=rf"{ours}.gamma", form="flat", optional=True),
    )


def _finish(state: State) -> State:
    """Matrices out of 1x1 convolutions."""
    return {
        name: value[..., 0, 0] if ".mlp.fc" in name and value.ndim == 4 else value
        for name, value in state.items()
    }


_STEM_OF_AUTHORS = (Rename(pattern=rf"downsample_layers\.0\.([01]){_ENDS}", target=r"stem.\1.\2"),)

AUTHORS = Naming(
    name="ConvNeXt of its authors",
    family="convnext",
    signature=(
        "downsample_layers.0.0.weight",
        "stages.0.0.dwconv.weight",
        "stages.0.0.pwconv1.weight",
    ),
    rules=(
        *_STEM_OF_AUTHORS,
        Rename(
            pattern=rf"downsample_layers\.([1-9])\.([01]){_ENDS}",
            target=r"stages.\1.downsample.\2.\3",
        ),
        *_blocks(
            r"stages\.(\d+)\.(\d+)",
            conv="dwconv",
            norm="norm",
            first="pwconv1",
            second="pwconv2",
            grn="grn",
            gamma="gamma",
        ),
        Rename(pattern=rf"norm{_ENDS}", target=r"norm.\1", optional=True),
        Drop(pattern=r"norms\..*", reason="norms of single stages, for dense tasks"),
        Drop(pattern=r"(?:proj|pred)\..*", reason="the decoder of a masked autoencoder"),
        *HEADS,
    ),
    finish=_finish,
)


def _dense(state: State) -> State:
    """Kernels of sparse convolutions, the places of a window as one axis, column by column."""

    def one(name: str, value: np.ndarray) -> np.ndarray:
        if name.endswith(".bias"):
            return value.reshape(-1)
        if re.search(r"conv_dw\.weight$", name) and value.ndim == 2:
            side = math.isqrt(len(value))
            return value.T.reshape(-1, 1, side, side).swapaxes(2, 3)
        if re.search(r"downsample\.1\.weight$", name) and value.ndim == 3:
            side = math.isqrt(len(value))
            kernel = value.transpose(2, 1, 0)
            return kernel.reshape(*kernel.shape[:2], side, side).swapaxes(2, 3)
        return value

    return {name: one(name, value) for name, value in state.items()}


SPARSE = Naming(
    name="ConvNeXt of its authors, sparse as in masked pretraining",
    family="convnext",
    signature=("downsample_layers.0.0.weight", "stages.0.0.dwconv.kernel"),
    rules=(
        *_STEM_OF_AUTHORS,
        Rename(
            pattern=rf"downsample_layers\.([1-9])\.0\.ln{_ENDS}",
            target=r"stages.\1.downsample.0.\2",
        ),
        Rename(
            pattern=r"downsample_layers\.([1-9])\.1\.kernel",
            target=r"stages.\1.downsample.1.weight",
        ),
        Rename(
            pattern=r"downsample_layers\.([1-9])\.1\.bias", target=r"stages.\1.downsample.1.bias"
        ),
        Rename(
            pattern=r"stages\.(\d+)\.(\d+)\.dwconv\.kernel",
            target=r"stages.\1.blocks.\2.conv_dw.weight",
        ),
        Rename(
            pattern=r"stages\.(\d+)\.(\d+)\.dwconv\.bias",
            target=r"stages.\1.blocks.\2.conv_dw.bias",
        ),
        *_blocks(
            r"stages\.(\d+)\.(\d+)",
            conv="never",
            norm=r"norm\.ln",
            first=r"pwconv1\.linear",
            second=r"pwconv2\.linear",
            grn="grn",
            gamma="gamma",
        )[1:],
        Drop(pattern=r"(?:proj|pred)\..*", reason="the decoder of a masked autoencoder"),
        *HEADS,
    ),
    finish=_dense,
)

TIMM = Naming(
    name="ConvNeXt of timm",
    family="convnext",
    signature=(
        "stem.0.weight",
        "stages.0.blocks.0.conv_dw.weight",
        "stages.0.blocks.0.mlp.fc1.weight",
    ),
    rules=(
        Rename(pattern=r"stem\.[01]\.(?:weight|bias)"),
        Rename(pattern=r"stages\.[1-9]\.downsample\.[01]\.(?:weight|bias)"),
        *_blocks(
            r"stages\.(\d+)\.blocks\.(\d+)",
            conv="conv_dw",
            norm="norm",
            first=r"mlp\.fc1",
            second=r"mlp\.fc2",
            grn=r"mlp\.grn",
            gamma="gamma",
        ),
        Rename(pattern=rf"head\.norm{_ENDS}", target=r"norm.\1", optional=True),
        Drop(pattern=r"head\.(?:fc|pre_logits)\..*", reason="a head, not the encoder"),
    ),
    finish=_finish,
)


def _stages_of_torchvision(state: State) -> State:
    """Features 1, 3, 5, 7 are the stages, 2, 4, 6 the halvings before all but the first."""

    def renamed(name: str) -> str:
        block = re.match(r"stages\.(\d+)\.(blocks|downsample)\.", name)
        if block is None:
            return name
        return f"stages.{int(block[1]) // 2}{name[block.end(1) :]}"

    return {renamed(name): value for name, value in state.items()}


TORCHVISION = Naming(
    name="ConvNeXt of torchvision",
    family="convnext",
    signature=("features.0.0.weight", "features.1.0.block.5.weight", "features.1.0.layer_scale"),
    rules=(
        Rename(pattern=rf"features\.0\.([01]){_ENDS}", target=r"stem.\1.\2"),
        Rename(pattern=rf"features\.([2468])\.([01]){_ENDS}", target=r"stages.\1.downsample.\2.\3"),
        *_blocks(
            r"features\.([1357])\.(\d+)",
            conv=r"block\.0",
            norm=r"block\.2",
            first=r"block\.3",
            second=r"block\.5",
            grn="never",
            gamma="layer_scale",
        ),
        Rename(pattern=rf"classifier\.0{_ENDS}", target=r"norm.\1", optional=True),
        Drop(pattern=r"classifier\.2\..*", reason="a head, not the encoder"),
    ),
    finish=_stages_of_torchvision,
)

HUGGINGFACE = Naming(
    name="ConvNeXt of Hugging Face",
    family="convnext",
    signature=(
        "embeddings.patch_embeddings.weight",
        "encoder.stages.0.layers.0.dwconv.weight",
    ),
    rules=(
        Rename(pattern=rf"embeddings\.patch_embeddings{_ENDS}", target=r"stem.0.\1"),
        Rename(pattern=rf"embeddings\.layernorm{_ENDS}", target=r"stem.1.\1"),
        Rename(
            pattern=rf"encoder\.stages\.(\d+)\.downsampling_layer\.([01]){_ENDS}",
            target=r"stages.\1.downsample.\2.\3",
        ),
        *_blocks(
            r"encoder\.stages\.(\d+)\.layers\.(\d+)",
            conv="dwconv",
            norm="layernorm",
            first="pwconv1",
            second="pwconv2",
            grn="grn",
            gamma="layer_scale_parameter",
        ),
        Rename(pattern=rf"layernorm{_ENDS}", target=r"norm.\1", optional=True),
        *HEADS,
    ),
)

CONVNEXT_NAMINGS = (AUTHORS, SPARSE, TIMM, TORCHVISION, HUGGINGFACE)
