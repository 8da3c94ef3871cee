"""What a MobileNetV2 or an EfficientNet-Lite is, without its weights."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar, Literal

from mgm_jax.encoders.spec.base import LOGITS, EncoderSpec, Family
from mgm_jax.encoders.spec.shapes import ConvNorm, Shapes, classifier, of_units


@dataclass(frozen=True, kw_only=True)
class MobileNetSpec(EncoderSpec):
    """Inverted residuals: widened, convolved channel by channel, narrowed without an activation.

    Every activation is a ReLU that ends at 6. The first block of a stage has its stride; the others
    add their input. References: Sandler et al. (2018), MobileNetV2; Tan and Le (2019),
    EfficientNet, whose Lite form leaves out squeeze-and-excitation.

    Taps ``stem``, ``blocks.{stage}.{block}``, ``head`` (the last map) and ``pool`` (its mean).

    Attributes:
        stem: channels of the first convolution, 3x3 with stride 2.
        expand: how many times wider than its input a block of each stage is inside.
        kernels: side of the depthwise kernels of each stage.
        strides: of the first block of each stage.
        channels: channels that leave each stage.
        repeats: blocks of each stage.
        head: channels of the last convolution, 1x1.
        padding: ``torchvision`` (the same on both sides) or ``tf-same`` (the odd pixel at the end).
        batch_norm_eps: added to the running variance.
        classes: outputs of the linear classifier, the tap ``logits``; 0 for none.
    """

    family: ClassVar[Family] = "mobilenet"

    image_size: int = 224
    stem: int = 32
    expand: tuple[int, ...] = (1, 6, 6, 6, 6, 6, 6)
    kernels: tuple[int, ...] = (3, 3, 3, 3, 3, 3, 3)
    strides: tuple[int, ...] = (1, 2, 2, 2, 1, 2, 1)
    channels: tuple[int, ...] = (16, 24, 32, 64, 96, 160, 320)
    repeats: tuple[int, ...] = (1, 2, 3, 4, 3, 3, 1)
    head: int = 1280
    padding: Literal["torchvision", "tf-same"] = "torchvision"
    batch_norm_eps: float = 1e-5
    classes: int = 0

    def __post_init__(self) -> None:
        super().__post_init__()
        stages = ("expand", "kernels", "strides", "channels", "repeats")
        self._check_positive("stem", "head", *stages)
        self._check_choice("padding", "torchvision", "tf-same")
        for name in stages:
            if len(getattr(self, name)) != len(self.channels):
                raise self._error(name, f"expected one number a stage ({len(self.channels)})")

    @property
    def tap_widths(self) -> dict[str, int]:
        widths = {"stem": self.stem}
        for stage, (count, channels) in enumerate(zip(self.repeats, self.channels, strict=True)):
            widths |= {f"blocks.{stage}.{block}": channels for block in range(count)}
        widths |= {"head": self.head, "pool": self.head}
        return widths | ({LOGITS: self.classes} if self.classes else {})

    @property
    def depth_taps(self) -> tuple[str, ...]:
        return tuple(tap for tap in super().depth_taps if tap != "head")

    @property
    def conv_norms(self) -> tuple[ConvNorm, ...]:
        return tuple(self._units())

    def _units(self) -> Iterator[ConvNorm]:
        yield ConvNorm("conv_stem", "bn1", self.image_channels, self.stem, 3)
        inputs = self.stem
        for stage, (expand, kernel, outputs, count) in enumerate(
            zip(self.expand, self.kernels, self.channels, self.repeats, strict=True)
        ):
            for block in range(count):
                name, inner = f"blocks.{stage}.{block}", inputs * expand
                units = [("conv_dw", inner, inner, kernel, inner)]
                if expand == 1:
                    units.append(("conv_pw", inner, outputs, 1, 1))
                else:
                    units.insert(0, ("conv_pw", inputs, inner, 1, 1))
                    units.append(("conv_pwl", inner, outputs, 1, 1))
                for i, (conv, fan_in, fan_out, size, groups) in enumerate(units, start=1):
                    yield ConvNorm(f"{name}.{conv}", f"{name}.bn{i}", fan_in, fan_out, size, groups)
                inputs = outputs
        yield ConvNorm("conv_head", "bn2", inputs, self.head, 1)

    @property
    def weight_shapes(self) -> Shapes:
        return of_units(self.conv_norms) | classifier(self.classes, self.head)
