"""ResNets cut as ``nn.Sequential(*list(network.children())[:-1])``: numbers in place of names.

The children of a network have one order, so a number says which it is. Three orders are in use:
torchvision's with its ReLU and max-pool, the same without the max-pool (small images), and one
whose ReLU is a function (pytorch-cifar, lightly).
"""

from __future__ import annotations

from mgm_converters.naming.heads import HEADS
from mgm_converters.naming.resnet.torchvision import block_rules
from mgm_converters.naming.rules import COUNTERS, Naming
from mgm_converters.naming.units import unit


def _sequential(first: int, children: str) -> Naming:
    """The spelling in which the first stage is child ``first``."""
    return Naming(
        name=f"ResNet as nn.Sequential of its children ({children})",
        family="resnet",
        signature=(
            "0.weight",
            "1.running_var",
            f"{first}.0.conv1.weight",
            f"{first + 3}.0.conv1.weight",
        ),
        rules=(
            *unit("0", "1", to_conv="conv1", to_norm="bn1"),
            *(
                rule
                for stage in range(1, 5)
                for rule in block_rules(str(first + stage - 1), f"layer{stage}", stage)
            ),
            COUNTERS,
            *HEADS,
        ),
    )


RESNET_SEQUENTIAL = (
    _sequential(4, "conv1, bn1, relu, maxpool, layer1, ..."),
    _sequential(3, "conv1, bn1, relu, layer1, ..."),
    _sequential(2, "conv1, bn1, layer1, ..."),
)
