"""ResNets as Hugging Face names them: stages from 0, convolutions of a block as ``layer.0`` on."""

from __future__ import annotations

from mgm_converters.naming.heads import HEADS
from mgm_converters.naming.resnet.stage import stage
from mgm_converters.naming.rules import COUNTERS, Naming, Rule
from mgm_converters.naming.units import unit


def _stage(number: int) -> tuple[Rule, ...]:
    # Their stages count from 0, ours from 1; inside a pattern a number cannot be raised by one.
    return stage(
        rf"encoder\.stages\.{number}\.layers\.(\d+)",
        rf"layer{number + 1}.\1",
        convolution=lambda i: (rf"layer\.{i}\.convolution", rf"layer\.{i}\.normalization"),
        shortcut=(r"shortcut\.convolution", r"shortcut\.normalization"),
        first=number == 0,
    )


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
        *(rule for number in range(4) for rule in _stage(number)),
        COUNTERS,
        *HEADS,
    ),
)
