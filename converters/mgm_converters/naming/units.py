"""The two rules of a convolution and the BatchNorm behind it, which most spellings consist of."""

from __future__ import annotations

from mgm_converters.naming.rules import Rename


def unit(
    conv: str, norm: str, *, to_conv: str, to_norm: str, bias: bool = False, optional: bool = False
) -> tuple[Rename, Rename]:
    """Rename the weights of a convolution and of its norm.

    Args:
        conv: pattern of the convolution's name.
        norm: pattern of the norm's name.
        to_conv: canonical name of the convolution; may use the groups of ``conv``.
        to_norm: canonical name of the norm; may use the groups of ``norm``.
        bias: whether the convolution has one.
        optional: whether there may be none of both.
    """
    kinds = "weight|bias" if bias else "weight"
    return (
        Rename(
            pattern=rf"{conv}\.(?P<kind>{kinds})",
            target=rf"{to_conv}.\g<kind>",
            optional=optional,
        ),
        Rename(
            pattern=rf"{norm}\.(?P<kind>weight|bias|running_mean|running_var)",
            target=rf"{to_norm}.\g<kind>",
            optional=optional,
        ),
    )
