"""What a ConvNeXt is, without its weights: of the first version and of the second."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from mgm_jax.encoders.spec.base import LOGITS, EncoderSpec, Family
from mgm_jax.encoders.spec.shapes import Shapes, affine, classifier, prefixed


@dataclass(frozen=True, kw_only=True)
class ConvNeXtSpec(EncoderSpec):
    """Stages of depthwise 7x7 convolutions and MLPs over channels (Liu et al. 2022).

    Non-overlapping 4x4 patches make the stem, 2x2 patches halve the map between stages. The first
    version scales every branch (``gamma``); the second, made for masked pretraining (Woo et al.
    2023), normalises the hidden channels of its MLPs against each other instead.

    Taps ``stem``, ``stages.{i}.{j}``, ``pool`` (mean of the last map) and, where there is a final
    norm, ``norm`` (the pooled row, normalised).

    Attributes:
        blocks: blocks of each stage, (3, 3, 9, 3) in the tiny network.
        channels: channels of each stage.
        layer_scale: whether every branch ends in a learned scale (V1).
        response_norm: whether MLPs hold a global response normalisation (V2).
        final_norm: whether the pooled row is normalised; a file of masked pretraining has no norm.
        layer_norm_eps: added to the variance; no weight reveals it.
        classes: outputs of the linear classifier, the tap ``logits``; 0 for none.
    """

    family: ClassVar[Family] = "convnext"

    image_size: int = 224
    blocks: tuple[int, ...]
    channels: tuple[int, ...]
    layer_scale: bool = True
    response_norm: bool = False
    final_norm: bool = True
    layer_norm_eps: float = 1e-6
    classes: int = 0

    def __post_init__(self) -> None:
        super().__post_init__()
        self._check_positive("blocks", "channels")
        if len(self.blocks) != len(self.channels):
            raise self._error("channels", f"expected one a stage ({len(self.blocks)})")
        least = 4 * 2 ** (len(self.blocks) - 1)
        if self.image_size < least:
            raise self._error("image_size", f"expected at least {least} pixels")

    @property
    def tap_widths(self) -> dict[str, int]:
        widths = {"stem": self.channels[0]}
        for stage, (count, channels) in enumerate(zip(self.blocks, self.channels, strict=True)):
            widths |= {f"stages.{stage}.{block}": channels for block in range(count)}
        widths["pool"] = self.channels[-1]
        if self.final_norm:
            widths["norm"] = self.channels[-1]
        return widths | ({LOGITS: self.classes} if self.classes else {})

    @property
    def depth_taps(self) -> tuple[str, ...]:
        repeated = f"stages.{len(self.blocks) - 1}.{self.blocks[-1] - 1}"
        return tuple(tap for tap in super().depth_taps if tap != repeated)

    @property
    def weight_shapes(self) -> Shapes:
        first, last = self.channels[0], self.channels[-1]
        shapes = affine("stem.0", first, self.image_channels, 4, 4) | affine("stem.1", first)
        inputs = first
        for stage, (count, channels) in enumerate(zip(self.blocks, self.channels, strict=True)):
            if stage:
                halving = affine("downsample.0", inputs)
                halving |= affine("downsample.1", channels, inputs, 2, 2)
                shapes |= prefixed(f"stages.{stage}", halving)
            for block in range(count):
                shapes |= prefixed(f"stages.{stage}.blocks.{block}", self._block(channels))
            inputs = channels
        shapes |= affine("norm", last) if self.final_norm else {}
        return shapes | classifier(self.classes, last)

    def _block(self, channels: int) -> Shapes:
        hidden = 4 * channels
        shapes = affine("conv_dw", channels, 1, 7, 7) | affine("norm", channels)
        shapes |= affine("mlp.fc1", hidden, channels)
        shapes |= affine("mlp.grn", hidden) if self.response_norm else {}
        shapes |= affine("mlp.fc2", channels, hidden)
        return shapes | ({"gamma": (channels,)} if self.layer_scale else {})
