"""ResNets as torchvision names them; timm and most self-supervised methods use the same names.

The names are the canonical ones, so the rules only say which there may be. pytorch-cifar and
SupContrast write ``shortcut`` for ``downsample``.
"""

from __future__ import annotations

from mgm_converters.naming.heads import HEADS
from mgm_converters.naming.rules import COUNTERS, Naming, Rename, Rule

_NORM = r"(?:weight|bias|running_mean|running_var)"


def block_rules(theirs: str, ours: str, stage: int) -> tuple[Rule, ...]:
    """The rules of the blocks of a stage.

    Args:
        theirs: pattern of the stage, without groups.
        ours: canonical name of the stage.
        stage: its number, from 1; the first may do without a projection.
    """
    shortcut = rf"{theirs}\.0\.(?:downsample|shortcut)"
    return (
        Rename(pattern=rf"{theirs}\.(\d+\.conv[123]\.weight)", target=rf"{ours}.\1"),
        Rename(pattern=rf"{theirs}\.(\d+\.bn[123]\.{_NORM})", target=rf"{ours}.\1"),
        Rename(
            pattern=rf"{shortcut}\.(0\.weight|1\.{_NORM})",
            target=rf"{ours}.0.downsample.\1",
            optional=stage == 1,
        ),
    )


RESNET_TORCHVISION = Naming(
    name="ResNet of torchvision and timm",
    family="resnet",
    signature=("conv1.weight", "layer1.0.conv1.weight", "layer4.0.conv1.weight"),
    rules=(
        Rename(pattern=r"conv1\.weight"),
        Rename(pattern=rf"bn1\.{_NORM}"),
        *(rule for i in range(1, 5) for rule in block_rules(f"layer{i}", f"layer{i}", i)),
        COUNTERS,
        *HEADS,
    ),
)
