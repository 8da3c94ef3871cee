"""What every family of encoders has: a square input, named taps, a digest, shapes of weights.

A spec fixes the shape of every weight and the name and width of every tap. It holds no array, is
hashable, and is the static argument under which all encoders of one shape share one compilation.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, ClassVar, Literal, TypeVar, cast

from mgm_jax.encoders.spec.shapes import ConvNorm, Shapes
from mgm_jax.errors import InputError, name_some

Family = Literal[
    "conv4", "resnet_cifar", "resnet", "vit", "convnext", "swin", "mobilenet", "pixels", "callable"
]

Built = TypeVar("Built")

# The tap behind a linear classifier, where one was converted with its encoder.
LOGITS = "logits"

# Every family by name; filled by the subclasses of EncoderSpec.
FAMILIES: dict[str, type[EncoderSpec]] = {}


@dataclass(frozen=True, kw_only=True)
class EncoderSpec:
    """What every family has: a square input and a list of named taps.

    Make one of the subclasses, a file each in this folder.

    Attributes:
        image_size: side of the square input, pixels.
        image_channels: 3 (red, green, blue) or 1 (grey).
    """

    family: ClassVar[Family]

    # Fields that were added after encoders had been written: at their default they are left out of
    # the description, so that those encoders keep their digest.
    added: ClassVar[tuple[str, ...]] = ()

    image_size: int
    image_channels: int = 3

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        FAMILIES[cls.family] = cls

    def __post_init__(self) -> None:
        if type(self) is EncoderSpec:
            raise InputError(
                "EncoderSpec itself describes no network: make one of "
                f"{', '.join(one.__name__ for one in FAMILIES.values())}"
            )
        for field in fields(self):
            value = getattr(self, field.name)
            if isinstance(value, list):
                # Files hold lists; a spec must be hashable.
                object.__setattr__(self, field.name, tuple(value))
            elif isinstance(value, float | int) and value < 0:
                raise self._error(field.name, "expected a value of at least 0")
        self._check_positive("image_size")
        if self.image_channels not in (1, 3):
            raise self._error("image_channels", "expected 3 (colour) or 1 (grey)")

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
    def weight_shapes(self) -> Shapes:
        """Every canonical weight by name with its shape, in the order of the forward pass."""
        raise InputError("EncoderSpec itself has no weights")

    @property
    def conv_norms(self) -> tuple[ConvNorm, ...]:
        """Every convolution with a BatchNorm behind it, in the order of the forward pass."""
        return ()

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

        >>> from mgm_jax.encoders import ResNetSpec
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

        >>> from mgm_jax.encoders import ResNetSpec
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
        added = ("image_channels", *self.added)
        defaults = {field.name: field.default for field in fields(self) if field.name in added}
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
        return build(FAMILIES[family], options)


def build(made: type[Built], values: Mapping[str, Any]) -> Built:
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
