"""What an encoder is, without its weights: one frozen description a family, and its preprocessing.

A spec fixes the shape of every weight and the name and width of every tap. It holds no array, is
hashable, and is the static argument under which all encoders of one shape share one compilation.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, ClassVar, Literal, TypeVar, cast, get_args

from mgm_jax.errors import InputError, name_some

Family = Literal["conv4", "resnet_cifar", "resnet", "vit", "pixels"]
Interpolation = Literal["nearest", "bilinear", "bicubic"]

Built = TypeVar("Built")

# The tap behind a linear classifier, where one was converted with its encoder.
LOGITS = "logits"

# Every family by name; filled by the subclasses of EncoderSpec.
FAMILIES: dict[str, type[EncoderSpec]] = {}

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)


@dataclass(frozen=True, kw_only=True)
class EncoderSpec:
    """What every family has: a square input and a list of named taps.

    Make one of the subclasses: :class:`Conv4Spec`, :class:`CifarResNetSpec`, :class:`ResNetSpec`,
    :class:`~mgm_jax.encoders.vit_spec.ViTSpec`, :class:`PixelsSpec`.

    Attributes:
        image_size: side of the square input, pixels.
    """

    family: ClassVar[Family]

    # Fields that were added after encoders had been written: at their default they are left out of
    # the description, so that those encoders keep their digest.
    added: ClassVar[tuple[str, ...]] = ()

    image_size: int

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        FAMILIES[cls.family] = cls

    def __post_init__(self) -> None:
        if type(self) is EncoderSpec:
            raise InputError(
                "EncoderSpec itself describes no network: make a Conv4Spec, CifarResNetSpec, "
                "ResNetSpec, ViTSpec or PixelsSpec"
            )
        for field in fields(self):
            value = getattr(self, field.name)
            if isinstance(value, list):
                # Files hold lists; a spec must be hashable.
                object.__setattr__(self, field.name, tuple(value))
            elif isinstance(value, float | int) and value < 0:
                raise self._error(field.name, "expected a value of at least 0")
        self._check_positive("image_size")

    def _error(self, field: str, expected: str) -> InputError:
        return InputError(
            f"{type(self).__name__}: {expected} for {field}, got {getattr(self, field)!r}"
        )

    def _check_positive(self, *names: str) -> None:
        for name in names:
            value = getattr(self, name)
            if any(v < 1 for v in (value if isinstance(value, tuple) else (value,))):
                raise self._error(name, "expected at least 1")

    def _check_choice(self, name: str, *choices: str) -> None:
        if getattr(self, name) not in choices:
            raise self._error(name, f"expected one of {', '.join(choices)}")

    @property
    def tap_widths(self) -> dict[str, int]:
        """Every tap in the order of the forward pass, with the width of its pooled feature."""
        raise InputError("EncoderSpec itself has no taps")

    @property
    def default_tap(self) -> str:
        """The tap that an encoder reads unless another is asked for; never the logits."""
        return [tap for tap in self.tap_widths if tap != LOGITS][-1]

    @property
    def taps(self) -> tuple[str, ...]:
        """Names of all taps, in the order of the forward pass."""
        return tuple(self.tap_widths)

    @property
    def depth_taps(self) -> tuple[str, ...]:
        """The taps of ``taps: all``: one a layer, in the order of the forward pass.

        Left out are the logits and taps whose pooled feature repeats another one: the last block
        of a ResNet, whose mean over positions is ``pool``.
        """
        return tuple(tap for tap in self.tap_widths if tap != LOGITS)

    def relative_depth(self, tap: str) -> float:
        """Where ``tap`` lies among :attr:`depth_taps`: 0 the first, 1 the last, NaN none of them.

        >>> spec = ResNetSpec(blocks=(2, 2, 2, 2), block="basic")
        >>> [spec.relative_depth(tap) for tap in ("stem", "layer2.1", "pool", "layer4.1")]
        [0.0, 0.5, 1.0, nan]
        """
        layers = self.depth_taps
        if tap not in layers:
            return float("nan")
        return layers.index(tap) / (len(layers) - 1) if len(layers) > 1 else 1.0

    def width(self, tap: str | None = None) -> int:
        """Width d of the pooled feature at ``tap`` (the default tap where None).

        >>> ResNetSpec(blocks=(2, 2, 2, 2), block="basic").width("layer2.1")
        128
        """
        return self.tap_widths[self.check_taps((tap or self.default_tap,))[0]]

    def check_taps(self, taps: tuple[str, ...]) -> tuple[str, ...]:
        """Give ``taps`` back, or raise InputError naming the ones that do not exist."""
        unknown = [tap for tap in taps if tap not in self.tap_widths]
        if unknown or not taps:
            raise InputError(
                f"tap {name_some(unknown) or '(none)'} does not exist in this {self.family} "
                f"encoder; it has {name_some(self.taps, most=60)}"
            )
        return taps

    def to_dict(self) -> dict[str, Any]:
        """The spec as plain values for JSON, the family included."""
        defaults = {field.name: field.default for field in fields(self) if field.name in self.added}
        plain = asdict(self)
        kept = {k: v for k, v in plain.items() if k not in defaults or v != defaults[k]}
        return {"family": self.family, **kept}

    @staticmethod
    def from_dict(values: Mapping[str, Any]) -> EncoderSpec:
        """The spec that :meth:`to_dict` wrote.

        >>> EncoderSpec.from_dict({"family": "conv4", "image_size": 84}).taps[-1]
        'flatten'
        """
        options = dict(values)
        family = options.pop("family", None)
        if family not in FAMILIES:
            raise InputError(f"family: expected one of {', '.join(FAMILIES)}, got {family!r}")
        return _build(FAMILIES[family], options)


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
        widths = {"stem": self.channels}
        for stage, channels in enumerate(self.stage_channels, start=1):
            widths |= {f"layer{stage}.{block}": channels for block in range(self.blocks)}
        widths["pool"] = self.stage_channels[-1]
        return widths | ({LOGITS: self.classes} if self.classes else {})

    @property
    def depth_taps(self) -> tuple[str, ...]:
        return _without_last_block(super().depth_taps)


@dataclass(frozen=True, kw_only=True)
class ResNetSpec(EncoderSpec):
    """A ResNet as torchvision builds it: stride in the 3x3 convolution of a bottleneck ("v1.5").

    Attributes:
        blocks: blocks of each stage, (2, 2, 2, 2) for ResNet-18, (3, 4, 6, 3) for ResNet-50.
        block: ``basic`` (two 3x3 convolutions) or ``bottleneck`` (1x1, 3x3, 1x1, fourfold width).
        channels: channels of the stem; 64 times the width factor.
        inner_factor: widens only the inside of a bottleneck (2 in ``wide_resnet50_2``).
        stem: ``imagenet`` (7x7 with stride 2, then 3x3 max pool with stride 2) or ``cifar`` (3x3).
        padding: ``torchvision`` (the same on both sides) or ``tf-same`` (the odd pixel at the end,
            as in the original SimCLR and BYOL).
        batch_norm_eps: added to the running variance.
        classes: outputs of the linear classifier behind the pool, the tap ``logits``; 0 for none.
    """

    family: ClassVar[Family] = "resnet"
    added: ClassVar[tuple[str, ...]] = ("classes",)

    image_size: int = 224
    blocks: tuple[int, ...]
    block: Literal["basic", "bottleneck"]
    channels: int = 64
    inner_factor: int = 1
    stem: Literal["imagenet", "cifar"] = "imagenet"
    padding: Literal["torchvision", "tf-same"] = "torchvision"
    batch_norm_eps: float = 1e-5
    classes: int = 0

    def __post_init__(self) -> None:
        super().__post_init__()
        self._check_positive("blocks", "channels", "inner_factor")
        self._check_choice("block", "basic", "bottleneck")
        self._check_choice("stem", "imagenet", "cifar")
        self._check_choice("padding", "torchvision", "tf-same")
        if self.block == "basic" and self.inner_factor != 1:
            raise self._error("inner_factor", "a basic block has no inner width: expected 1")

    @property
    def expansion(self) -> int:
        """Channels that leave a block over the channels of its 3x3 convolution at factor 1."""
        return 4 if self.block == "bottleneck" else 1

    @property
    def stage_channels(self) -> tuple[int, ...]:
        """Channels that leave each stage."""
        return tuple(self.channels * 2**stage * self.expansion for stage in range(len(self.blocks)))

    @property
    def tap_widths(self) -> dict[str, int]:
        widths = {"stem": self.channels}
        for stage, (count, channels) in enumerate(
            zip(self.blocks, self.stage_channels, strict=True), start=1
        ):
            widths |= {f"layer{stage}.{block}": channels for block in range(count)}
        widths["pool"] = self.stage_channels[-1]
        return widths | ({LOGITS: self.classes} if self.classes else {})

    @property
    def depth_taps(self) -> tuple[str, ...]:
        return _without_last_block(super().depth_taps)


@dataclass(frozen=True, kw_only=True)
class PixelsSpec(EncoderSpec):
    """The pixels themselves, flattened in the order row, column, channel: the control encoder."""

    family: ClassVar[Family] = "pixels"

    image_size: int = 28

    @property
    def tap_widths(self) -> dict[str, int]:
        return {"flatten": 3 * self.image_size**2}


@dataclass(frozen=True, kw_only=True)
class Preprocess:
    """From an image of any size to the input of an encoder.

    The short side is resized to ``resize``, the centre ``size`` x ``size`` is cut out, values are
    scaled to [0, 1], then ``(value - mean) / std`` a channel.

    Attributes:
        size: side of the square that enters the encoder, pixels.
        resize: short side before the cut; at least ``size``.
        interpolation: ``bilinear`` or ``bicubic`` (both with anti-aliasing) or ``nearest``.
        mean: mean a channel, red green blue, on the scale [0, 1].
        std: standard deviation a channel, same scale.
    """

    size: int
    resize: int
    interpolation: Interpolation = "bilinear"
    mean: tuple[float, float, float] = (0.0, 0.0, 0.0)
    std: tuple[float, float, float] = (1.0, 1.0, 1.0)

    def __post_init__(self) -> None:
        for name in ("mean", "std"):
            values = tuple(float(value) for value in getattr(self, name))
            object.__setattr__(self, name, values)
            if len(values) != 3:
                raise InputError(f"Preprocess: expected 3 values (red, green, blue) for {name}")
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
        return _build(Preprocess, values)


def _without_last_block(taps: tuple[str, ...]) -> tuple[str, ...]:
    """The layers of a ResNet without the block that the pool averages."""
    return (*taps[:-2], taps[-1])


def _build(made: type[Built], values: Mapping[str, Any]) -> Built:
    """Make a dataclass from a mapping, naming the keys that do not belong to it."""
    known = {field.name for field in fields(cast(Any, made))}
    unknown = sorted(set(values) - known)
    if unknown:
        raise InputError(
            f"{made.__name__}: {name_some(unknown)} does not exist; "
            f"it has {name_some(sorted(known), most=20)}"
        )
    try:
        return made(**values)
    except TypeError as error:
        raise InputError(f"{made.__name__}: {error}") from error
