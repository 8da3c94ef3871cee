"""From an image of any size to the input of an encoder."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal, get_args

from mgm_jax.encoders.spec.base import build
from mgm_jax.errors import InputError

Interpolation = Literal["nearest", "bilinear", "bicubic"]

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)


@dataclass(frozen=True, kw_only=True)
class Preprocess:
    """From an image of any size to the input of an encoder.

    The short side is resized to ``resize``, the centre ``size`` x ``size`` is cut out, values are
    scaled to [0, 1], then ``(value - mean) / std`` a channel.

    Attributes:
        size: side of the square that enters the encoder, pixels.
        resize: short side before the cut; at least ``size``.
        interpolation: ``bilinear`` or ``bicubic`` (both with anti-aliasing) or ``nearest``.
        mean: mean a channel, red green blue, on the scale [0, 1]; one value for a grey input.
        std: standard deviation a channel, same scale.
    """

    size: int
    resize: int
    interpolation: Interpolation = "bilinear"
    mean: tuple[float, ...] = (0.0, 0.0, 0.0)
    std: tuple[float, ...] = (1.0, 1.0, 1.0)

    def __post_init__(self) -> None:
        for name in ("mean", "std"):
            values = tuple(float(value) for value in getattr(self, name))
            object.__setattr__(self, name, values)
            if len(values) not in (1, 3):
                raise InputError(
                    f"Preprocess: expected 3 values (red, green, blue) for {name}, or 1 for a grey "
                    f"input, got {len(values)}"
                )
        if len(self.mean) != len(self.std):
            raise InputError(
                f"Preprocess: expected as many values for std as for mean ({len(self.mean)}), got "
                f"{len(self.std)}"
            )
        if not 1 <= self.size <= self.resize:
            raise InputError(
                f"Preprocess: expected 1 <= size <= resize, got size {self.size} and "
                f"resize {self.resize}"
            )
        if self.interpolation not in get_args(Interpolation):
            raise InputError(
                "Preprocess: expected nearest, bilinear or bicubic for interpolation, got "
                f"{self.interpolation!r}"
            )
        if min(self.std) <= 0:
            raise InputError(f"Preprocess: expected std above 0, got {self.std}")

    def to_dict(self) -> dict[str, Any]:
        """The preprocessing as plain values for JSON."""
        return asdict(self)

    @staticmethod
    def from_dict(values: Mapping[str, Any]) -> Preprocess:
        """The preprocessing that :meth:`to_dict` wrote."""
        return build(Preprocess, values)
