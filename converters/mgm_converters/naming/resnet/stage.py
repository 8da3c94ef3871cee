"""A stage of a ResNet whose convolutions and shortcut are called by a system."""

from __future__ import annotations

from collections.abc import Callable

from mgm_converters.naming.rules import Rule
from mgm_converters.naming.units import unit


def stage(
    block: str,
    ours: str,
    *,
    convolution: Callable[[int], tuple[str, str]],
    shortcut: tuple[str, str],
    first: bool,
) -> tuple[Rule, ...]:
    """Rules of all blocks of a stage.

    Args:
        block: pattern of a block's name, its number as the one group.
        ours: what we call it.
        convolution: within a block, the i-th convolution from 0 and its norm.
        shortcut: its projection and its norm.
        first: whether it is the first stage, which keeps its width where blocks are basic and needs
            no projection then.
    """
    rules = []
    for i in range(3):
        conv, norm = convolution(i)
        # A basic block has two convolutions, a bottleneck three.
        rules += unit(
            rf"{block}\.{conv}",
            rf"{block}\.{norm}",
            to_conv=f"{ours}.conv{i + 1}",
            to_norm=f"{ours}.bn{i + 1}",
            optional=i == 2,
        )
    rules += unit(
        rf"{block}\.{shortcut[0]}",
        rf"{block}\.{shortcut[1]}",
        to_conv=f"{ours}.downsample.0",
        to_norm=f"{ours}.downsample.1",
        optional=first,
    )
    return tuple(rules)
