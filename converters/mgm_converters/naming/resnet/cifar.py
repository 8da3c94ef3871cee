"""The thin CIFAR ResNet: torchvision's words, three stages, shortcuts without weights."""

from __future__ import annotations

from mgm_converters.naming.heads import HEADS
from mgm_converters.naming.rules import COUNTERS, Naming, Rename

RESNET_CIFAR = Naming(
    name="CIFAR ResNet",
    family="resnet_cifar",
    signature=("conv1.weight", "layer1.0.conv1.weight", "layer3.0.conv1.weight"),
    absent=("layer4.0.conv1.weight", "layer2.0.downsample.0.weight", "layer2.0.shortcut.0.weight"),
    rules=(
        Rename(pattern=r"conv1\.weight"),
        Rename(pattern=r"bn1\.(?:weight|bias|running_mean|running_var)"),
        Rename(pattern=r"layer[1-3]\.\d+\.conv[12]\.weight"),
        Rename(
            pattern=r"layer[1-3]\.\d+\.bn[12]\.(?:weight|bias|running_mean|running_var)",
        ),
        COUNTERS,
        *HEADS,
    ),
)
