"""ResNets as the PyTorch conversion of SimCLR-v2 (Separius) names them, without selective kernels.

``net.0`` is the stem and ``net.1`` to ``net.4`` the stages; a block is a sequence of convolutions
at 0, 2, 4 and norms at 1, 3, 5, each norm a sequence with its ReLU.
"""

from __future__ import annotations

from mgm_converters.naming.heads import HEADS
from mgm_converters.naming.rules import COUNTERS, Naming
from mgm_converters.naming.units import unit

_BLOCK = r"net\.([1-4])\.blocks\.(\d+)"


RESNET_SIMCLR_V2 = Naming(
    name="ResNet of the PyTorch SimCLR-v2",
    family="resnet",
    signature=("net.0.0.weight", "net.1.blocks.0.net.0.weight", "net.4.blocks.0.net.0.weight"),
    rules=(
        *unit(r"net\.0\.0", r"net\.0\.1\.0", to_conv="conv1", to_norm="bn1"),
        *(
            rule
            for i in (1, 2, 3)
            for rule in unit(
                rf"{_BLOCK}\.net\.{2 * i - 2}",
                rf"{_BLOCK}\.net\.{2 * i - 1}\.0",
                to_conv=rf"layer\1.\2.conv{i}",
                to_norm=rf"layer\1.\2.bn{i}",
            )
        ),
        *unit(
            rf"{_BLOCK}\.projection\.shortcut",
            rf"{_BLOCK}\.projection\.bn\.0",
            to_conv=r"layer\1.\2.downsample.0",
            to_norm=r"layer\1.\2.downsample.1",
        ),
        COUNTERS,
        *HEADS,
    ),
)
