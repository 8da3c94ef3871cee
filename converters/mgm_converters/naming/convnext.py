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
from mgm_converters.naming.units import layers

State = dict[str, np.ndarray]


def _blocks(
    block: str, *, conv: str, norm: str, first: str, second: str, grn: str, gamma: str
) -> tuple[Rule, ...]:
    """The rules of one block; its pattern holds the numbers of stage and block as groups."""
    ours = r"stages.\1.blocks.\2"
    parts = {conv: "conv_dw", norm: "norm", first: "mlp.fc1", second: "mlp.fc2"}
    flat = {
        rf"{grn}\.(?:weight|gamma)": "mlp.grn.weight",
        rf"{grn}\.(?:bias|beta)": "mlp.grn.bias",
        gamma: "gamma",
    }
    return (
        *layers({rf"{block}\.{theirs}": f"{ours}.{name}" for theirs, name in parts.items()}),
        *(
            Rename(
                pattern=rf"{block}\.{theirs}", target=f"{ours}.{name}", form="flat", optional=True
            )
            for theirs, name in flat.items()
        ),
    )


def _finish(state: State) -> State:
    """Matrices out of 1x1 convolutions."""
    return {
        name: value[..., 0, 0] if ".mlp.fc" in name and value.ndim == 4 else value
        for name, value in state.items()
    }


_STEM_OF_AUTHORS = {r"downsample_layers\.0\.([01])": r"stem.\1"}

AUTHORS = Naming(
    name="ConvNeXt of its authors",
    family="convnext",
    signature=(
        "downsample_layers.0.0.weight",
        "stages.0.0.dwconv.weight",
        "stages.0.0.pwconv1.weight",
    ),
    rules=(
        *layers(
            {
                **_STEM_OF_AUTHORS,
                r"downsample_layers\.([1-9])\.([01])": r"stages.\1.downsample.\2",
            }
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
        *layers({"norm": "norm"}, optional=True),
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


def _sparse(theirs: str, ours: str) -> tuple[Rule, ...]:
    """A sparse convolution, whose weight is called its kernel."""
    leaves = {"kernel": "weight", "bias": "bias"}
    return tuple(
        Rename(pattern=rf"{theirs}\.{leaf}", target=f"{ours}.{name}")
        for leaf, name in leaves.items()
    )


SPARSE = Naming(
    name="ConvNeXt of its authors, sparse as in masked pretraining",
    family="convnext",
    signature=("downsample_layers.0.0.weight", "stages.0.0.dwconv.kernel"),
    rules=(
        *layers(
            {
                **_STEM_OF_AUTHORS,
                r"downsample_layers\.([1-9])\.0\.ln": r"stages.\1.downsample.0",
            }
        ),
        *_sparse(r"downsample_layers\.([1-9])\.1", r"stages.\1.downsample.1"),
        *_sparse(r"stages\.(\d+)\.(\d+)\.dwconv", r"stages.\1.blocks.\2.conv_dw"),
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
        *layers({r"head\.norm": "norm"}, optional=True),
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
        *layers(
            {
                r"features\.0\.([01])": r"stem.\1",
                r"features\.([2468])\.([01])": r"stages.\1.downsample.\2",
            }
        ),
        *_blocks(
            r"features\.([1357])\.(\d+)",
            conv=r"block\.0",
            norm=r"block\.2",
            first=r"block\.3",
            second=r"block\.5",
            grn="never",
            gamma="layer_scale",
        ),
        *layers({r"classifier\.0": "norm"}, optional=True),
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
        *layers(
            {
                r"embeddings\.patch_embeddings": "stem.0",
                r"embeddings\.layernorm": "stem.1",
                r"encoder\.stages\.(\d+)\.downsampling_layer\.([01])": r"stages.\1.downsample.\2",
            }
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
        *layers({"layernorm": "norm"}, optional=True),
        *HEADS,
    ),
)

CONVNEXT_NAMINGS = (AUTHORS, SPARSE, TIMM, TORCHVISION, HUGGINGFACE)
