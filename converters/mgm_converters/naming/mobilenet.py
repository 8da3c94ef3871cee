"""MobileNetV2 and EfficientNet-Lite as timm, torchvision and EfficientNet-PyTorch name them.

timm's names are the canonical ones. The others number the blocks through; a stage begins where
the channels that leave a block change.
"""

from __future__ import annotations

import re

import numpy as np

from mgm_converters.naming.heads import HEADS
from mgm_converters.naming.rules import COUNTERS, Naming, Rename
from mgm_converters.naming.units import NORM, layers

State = dict[str, np.ndarray]

MOBILENET_TIMM = Naming(
    name="MobileNetV2 and EfficientNet-Lite of timm",
    family="mobilenet",
    signature=("conv_stem.weight", "blocks.0.0.conv_dw.weight", "conv_head.weight"),
    # Squeeze-and-excitation: the other EfficientNets, and MobileNetV3.
    absent=("blocks.0.0.se.conv_reduce.weight",),
    rules=(
        Rename(pattern=r"conv_(?:stem|head)\.weight"),
        Rename(pattern=rf"bn[12]\.(?:{NORM})"),
        Rename(pattern=r"blocks\.\d+\.\d+\.conv_(?:pw|dw|pwl)\.weight"),
        Rename(pattern=rf"blocks\.\d+\.\d+\.bn[123]\.(?:{NORM})"),
        COUNTERS,
        *HEADS,
    ),
)

_PLAIN, _WIDE = r"features\.1\.conv", r"features\.(\d+)\.conv"
_LATER = r"features\.(?!1\.)(\d+)\.conv"


def _staged(state: State) -> State:
    """Blocks numbered through to stages and blocks, stem and head to their names."""
    ends = {
        int(match[1]): value.shape[0]
        for name, value in state.items()
        if (match := re.fullmatch(r"numbered\.(\d+)\.(?:conv_pwl|last)\.weight", name))
    }
    positions: dict[int, str] = {}
    stage, block, before = -1, 0, None
    for number in sorted(ends):
        stage, block = (stage, block + 1) if ends[number] == before else (stage + 1, 0)
        before = ends[number]
        positions[number] = f"blocks.{stage}.{block}"

    def renamed(name: str) -> str:
        match = re.match(r"numbered\.(\d+)\.", name)
        if match is None:
            return name
        rest = name[match.end() :].replace("last.", "conv_pw.")
        number = int(match[1])
        # Behind the last block stands the wide convolution.
        if number not in positions:
            return rest.replace("bn_head.", "bn2.")
        return f"{positions[number]}.{rest}"

    return {renamed(name): value for name, value in state.items()}


def _renamed(names: dict[str, str], *, optional: bool = False) -> tuple[Rename, ...]:
    """Rename convolutions, which hold a weight, and the norms ``bn`` behind them."""
    return tuple(
        rule
        for theirs, ours in names.items()
        for rule in layers(
            {theirs: ours},
            leaves=NORM if ours.rpartition(".")[2].startswith("bn") else "weight",
            optional=optional,
        )
    )


# The stem, and the wide convolution behind the last block.
_STEM = {r"features\.0\.0": "conv_stem", r"features\.0\.1": "bn1"}
_OUTER = {
    r"features\.(?!0\.)(\d+)\.0": r"numbered.\1.conv_head",
    r"features\.(?!0\.)(\d+)\.1": r"numbered.\1.bn_head",
}

MOBILENET_TORCHVISION = Naming(
    name="MobileNetV2 of torchvision",
    family="mobilenet",
    signature=("features.0.0.weight", "features.1.conv.0.0.weight", "features.2.conv.1.0.weight"),
    rules=(
        *_renamed(
            {
                **_STEM,
                # The first block is not widened.
                rf"{_PLAIN}\.0\.0": "numbered.1.conv_dw",
                rf"{_PLAIN}\.0\.1": "numbered.1.bn1",
                rf"{_PLAIN}\.1": "numbered.1.last",
                rf"{_PLAIN}\.2": "numbered.1.bn2",
                rf"{_LATER}\.0\.0": r"numbered.\1.conv_pw",
                rf"{_LATER}\.0\.1": r"numbered.\1.bn1",
                rf"{_WIDE}\.1\.0": r"numbered.\1.conv_dw",
                rf"{_WIDE}\.1\.1": r"numbered.\1.bn2",
                rf"{_LATER}\.2": r"numbered.\1.conv_pwl",
                rf"{_WIDE}\.3": r"numbered.\1.bn3",
                **_OUTER,
            }
        ),
        COUNTERS,
        *HEADS,
    ),
    finish=_staged,
)

# The implementation that torchvision's came from, still the source of many files: every layer of a
# block stands in one sequence, activations counted. Later versions hold the head under ``conv``.
MOBILENET_FLAT = Naming(
    name="MobileNetV2 with blocks in one sequence",
    family="mobilenet",
    signature=("features.0.0.weight", "features.1.conv.0.weight", "features.2.conv.6.weight"),
    rules=(
        *_renamed(
            {
                **_STEM,
                rf"{_PLAIN}\.0": "numbered.1.conv_dw",
                rf"{_PLAIN}\.1": "numbered.1.bn1",
                rf"{_PLAIN}\.3": "numbered.1.last",
                rf"{_PLAIN}\.4": "numbered.1.bn2",
                rf"{_LATER}\.0": r"numbered.\1.conv_pw",
                rf"{_LATER}\.1": r"numbered.\1.bn1",
                rf"{_LATER}\.3": r"numbered.\1.conv_dw",
                rf"{_LATER}\.4": r"numbered.\1.bn2",
                rf"{_LATER}\.6": r"numbered.\1.conv_pwl",
                rf"{_LATER}\.7": r"numbered.\1.bn3",
            }
        ),
        *_renamed({**_OUTER, r"conv\.0": "conv_head", r"conv\.1": "bn2"}, optional=True),
        COUNTERS,
        *HEADS,
    ),
    finish=_staged,
)

_FIRST, _OTHERS = r"_blocks\.0", r"_blocks\.(?!0\.)(\d+)"

EFFICIENTNET_PYTORCH = Naming(
    name="EfficientNet-Lite of EfficientNet-PyTorch",
    family="mobilenet",
    signature=("_conv_stem.weight", "_blocks.0._depthwise_conv.weight", "_conv_head.weight"),
    # Squeeze-and-excitation: the other EfficientNets.
    absent=("_blocks.0._se_reduce.weight",),
    rules=(
        *_renamed(
            {
                "_conv_stem": "conv_stem",
                "_bn0": "bn1",
                # The first block is not widened.
                rf"{_FIRST}\._depthwise_conv": "numbered.0.conv_dw",
                rf"{_FIRST}\._bn1": "numbered.0.bn1",
                rf"{_FIRST}\._project_conv": "numbered.0.last",
                rf"{_FIRST}\._bn2": "numbered.0.bn2",
                rf"{_OTHERS}\._expand_conv": r"numbered.\1.conv_pw",
                rf"{_OTHERS}\._bn0": r"numbered.\1.bn1",
                rf"{_OTHERS}\._depthwise_conv": r"numbered.\1.conv_dw",
                rf"{_OTHERS}\._bn1": r"numbered.\1.bn2",
                rf"{_OTHERS}\._project_conv": r"numbered.\1.conv_pwl",
                rf"{_OTHERS}\._bn2": r"numbered.\1.bn3",
                "_conv_head": "conv_head",
                "_bn1": "bn2",
            }
        ),
        COUNTERS,
        *HEADS,
    ),
    finish=_staged,
)

MOBILENET_NAMINGS = (
    MOBILENET_TIMM,
    MOBILENET_TORCHVISION,
    MOBILENET_FLAT,
    EFFICIENTNET_PYTORCH,
)
