"""What a ResNet is, without its weights: of any depth and width, and the thin ones for CIFAR."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

from mgm_jax.encoders.spec.base import LOGITS, EncoderSpec, Family
from mgm_jax.encoders.spec.shapes import ConvNorm, Shapes, classifier, of_units


@dataclass(frozen=True, kw_only=True)
class CifarResNetSpec(EncoderSpec):
    """The thin ResNet of He et al. (2016), section 4.2: three stages, shortcuts without weights.

    A stage that halves the map takes every second pixel for its shortcut and pads the new channels
    with zeros, half of them on either side. Depth is ``6 * blocks + 2``.

    Attributes:
        blocks: blocks a stage; 3, 5, 7, 9 for ResNet-20, 32, 44, 56.
        channels: channels of the first stage; doubled by each later one.
        batch_norm_eps: added to the running variance.
        classes: outputs of the linear classifier behind the pool, the tap ``logits``; 0 for none.
    """

    family: ClassVar[Family] = "resnet_cifar"
    added: ClassVar[tuple[str, ...]] = ("classes",)

    image_size: int = 32
    blocks: int
    channels: int = 16
    batch_norm_eps: float = 1e-5
    classes: int = 0

    def __post_init__(self) -> None:
        super().__post_init__()
        self._check_positive("blocks", "channels")

    @property
    def stage_channels(self) -> tuple[int, ...]:
        """Channels that leave each stage."""
        return tuple(self.channels * 2**stage for stage in range(3))

    @property
    def tap_widths(self) -> dict[str, int]:
        counts = (self.blocks,) * len(self.stage_channels)
        return _widths(self.channels, counts, self.stage_channels, self.classes)

    @property
    def depth_taps(self) -> tuple[str, ...]:
        return _without_last_block(super().depth_taps)

    @property
    def conv_norms(self) -> tuple[ConvNorm, ...]:
        units = [ConvNorm("conv1", "bn1", self.image_channels, self.channels, 3)]
        inputs = self.channels
        for stage, channels in enumerate(self.stage_channels, start=1):
            for block in range(self.blocks):
                name = f"layer{stage}.{block}"
                units.append(ConvNorm(f"{name}.conv1", f"{name}.bn1", inputs, channels, 3))
                units.append(ConvNorm(f"{name}.conv2", f"{name}.bn2", channels, channels, 3))
                inputs = channels
        return tuple(units)

    @property
    def weight_shapes(self) -> Shapes:
        return of_units(self.conv_norms) | classifier(self.classes, self.width())


@dataclass(frozen=True, kw_only=True)
class ResNetSpec(EncoderSpec):
    """A ResNet as torchvision builds it: stride in the 3x3 convolution of a bottleneck ("v1.5").

    Attributes:
        blocks: blocks of each stage, (2, 2, 2, 2) for ResNet-18, (3, 4, 6, 3) for ResNet-50.
        block: ``basic`` (two 3x3 convolutions) or ``bottleneck`` (1x1, 3x3, 1x1, fourfold width).
        channels: channels of the stem; 64 times the width factor.
        inner_factor: widens only the inside of a bottleneck (2 in ``wide_resnet50_2``).
        groups: of the 3x3 convolution of a bottleneck, each with its own channels (32 in
            ``resnext50_32x4d``; its groups of 4 channels make an ``inner_factor`` of 2).
        stem: ``imagenet`` (7x7 with stride 2, then 3x3 max pool with stride 2) or ``cifar`` (3x3).
        padding: ``torchvision`` (the same on both sides) or ``tf-same`` (the odd pixel at the end,
            as in the original SimCLR and BYOL).
        batch_norm_eps: added to the running variance.
        classes: outputs of the linear classifier behind the pool, the tap ``logits``; 0 for none.
    """

    family: ClassVar[Family] = "resnet"
    added: ClassVar[tuple[str, ...]] = ("classes", "groups")

    image_size: int = 224
    blocks: tuple[int, ...]
    block: Literal["basic", "bottleneck"]
    channels: int = 64
    inner_factor: int = 1
    groups: int = 1
    stem: Literal["imagenet", "cifar"] = "imagenet"
    padding: Literal["torchvision", "tf-same"] = "torchvision"
    batch_norm_eps: float = 1e-5
    classes: int = 0

    def __post_init__(self) -> None:
        super().__post_init__()
        self._check_positive("blocks", "channels", "inner_factor", "groups")
        self._check_choice("block", "basic", "bottleneck")
        self._check_choice("stem", "imagenet", "cifar")
        self._check_choice("padding", "torchvision", "tf-same")
        if self.block == "basic" and self.inner_factor != 1:
            raise self._error("inner_factor", "a basic block has no inner width: expected 1")
        if self.block == "basic" and self.groups != 1:
            raise self._error("groups", "a basic block has one group: expected 1")
        if self.channels * self.inner_factor % self.groups:
            raise self._error("groups", "expected a divisor of channels * inner_factor")

    @property
    def expansion(self) -> int:
        """Channels that leave a block over the channels of its 3x3 convolution at factor 1."""
        return 4 if self.block == "bottleneck" else 1

    def inner_channels(self, outputs: int) -> int:
        """Channels inside a bottleneck that ``outputs`` leave."""
        return outputs // self.expansion * self.inner_factor

    @property
    def stage_channels(self) -> tuple[int, ...]:
        """Channels that leave each stage."""
        return tuple(self.channels * 2**stage * self.expansion for stage in range(len(self.blocks)))

    @property
    def tap_widths(self) -> dict[str, int]:
        return _widths(self.channels, self.blocks, self.stage_channels, self.classes)

    @property
    def depth_taps(self) -> tuple[str, ...]:
        return _without_last_block(super().depth_taps)

    @property
    def conv_norms(self) -> tuple[ConvNorm, ...]:
        return tuple(self._units())

    def _units(self) -> Iterator[ConvNorm]:
        inputs, stem = self.image_channels, 7 if self.stem == "imagenet" else 3
        yield ConvNorm("conv1", "bn1", inputs, self.channels, stem)
        inputs = self.channels
        for stage, (count, outputs) in enumerate(
            zip(self.blocks, self.stage_channels, strict=True), start=1
        ):
            inner = self.inner_channels(outputs)
            for block in range(count):
                name = f"layer{stage}.{block}"
                if self.block == "basic":
                    sizes = [(inputs, outputs, 3, 1), (outputs, outputs, 3, 1)]
                else:
                    sizes = [
                        (inputs, inner, 1, 1),
                        (inner, inner, 3, self.groups),
                        (inner, outputs, 1, 1),
                    ]
                for i, size in enumerate(sizes, start=1):
                    yield ConvNorm(f"{name}.conv{i}", f"{name}.bn{i}", *size)
                if block == 0 and (stage > 1 or inputs != outputs):
                    shortcut = f"{name}.downsample"
                    yield ConvNorm(f"{shortcut}.0", f"{shortcut}.1", inputs, outputs, 1)
                inputs = outputs

    @property
    def weight_shapes(self) -> Shapes:
        return of_units(self.conv_norms) | classifier(self.classes, self.width())


def _widths(
    stem: int, blocks: Sequence[int], channels: Sequence[int], classes: int
) -> dict[str, int]:
    """Width of every tap: stem, the blocks of each stage, pool and classifier."""
    widths = {"stem": stem}
    for stage, (count, width) in enumerate(zip(blocks, channels, strict=True), start=1):
        widths |= {f"layer{stage}.{block}": width for block in range(count)}
    widths["pool"] = channels[-1]
    return widths | ({LOGITS: classes} if classes else {})


def _without_last_block(taps: tuple[str, ...]) -> tuple[str, ...]:
    """The layers of a ResNet without the block that the pool averages."""
    return (*taps[:-2], taps[-1])
