"""ResNets as Hugging Face names them: stages from 0, convolutions of a block as ``layer.0`` on."""

from __future__ import annotations

from mgm_converters.naming.heads import HEADS
from mgm_converters.naming.rules import COUNTERS, Naming, Rule
from mgm_converters.naming.units import unit


def _stage(stage: int) -> tuple[Rule, ...]:
    # Their stages count from 0, ours from 1; inside a pattern a number cannot be raised by one.
    theirs = rf"encoder\.stages\.{stage}\.layers\.(\d+)"
    ours = rf"layer{stage + 1}.\1"
    convolutions = (
        rule
        for i in range(3)
        for rule in unit(
            rf"{theirs}\.layer\.{i}\.convolution",
            rf"{theirs}\.layer\.{i}\.normalization",
            to_conv=f"{ours}.conv{i + 1}",
            to_norm=f"{ours}.bn{i + 1}",
            # A basic block has two convolutions, a bottleneck three.
            optional=i == 2,
        )
    )
    shortcut = unit(
        rf"{theirs}\.shortcut\.convolution",
        rf"{theirs}\.shortcut\.normalization",
        to_conv=f"{ours}.downsample.0",
        to_norm=f"{ours}.downsample.1",
        # The first stage of a ResNet with basic blocks keeps its width and needs no projection.
        optional=stage == 0,
    )
    return (*convolutions, *shortcut)


RESNET_HUGGINGFACE = Naming(
    name="ResNet of Hugging Face",
    family="resnet",
    signature=(
        "embedder.embedder.convolution.weight",
        "encoder.stages.0.layers.0.layer.0.convolution.weight",
    ),
    rules=(
        *unit(
            r"embedder\.embedder\.convolution",
            r"embedder\.embedder\.normalization",
            to_conv="conv1",
            to_norm="bn1",
        ),
        *(rule for stage in range(4) for rule in _stage(stage)),
        COUNTERS,
        *HEADS,
    ),
)
