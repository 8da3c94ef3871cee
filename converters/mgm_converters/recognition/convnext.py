"""The spec of a ConvNeXt from the shapes of its canonical weights."""

from __future__ import annotations

import re
from collections.abc import Mapping

import numpy as np

from mgm_jax.encoders import ConvNeXtSpec
from mgm_jax.errors import InputError

_BLOCK = re.compile(r"stages\.(\d+)\.blocks\.(\d+)\.conv_dw\.weight")


def spec_of_convnext(state: Mapping[str, np.ndarray]) -> ConvNeXtSpec:
    """Blocks and channels a stage, version and norms.

    Raises:
        InputError: there is no block.
    """
    positions = {
        (int(match[1]), int(match[2])): value.shape[0]
        for name, value in state.items()
        if (match := _BLOCK.fullmatch(name))
    }
    if not positions:
        raise InputError("stages.0.blocks.0.conv_dw.weight is missing: expected a ConvNeXt's")
    stages = range(max(stage for stage, _ in positions) + 1)
    first = "stages.0.blocks.0"
    return ConvNeXtSpec(
        blocks=tuple(sum(stage == one for one, _ in positions) for stage in stages),
        channels=tuple(positions.get((stage, 0), 0) for stage in stages),
        layer_scale=f"{first}.gamma" in state,
        response_norm=f"{first}.mlp.grn.weight" in state,
        final_norm="norm.weight" in state,
    )
