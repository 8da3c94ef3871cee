"""ResNets for small images as pytorch-cifar100 names them: ``conv2_x`` to ``conv5_x``."""

from __future__ import annotations

from mgm_converters.naming.heads import HEADS
from mgm_converters.naming.resnet.stage import stage
from mgm_converters.naming.rules import COUNTERS, Naming, Rule
from mgm_converters.naming.units import unit


def _stage(number: int) -> tuple[Rule, ...]:
    return stage(
        rf"conv{number + 1}_x\.(\d+)",
        rf"layer{number}.\1",
        convolution=lambda i: (
            rf"residual_function\.{3 * i}",
            rf"residual_function\.{3 * i + 1}",
        ),
        shortcut=(r"shortcut\.0", r"shortcut\.1"),
        first=number == 1,
    )


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
        *(rule for number in range(1, 5) for rule in _stage(number)),
        COUNTERS,
        *HEADS,
    ),
)
