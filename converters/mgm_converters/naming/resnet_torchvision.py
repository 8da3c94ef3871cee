"""ResNets as torchvision names them; timm and most self-supervised methods use the same names.

The names are the canonical ones, so the rules only say which there may be.
"""

from __future__ import annotations

from mgm_converters.naming.heads import HEADS
from mgm_converters.naming.rules import COUNTERS, Naming, Rename

_NORM = r"(?:weight|bias|running_mean|running_var)"

RESNET_TORCHVISION = Naming(
    name="ResNet of torchvision and timm",
    family="resnet",
    signature=("conv1.weight", "layer1.0.conv1.weight", "layer4.0.conv1.weight"),
    rules=(
        Rename(pattern=r"conv1\.weight"),
        Rename(pattern=rf"bn1\.{_NORM}"),
        Rename(pattern=r"layer\d\.\d+\.conv[123]\.weight"),
        Rename(pattern=rf"layer\d\.\d+\.bn[123]\.{_NORM}"),
        Rename(pattern=r"layer\d\.0\.downsample\.0\.weight"),
        Rename(pattern=rf"layer\d\.0\.downsample\.1\.{_NORM}"),
        COUNTERS,
        *HEADS,
    ),
)
