"""The spec of a MobileNetV2 or an EfficientNet-Lite from the shapes of its canonical weights."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from mgm_jax.encoders import ARCHITECTURES, MobileNetSpec
from mgm_jax.errors import InputError

_BLOCK = re.compile(r"blocks\.(\d+)\.(\d+)\.conv_dw\.weight")


def spec_of_mobilenet(state: Mapping[str, np.ndarray]) -> MobileNetSpec:
    """Widths, kernels and blocks; no weight reveals strides, padding, epsilon and input.

    Strides are those of both published families, the input that of the one of these widths.

    Raises:
        InputError: another number of stages than both have, or a block without its parts.
    """
    positions = {
        (int(match[1]), int(match[2])): value.shape
        for name, value in state.items()
        if (match := _BLOCK.fullmatch(name))
    }
    stages = sorted({stage for stage, _ in positions})
    strides = MobileNetSpec().strides
    if stages != list(range(len(strides))) or any((stage, 0) not in positions for stage in stages):
        raise InputError(
            f"expected {len(strides)} stages of inverted residuals, as in MobileNetV2, found "
            f"{len(stages)}; no weight reveals the strides of another network"
        )
    widened = [f"blocks.{stage}.0.conv_pwl.weight" in state for stage in stages]
    last = [
        f"blocks.{stage}.0.{'conv_pwl' if wide else 'conv_pw'}.weight"
        for stage, wide in zip(stages, widened, strict=True)
    ]
    missing = [
        name for name in (*last, "conv_stem.weight", "conv_head.weight") if name not in state
    ]
    if missing:
        raise InputError(f"{missing[0]} is missing, and the architecture depends on it")
    channels = tuple(state[name].shape[0] for name in last)
    stem = state["conv_stem.weight"].shape[0]
    inputs = (stem, *channels[:-1])
    spec = MobileNetSpec(
        stem=stem,
        expand=tuple(positions[stage, 0][0] // inputs[stage] for stage in stages),
        kernels=tuple(positions[stage, 0][-1] for stage in stages),
        strides=strides,
        channels=channels,
        repeats=tuple(sum(stage == one for one, _ in positions) for stage in stages),
        head=state["conv_head.weight"].shape[0],
    )
    # Each of the published widths and depths is scaled for a side of its own.
    shown = (spec.channels, spec.repeats)
    sides = (
        one.spec.image_size
        for one in ARCHITECTURES.values()
        if isinstance(one.spec, MobileNetSpec) and (one.spec.channels, one.spec.repeats) == shown
    )
    return replace(spec, image_size=next(sides, spec.image_size))
