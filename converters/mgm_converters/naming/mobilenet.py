"""MobileNetV2 and EfficientNet-Lite as timm, torchvision and EfficientNet-PyTorch name them.

timm's names are the canonical ones. The others number the blocks through; a stage begins where
the channels that leave a block change.
"""

from __future__ import annotations

import re
from dataclasses import replace

import numpy as np

from mgm_converters.naming.heads import HEADS
from mgm_converters.naming.rules import COUNTERS, Naming, Rename

State = dict[str, np.ndarray]

_NORM = r"(weight|bias|running_mean|running_var)"

MOBILENET_TIMM = Naming(
    name="MobileNetV2 and EfficientNet-Lite of timm",
    family="mobilenet",
    signature=("conv_stem.weight", "blocks.0.0.conv_dw.weight", "conv_head.weight"),
    # Squeeze-and-excitation: the other EfficientNets, and MobileNetV3.
    absent=("blocks.0.0.se.conv_reduce.weight",),
    rules=(
        Rename(pattern=r"conv_(?:stem|head)\.weight"),
        Rename(pattern=rf"bn[12]\.{_NORM}"),
        Rename(pattern=r"blocks\.\d+\.\d+\.conv_(?:pw|dw|pwl)\.weight"),
        Rename(pattern=rf"blocks\.\d+\.\d+\.bn[123]\.{_NORM}"),
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
            return rest.replace("outer.0.", "conv_head.").replace("outer.1.", "bn2.")
        return f"{positions[number]}.{rest}"

    return {renamed(name): value for name, value in state.items()}


_OUTER = (
    Rename(pattern=r"features\.(?!0\.)(\d+)\.0\.weight", target=r"numbered.\1.outer.0.weight"),
    Rename(pattern=rf"features\.(?!0\.)(\d+)\.1\.{_NORM}", target=r"numbered.\1.outer.1.\2"),
)

MOBILENET_TORCHVISION = Naming(
    name="MobileNetV2 of torchvision",
    family="mobilenet",
    signature=("features.0.0.weight", "features.1.conv.0.0.weight", "features.2.conv.1.0.weight"),
    rules=(
        Rename(pattern=r"features\.0\.0\.weight", target="conv_stem.weight"),
        Rename(pattern=rf"features\.0\.1\.{_NORM}", target=r"bn1.\1"),
        # The first block is not widened.
        Rename(pattern=rf"{_PLAIN}\.0\.0\.weight", target="numbered.1.conv_dw.weight"),
        Rename(pattern=rf"{_PLAIN}\.0\.1\.{_NORM}", target=r"numbered.1.bn1.\1"),
        Rename(pattern=rf"{_PLAIN}\.1\.weight", target="numbered.1.last.weight"),
        Rename(pattern=rf"{_PLAIN}\.2\.{_NORM}", target=r"numbered.1.bn2.\1"),
        Rename(
            pattern=rf"{_LATER}\.0\.0\.weight",
            target=r"numbered.\1.conv_pw.weight",
        ),
        Rename(pattern=rf"{_LATER}\.0\.1\.{_NORM}", target=r"numbered.\1.bn1.\2"),
        Rename(pattern=rf"{_WIDE}\.1\.0\.weight", target=r"numbered.\1.conv_dw.weight"),
        Rename(pattern=rf"{_WIDE}\.1\.1\.{_NORM}", target=r"numbered.\1.bn2.\2"),
        Rename(
            pattern=rf"{_LATER}\.2\.weight",
            target=r"numbered.\1.conv_pwl.weight",
        ),
        Rename(pattern=rf"{_WIDE}\.3\.{_NORM}", target=r"numbered.\1.bn3.\2"),
        *_OUTER,
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
        Rename(pattern=r"features\.0\.0\.weight", target="conv_stem.weight"),
        Rename(pattern=rf"features\.0\.1\.{_NORM}", target=r"bn1.\1"),
        Rename(pattern=rf"{_PLAIN}\.0\.weight", target="numbered.1.conv_dw.weight"),
        Rename(pattern=rf"{_PLAIN}\.1\.{_NORM}", target=r"numbered.1.bn1.\1"),
        Rename(pattern=rf"{_PLAIN}\.3\.weight", target="numbered.1.last.weight"),
        Rename(pattern=rf"{_PLAIN}\.4\.{_NORM}", target=r"numbered.1.bn2.\1"),
        Rename(pattern=rf"{_LATER}\.0\.weight", target=r"numbered.\1.conv_pw.weight"),
        Rename(pattern=rf"{_LATER}\.1\.{_NORM}", target=r"numbered.\1.bn1.\2"),
        Rename(pattern=rf"{_LATER}\.3\.weight", target=r"numbered.\1.conv_dw.weight"),
        Rename(pattern=rf"{_LATER}\.4\.{_NORM}", target=r"numbered.\1.bn2.\2"),
        Rename(pattern=rf"{_LATER}\.6\.weight", target=r"numbered.\1.conv_pwl.weight"),
        Rename(pattern=rf"{_LATER}\.7\.{_NORM}", target=r"numbered.\1.bn3.\2"),
        *(replace(rule, optional=True) for rule in _OUTER),
        Rename(pattern=r"conv\.0\.weight", target="conv_head.weight", optional=True),
        Rename(pattern=rf"conv\.1\.{_NORM}", target=r"bn2.\1", optional=True),
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
        Rename(pattern=r"_conv_stem\.weight", target="conv_stem.weight"),
        Rename(pattern=rf"_bn0\.{_NORM}", target=r"bn1.\1"),
        # The first block is not widened.
        Rename(pattern=rf"{_FIRST}\._depthwise_conv\.weight", target="numbered.0.conv_dw.weight"),
        Rename(pattern=rf"{_FIRST}\._bn1\.{_NORM}", target=r"numbered.0.bn1.\1"),
        Rename(pattern=rf"{_FIRST}\._project_conv\.weight", target="numbered.0.last.weight"),
        Rename(pattern=rf"{_FIRST}\._bn2\.{_NORM}", target=r"numbered.0.bn2.\1"),
        Rename(pattern=rf"{_OTHERS}\._expand_conv\.weight", target=r"numbered.\1.conv_pw.weight"),
        Rename(pattern=rf"{_OTHERS}\._bn0\.{_NORM}", target=r"numbered.\1.bn1.\2"),
        Rename(
            pattern=rf"{_OTHERS}\._depthwise_conv\.weight", target=r"numbered.\1.conv_dw.weight"
        ),
        Rename(pattern=rf"{_OTHERS}\._bn1\.{_NORM}", target=r"numbered.\1.bn2.\2"),
        Rename(pattern=rf"{_OTHERS}\._project_conv\.weight", target=r"numbered.\1.conv_pwl.weight"),
        Rename(pattern=rf"{_OTHERS}\._bn2\.{_NORM}", target=r"numbered.\1.bn3.\2"),
        Rename(pattern=r"_conv_head\.weight", target="conv_head.weight"),
        Rename(pattern=rf"_bn1\.{_NORM}", target=r"bn2.\1"),
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
