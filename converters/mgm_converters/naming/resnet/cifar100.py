"""ResNets for small images as pytorch-cifar100 names them: ``conv2_x`` to ``conv5_x``."""

from __future__ import annotations

from mgm_converters.naming.heads import HEADS
from mgm_converters.naming.rules import COUNTERS, Naming, Rule
from mgm_converters.naming.units import unit


def _stage(stage: int) -> tuple[Rule, ...]:
    theirs, ours = rf"conv{stage + 1}_x\.(\d+)", rf"layer{stage}.\1"
    convolutions = (
        rule
        for i in range(3)
        for rule in unit(
            rf"{theirs}\.residual_function\.{3 * i}",
            rf"{theirs}\.residual_function\.{3 * i + 1}",
            to_conv=f"{ours}.conv{i + 1}",
            to_norm=f"{ours}.bn{i + 1}",
            optional=i == 2,
        )
    )
    shortcut = unit(
        rf"{theirs}\.shortcut\.0",
        rf"{theirs}\.shortcut\.1",
        to_conv=f"{ours}.downsample.0",
        to_norm=f"{ours}.downsample.1",
        optional=stage == 1,
    )
    return (*convolutions, *shortcut)


RESNET_CIFAR100 = Naming(
    name="ResNet of pytorch-cifar100",
    family="resnet",
    signature=(
        "conv1.0.weight",
        "conv2_x.0.residual_function.0.weight",
        "conv5_x.0.residual_function.0.weight",
    ),
    rules=(
        *unit(r"conv1\.0", r"conv1\.1", to_conv="conv1", to_norm="bn1"),
        *(rule for stage in range(1, 5) for rule in _stage(stage)),
        COUNTERS,
        *HEADS,
    ),
)
