"""The spec of a Swin transformer from the shapes of its canonical weights."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping

import numpy as np

from mgm_jax.encoders import SwinSpec
from mgm_jax.errors import InputError

_TABLE = re.compile(r"layers\.(\d+)\.blocks\.(\d+)\.attn\.relative_position_bias_table")


def spec_of_swin(state: Mapping[str, np.ndarray]) -> SwinSpec:
    """Channels, blocks, heads and windows; the tables of position biases hold the last two.

    The size of the image follows from the window of the last stage, whose map is one window.

    Raises:
        InputError: a table is missing, or belongs to no square window.
    """
    tables = {
        (int(match[1]), int(match[2])): value
        for name, value in state.items()
        if (match := _TABLE.fullmatch(name))
    }
    stages = range(max((stage for stage, _ in tables), default=-1) + 1)
    if not stages or any((stage, 0) not in tables for stage in stages):
        raise InputError(
            "layers.0.blocks.0.attn.relative_position_bias_table is missing, and the windows "
            "depend on it"
        )
    windows = [_window(tables[stage, 0]) for stage in stages]
    return SwinSpec(
        image_size=4 * windows[-1] * 2 ** (len(stages) - 1),
        embed_dim=state["patch_embed.proj.weight"].shape[0],
        blocks=tuple(sum(stage == one for one, _ in tables) for stage in stages),
        heads=tuple(tables[stage, 0].shape[1] for stage in stages),
        window=windows[0],
    )


def _window(table: np.ndarray) -> int:
    side = math.isqrt(table.shape[0]) if len(table.shape) == 2 else 0
    if side**2 != table.shape[0] or side % 2 == 0:
        raise InputError(
            f"relative_position_bias_table: expected (2 w - 1)^2 rows, got shape {table.shape}"
        )
    return (side + 1) // 2
