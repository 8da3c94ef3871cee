"""What a Conv4 is, without its weights."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from mgm_jax.encoders.spec.base import EncoderSpec, Family
from mgm_jax.encoders.spec.shapes import ConvNorm, Shapes, of_units


@dataclass(frozen=True, kw_only=True)
class Conv4Spec(EncoderSpec):
    """Four blocks of 3x3 convolution, BatchNorm, ReLU and 2x2 max pool (Snell et al. 2017).

    Taps ``block0`` .. ``block3`` and ``flatten``: the last map in the order channel, row, column,
    ``channels * (image_size // 16)**2`` values, 1600 at 84 pixels.

    Attributes:
        channels: channels of every block.
        batch_norm_eps: added to the running variance.
    """

    family: ClassVar[Family] = "conv4"

    image_size: int = 84
    channels: int = 64
    batch_norm_eps: float = 1e-5

    def __post_init__(self) -> None:
        super().__post_init__()
        self._check_positive("channels")
        if self.image_size < 16:
            raise self._error("image_size", "expected at least 16 pixels (four halvings)")

    @property
    def tap_widths(self) -> dict[str, int]:
        side = self.image_size // 16
        return {f"block{i}": self.channels for i in range(4)} | {"flatten": self.channels * side**2}

    @property
    def conv_norms(self) -> tuple[ConvNorm, ...]:
        inputs = (self.image_channels, *(self.channels,) * 3)
        return tuple(
            ConvNorm(f"blocks.{i}.conv", f"blocks.{i}.bn", inputs[i], self.channels, 3, biased=True)
            for i in range(4)
        )

    @property
    def weight_shapes(self) -> Shapes:
        return of_units(self.conv_norms)
