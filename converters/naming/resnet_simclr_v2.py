"""ResNets as the PyTorch conversion of SimCLR-v2 (Separius) names them, without selective kernels.

``net.0`` is the stem and ``net.1`` to ``net.4`` the stages; a block is a sequence of convolutions
at 0, 2, 4 and norms at 1, 3, 5, each norm a sequence with its ReLU.
"""

from __future__ import annotations

from converters.naming.heads import HEADS
from converters.naming.rules import COUNTERS, Naming, Rename, Rule

_NORM = r"(weight|bias|running_mean|running_var)"
_BLOCK = r"net\.([1-4])\.blocks\.(\d+)"


def _unit(number: int) -> tuple[Rule, ...]:
    return (
        Rename(
            pattern=rf"{_BLOCK}\.net\.{2 * number - 2}\.weight",
            target=rf"layer\1.\2.conv{number}.weight",
        ),
        Rename(
            pattern=rf"{_BLOCK}\.net\.{2 * number - 1}\.0\.{_NORM}",
            target=rf"layer\1.\2.bn{number}.\3",
        ),
    )


RESNET_SIMCLR_V2 = Naming(
    name="ResNet of the PyTorch SimCLR-v2",
    family="resnet",
    signature=("net.0.0.weight", "net.1.blocks.0.net.0.weight", "net.4.blocks.0.net.0.weight"),
    rules=(
        Rename(pattern=r"net\.0\.0\.weight", target="conv1.weight"),
        Rename(pattern=rf"net\.0\.1\.0\.{_NORM}", target=r"bn1.\1"),
        *_unit(1),
        *_unit(2),
        *_unit(3),
        Rename(
            pattern=rf"{_BLOCK}\.projection\.shortcut\.weight",
            target=r"layer\1.\2.downsample.0.weight",
        ),
        Rename(
            pattern=rf"{_BLOCK}\.projection\.bn\.0\.{_NORM}", target=r"layer\1.\2.downsample.1.\3"
        ),
        COUNTERS,
        *HEADS,
    ),
)
