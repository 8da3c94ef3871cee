"""ResNets as Haiku names them; so BYOL publishes its weights.

A name is the path of the module and the leaf, joined by dots
(see :mod:`mgm_converters.reading.unwrap`). Kernels
are ``[row, column, in, out]``, a norm has one value a channel with axes of length 1, and its
statistics are the averages of exponential means.
"""

from __future__ import annotations

from mgm_converters.naming.heads import HEADS
from mgm_converters.naming.rules import Drop, Naming, Rename, Rule

_LEAVES = {
    "scale": "weight",
    "offset": "bias",
    r"mean_ema\.average": "running_mean",
    r"var_ema\.average": "running_var",
}


def _unit(
    conv: str, norm: str, ours: tuple[str, str], *, optional: bool = False
) -> tuple[Rule, ...]:
    """One convolution and the norm behind it."""
    return (
        Rename(pattern=rf"{conv}\.w", target=f"{ours[0]}.weight", form="kernel", optional=optional),
        *(
            Rename(
                pattern=rf"{norm}\.{theirs}",
                target=f"{ours[1]}.{leaf}",
                form="flat",
                optional=optional,
            )
            for theirs, leaf in _LEAVES.items()
        ),
    )


def _stage(stage: int) -> tuple[Rule, ...]:
    # Their groups count from 0, ours from 1; inside a pattern a number cannot be raised by one.
    theirs, ours = rf"block_group_{stage}\.block_(\d+)", rf"layer{stage + 1}.\1"
    rules: tuple[Rule, ...] = ()
    for i in range(3):
        # A basic block has two convolutions, a bottleneck three.
        rules += _unit(
            rf"{theirs}\.conv_{i}",
            rf"{theirs}\.batchnorm_{i}",
            (f"{ours}.conv{i + 1}", f"{ours}.bn{i + 1}"),
            optional=i == 2,
        )
    return rules + _unit(
        rf"{theirs}\.shortcut_conv",
        rf"{theirs}\.shortcut_batchnorm",
        (f"{ours}.downsample.0", f"{ours}.downsample.1"),
    )


RESNET_HAIKU = Naming(
    name="ResNet of Haiku (BYOL)",
    family="resnet",
    signature=(
        "initial_conv.w",
        "block_group_0.block_0.conv_0.w",
        "block_group_3.block_0.conv_0.w",
    ),
    rules=(
        *_unit("initial_conv", "initial_batchnorm", ("conv1", "bn1")),
        *(rule for stage in range(4) for rule in _stage(stage)),
        Drop(pattern=r".*\.(?:hidden|counter)", reason="a running sum, not a weight"),
        *HEADS,
    ),
)
