"""ResNets as Hugging Face names them: stages from 0, convolutions of a block as ``layer.0`` on."""

from __future__ import annotations

from converters.naming.heads import HEADS
from converters.naming.rules import COUNTERS, Naming, Rename, Rule

_NORM = r"(weight|bias|running_mean|running_var)"


def _stage(stage: int) -> tuple[Rule, ...]:
    # Their stages count from 0, ours from 1; inside a pattern a number cannot be raised by one.
    theirs = rf"encoder\.stages\.{stage}\.layers\.(\d+)"
    ours = rf"layer{stage + 1}.\1"
    convolutions: tuple[Rule, ...] = ()
    for i in range(3):
        # A basic block has two convolutions, a bottleneck three.
        convolutions += (
            Rename(
                pattern=rf"{theirs}\.layer\.{i}\.convolution\.weight",
                target=f"{ours}.conv{i + 1}.weight",
                optional=i == 2,
            ),
            Rename(
                pattern=rf"{theirs}\.layer\.{i}\.normalization\.{_NORM}",
                target=rf"{ours}.bn{i + 1}.\2",
                optional=i == 2,
            ),
        )
    # The first stage of a ResNet with basic blocks keeps its width and needs no projection.
    return (
        *convolutions,
        Rename(
            pattern=rf"{theirs}\.shortcut\.convolution\.weight",
            target=f"{ours}.downsample.0.weight",
            optional=stage == 0,
        ),
        Rename(
            pattern=rf"{theirs}\.shortcut\.normalization\.{_NORM}",
            target=rf"{ours}.downsample.1.\2",
            optional=stage == 0,
        ),
    )


RESNET_HUGGINGFACE = Naming(
    name="ResNet of Hugging Face",
    family="resnet",
    signature=(
        "embedder.embedder.convolution.weight",
        "encoder.stages.0.layers.0.layer.0.convolution.weight",
    ),
    rules=(
        Rename(pattern=r"embedder\.embedder\.convolution\.weight", target="conv1.weight"),
        Rename(pattern=rf"embedder\.embedder\.normalization\.{_NORM}", target=r"bn1.\1"),
        *(rule for stage in range(4) for rule in _stage(stage)),
        COUNTERS,
        *HEADS,
    ),
)
