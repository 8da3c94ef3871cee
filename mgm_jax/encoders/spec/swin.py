"""What a Swin transformer is, without its weights."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from mgm_jax.encoders.spec.base import LOGITS, EncoderSpec, Family
from mgm_jax.encoders.spec.shapes import Shapes, affine, classifier, prefixed


@dataclass(frozen=True, kw_only=True)
class SwinSpec(EncoderSpec):
    """Attention within windows of a map that is halved from stage to stage (Liu et al. 2021).

    Every second block shifts its windows by half their side. A map no larger than a window is one
    window, unshifted; one that windows do not divide is filled up with zeros below and to the right
    (as timm does; the published networks never need it).

    Taps ``patch_embed`` (normalised patches), ``stages.{i}.{j}``, ``norm`` and ``pool`` (its mean).

    Attributes:
        embed_dim: channels of the first stage; doubled by each later one.
        blocks: blocks of each stage, (2, 2, 6, 2) in the tiny network.
        heads: attention heads of each stage.
        window: side of a window, positions.
        layer_norm_eps: added to the variance; no weight reveals it.
        classes: outputs of the linear classifier, the tap ``logits``; 0 for none.
    """

    family: ClassVar[Family] = "swin"

    image_size: int = 224
    embed_dim: int
    blocks: tuple[int, ...]
    heads: tuple[int, ...]
    window: int = 7
    layer_norm_eps: float = 1e-5
    classes: int = 0

    def __post_init__(self) -> None:
        super().__post_init__()
        self._check_positive("embed_dim", "blocks", "heads", "window")
        if len(self.blocks) != len(self.heads):
            raise self._error("heads", f"expected one number a stage ({len(self.blocks)})")
        if self.image_size % 4:
            raise self._error("image_size", "expected a multiple of the patch (4)")
        for heads, channels in zip(self.heads, self.stage_channels, strict=True):
            if channels % heads:
                raise self._error("heads", f"expected a divisor of {channels} channels")

    @property
    def stage_channels(self) -> tuple[int, ...]:
        """Channels of each stage."""
        return tuple(self.embed_dim * 2**stage for stage in range(len(self.blocks)))

    @property
    def stage_windows(self) -> tuple[int, ...]:
        """Side of the windows of each stage."""
        sides = [self.image_size // 4]
        for _ in self.blocks[1:]:
            sides.append(-(-sides[-1] // 2))
        return tuple(min(self.window, side) for side in sides)

    @property
    def tap_widths(self) -> dict[str, int]:
        widths = {"patch_embed": self.embed_dim}
        for stage, (count, channels) in enumerate(
            zip(self.blocks, self.stage_channels, strict=True)
        ):
            widths |= {f"stages.{stage}.{block}": channels for block in range(count)}
        widths |= dict.fromkeys(("norm", "pool"), self.stage_channels[-1])
        return widths | ({LOGITS: self.classes} if self.classes else {})

    @property
    def depth_taps(self) -> tuple[str, ...]:
        return tuple(tap for tap in super().depth_taps if tap != "norm")

    @property
    def weight_shapes(self) -> Shapes:
        first, last = self.embed_dim, self.stage_channels[-1]
        shapes = affine("patch_embed.proj", first, self.image_channels, 4, 4)
        shapes |= affine("patch_embed.norm", first)
        for stage, (count, channels) in enumerate(
            zip(self.blocks, self.stage_channels, strict=True)
        ):
            name = f"layers.{stage}"
            if stage:
                shapes |= affine(f"{name}.downsample.norm", 2 * channels)
                reduction = f"{name}.downsample.reduction"
                shapes |= affine(reduction, channels, 2 * channels, bias=False)
            block = self._block(channels, self.heads[stage], self.stage_windows[stage])
            for i in range(count):
                shapes |= prefixed(f"{name}.blocks.{i}", block)
        return shapes | affine("norm", last) | classifier(self.classes, last)

    def _block(self, channels: int, heads: int, window: int) -> Shapes:
        shapes = affine("norm1", channels) | affine("norm2", channels)
        shapes["attn.relative_position_bias_table"] = ((2 * window - 1) ** 2, heads)
        shapes |= affine("attn.qkv", 3 * channels, channels)
        shapes |= affine("attn.proj", channels, channels)
        shapes |= affine("mlp.fc1", 4 * channels, channels)
        return shapes | affine("mlp.fc2", channels, 4 * channels)
