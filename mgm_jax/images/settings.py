"""Augmentation settings: a name and the random operations that make a view.

The five settings of the study are our reconstruction of those of arXiv 2209.08622; the ranges of
``augs`` are those of the usual contrastive training recipe. The single transforms cover the
vocabulary of the invariance study of Ericsson et al. (2021); their ranges are ours.
"""

from __future__ import annotations

import dataclasses
import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from mgm_jax.errors import InputError
from mgm_jax.images.operations import (
    OPERATIONS,
    Affine,
    Blur,
    CanvasOperation,
    ColourJitter,
    Deform,
    Equalize,
    Flip,
    Grey,
    Invert,
    Posterize,
    ResizedCrop,
    Sharpness,
    ViewOperation,
)

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_+-]*")


@dataclass(frozen=True, kw_only=True)
class Setting:
    """A named sequence of random operations, from the image to the view.

    Attributes:
        name: letters, digits, ``_``, ``+`` and ``-``; it enters the random draws.
        operations: applied from first to last; none for the centre crop alone.

    Raises:
        InputError: a name with other characters, or something that is not an operation.

    >>> Setting(name="turn", operations=(Affine(degrees=30),)).name
    'turn'
    """

    name: str
    operations: tuple[CanvasOperation | ViewOperation, ...] = ()

    def __post_init__(self) -> None:
        if not isinstance(self.name, str) or not _NAME.fullmatch(self.name):
            raise InputError(
                "The name of a setting must be letters, digits, '_', '+' or '-'; "
                f"got {self.name!r}."
            )
        strange = [o for o in self.operations if not isinstance(o, CanvasOperation | ViewOperation)]
        if not isinstance(self.operations, tuple) or strange:
            raise InputError(
                f"Setting {self.name!r}: operations must be a tuple of operations; "
                f"got {strange or self.operations!r}."
            )

    @property
    def digest(self) -> str:
        """Hexadecimal sha256 of the name, the operations and all their parameters."""
        return hashlib.sha256(repr(self).encode()).hexdigest()


def _single(name: str, *operations: CanvasOperation | ViewOperation) -> Setting:
    return Setting(name=name, operations=operations)


STUDY_SETTINGS: tuple[Setting, ...] = (
    _single("semantic"),
    _single(
        "augs",
        ResizedCrop(scale=(0.2, 1.0)),
        Flip(probability=0.5),
        ColourJitter(brightness=0.4, contrast=0.4, saturation=0.4, hue=0.1, probability=0.8),
        Grey(probability=0.2),
        Blur(sigma=(0.1, 2.0), probability=0.5),
    ),
    _single("crop", ResizedCrop(scale=(0.2, 1.0))),
    _single(
        "colorjitter",
        ColourJitter(brightness=0.4, contrast=0.4, saturation=0.4, hue=0.1, probability=0.8),
    ),
    _single("rotation", Affine(degrees=180.0), Flip(probability=0.5)),
)

SINGLE_SETTINGS: tuple[Setting, ...] = (
    _single("turn", Affine(degrees=180.0)),
    _single("translation", Affine(translate=0.25)),
    _single("scale", Affine(scale=(0.5, 2.0))),
    _single("shear", Affine(shear=30.0)),
    _single("resized_crop", ResizedCrop(scale=(0.08, 1.0))),
    _single("hflip", Flip(probability=0.5)),
    _single("vflip", Flip(probability=0.5, vertical=True)),
    _single("deform", Deform()),
    _single("grey", Grey(probability=0.5)),
    _single("brightness", ColourJitter(brightness=0.8)),
    _single("contrast", ColourJitter(contrast=0.8)),
    _single("saturation", ColourJitter(saturation=0.8)),
    _single("hue", ColourJitter(hue=0.5)),
    _single("blur", Blur(sigma=(0.1, 2.0))),
    _single("sharpness", Sharpness(amount=1.0)),
    _single("invert", Invert(probability=0.5)),
    _single("equalize", Equalize(probability=0.5)),
    _single("posterize", Posterize(bits=(2.0, 6.0))),
)

SETTINGS: dict[str, Setting] = {s.name: s for s in (*STUDY_SETTINGS, *SINGLE_SETTINGS)}


def find_setting(setting: str | Setting) -> Setting:
    """Built-in setting of a name; a setting is handed back as it is.

    Raises:
        InputError: no setting has this name.

    >>> len(find_setting("augs").operations)
    5
    """
    if isinstance(setting, Setting):
        return setting
    if setting not in SETTINGS:
        raise InputError(
            f"No augmentation setting is called {setting!r}. Known: {', '.join(SETTINGS)}; or "
            "define it by its operations."
        )
    return SETTINGS[setting]


def setting_from_config(name: str, config: Sequence[str | Mapping[str, Any]]) -> Setting:
    """Setting from plain data, as a study file holds it.

    Each entry is the name of an operation, or a mapping of that name to its parameters.

    Args:
        name: name of the new setting, not one of the built-in ones unless it is the same.
        config: the operations from first to last.

    Raises:
        InputError: an unknown operation or parameter, a value out of range, a name in use.

    >>> setting_from_config("soft", ["flip", {"affine": {"degrees": 15}}]).operations[1].degrees
    15
    """
    if isinstance(config, str | Mapping) or not isinstance(config, Sequence):
        raise InputError(
            f"Setting {name!r}: expected a list of operations, such as "
            f"[flip, {{affine: {{degrees: 15}}}}]; got {config!r}."
        )
    operations = tuple(_operation(name, entry) for entry in config)
    setting = Setting(name=name, operations=operations)
    if SETTINGS.get(name, setting) != setting:
        raise InputError(f"Setting {name!r} is built in with other operations; take another name.")
    return setting


def _operation(setting: str, entry: str | Mapping[str, Any]) -> CanvasOperation | ViewOperation:
    if isinstance(entry, str):
        entry = {entry: {}}
    if not isinstance(entry, Mapping) or len(entry) != 1:
        raise InputError(
            f"Setting {setting!r}: an operation is a name, or a name with its parameters; "
            f"got {entry!r}."
        )
    [(kind, parameters)] = entry.items()
    if kind not in OPERATIONS:
        raise InputError(
            f"Setting {setting!r}: no operation is called {kind!r}. Known: {', '.join(OPERATIONS)}."
        )
    if not isinstance(parameters or {}, Mapping):
        raise InputError(
            f"Setting {setting!r}: {kind} takes its parameters by name; got {parameters!r}."
        )
    given = {
        key: tuple(value) if isinstance(value, list) else value
        for key, value in (parameters or {}).items()
    }
    known = [field.name for field in dataclasses.fields(OPERATIONS[kind])]
    unknown = [key for key in given if key not in known]
    if unknown:
        raise InputError(
            f"Setting {setting!r}: {kind} has no parameter {unknown[0]!r}. "
            f"Known: {', '.join(known)}."
        )
    return OPERATIONS[kind](**given)
