"""The rules of layers that change their names, each with all arrays that such a layer has."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from mgm_converters.naming.rules import Rename

#: What a layer holds, as a pattern.
Leaves = Literal["weight", "weight|bias", "weight|bias|running_mean|running_var"]
NORM: Leaves = "weight|bias|running_mean|running_var"


def layers(
    names: Mapping[str, str], *, leaves: Leaves = "weight|bias", optional: bool = False
) -> tuple[Rename, ...]:
    """Rename layers.

    Args:
        names: pattern of a layer's name to its canonical name, which may use the pattern's groups.
        leaves: what each of them holds.
        optional: whether a file may have none of them.
    """
    return tuple(
        Rename(
            pattern=rf"{theirs}\.(?P<leaf>{leaves})", target=rf"{ours}.\g<leaf>", optional=optional
        )
        for theirs, ours in names.items()
    )


def unit(
    conv: str, norm: str, *, to_conv: str, to_norm: str, bias: bool = False, optional: bool = False
) -> tuple[Rename, ...]:
    """Rename a convolution and the BatchNorm behind it.

    Args:
        conv: pattern of the convolution's name.
        norm: pattern of the norm's name.
        to_conv: canonical name of the convolution; may use the groups of ``conv``.
        to_norm: canonical name of the norm; may use the groups of ``norm``.
        bias: whether the convolution has one.
        optional: whether there may be none of both.
    """
    return (
        *layers({conv: to_conv}, leaves="weight|bias" if bias else "weight", optional=optional),
        *layers({norm: to_norm}, leaves=NORM, optional=optional),
    )
