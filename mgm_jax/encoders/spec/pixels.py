"""The control encoder that has no weights."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from mgm_jax.encoders.spec.base import EncoderSpec, Family
from mgm_jax.encoders.spec.shapes import Shapes


@dataclass(frozen=True, kw_only=True)
class PixelsSpec(EncoderSpec):
    """The pixels themselves, flattened in the order row, column, channel: the control encoder."""

    family: ClassVar[Family] = "pixels"

    image_size: int = 28

    @property
    def tap_widths(self) -> dict[str, int]:
        return {"flatten": self.image_channels * self.image_size**2}

    @property
    def weight_shapes(self) -> Shapes:
        return {}
