"""What a safetensors file states of its encoder, in the texts it carries beside its tensors.

A file may say what no weight reveals. The keys, all optional, each a text:

================  ================================================================================
``mgm_method``    name of the method of training: ``SimCLR``, ``MAE``, ...
``mgm_paradigm``  kind of training, in the words of :mod:`mgm_jax.encoders.catalogue.methods`
                  where it is one of them: ``contrastive``, ``non-contrastive``, ``clustering``,
                  ``masked``, ``language``, ``supervised``; or ``untrained``
``mgm_heads``     attention heads of a ViT, a whole number that divides its width
``mgm_input``     JSON object with all of ``size`` and ``resize`` (pixels), ``interpolation``
                  (``nearest``, ``bilinear``, ``bicubic``), ``mean`` and ``std`` (three numbers on
                  the scale [0, 1]): the fields of ``Preprocess``
``mgm_training``  JSON object on the training. ``epochs`` (a number, 0 where untrained) and ``knn``
                  (name of an image set to k-NN accuracy in [0, 1]) are checked where present;
                  ``images_seen``, ``seed``, ``hardware``, ``commit``, ``minutes``, ``date`` and
                  whatever else is kept as it is
================  ================================================================================

So write them ``safetensors.numpy.save_file(tensors, file, metadata={"mgm_method": "SimCLR", ...})``
and the encoders in ``mgm_jax/zoo``. Another key that begins with ``mgm_`` is an error, because a
misspelt one would be silently ignored.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

import numpy as np

from mgm_converters.naming.rules import Family
from mgm_converters.recognition.evidence.record import Evidence
from mgm_jax.encoders import Preprocess
from mgm_jax.encoders.catalogue.methods import METHODS, Method
from mgm_jax.errors import InputError, name_some

PREFIX = "mgm_"
KEYS = ("mgm_method", "mgm_paradigm", "mgm_heads", "mgm_input", "mgm_training")


@dataclass(frozen=True, kw_only=True)
class FileStatement:
    """What a file states of its encoder.

    Attributes:
        method: of training; empty where it is not stated.
        paradigm: kind of training; empty where it is not stated.
        heads: attention heads; None where they are not stated.
        preprocess: the input; None where it is not stated.
        training: facts of the training, plain values.
    """

    method: str = ""
    paradigm: str = ""
    heads: int | None = None
    preprocess: Preprocess | None = None
    training: Mapping[str, Any] = field(default_factory=dict)

    @property
    def names_training(self) -> bool:
        """Whether it says how the encoder was trained."""
        return bool(self.method or self.paradigm)

    @property
    def known_method(self) -> Method | None:
        """The published method of this name; None where it has another name."""
        return METHODS.get(self.method)

    def evidence(self) -> Evidence:
        """What it says, as :mod:`mgm_converters.recognition.decide` weighs it."""
        methods = (self.known_method,) if self.known_method else ()
        return Evidence(
            method=self.method,
            methods=methods if self.names_training else None,
            paradigm=self.paradigm,
            heads=self.heads,
            preprocess=self.preprocess,
        )

    def check_heads(self, family: Family, state: Mapping[str, np.ndarray]) -> None:
        """InputError where the heads do not fit the weights, canonical names to arrays."""
        if self.heads is None:
            return
        said = f"mgm_heads: the file states {self.heads} attention heads, but"
        if family != "vit":
            raise InputError(f"{said} its weights are of a {family}; leave the key out")
        width = state["patch_embed.proj.weight"].shape[0]
        if width % self.heads:
            raise InputError(f"{said} they do not divide the width of its tokens, {width}")


def read_statement(metadata: Mapping[str, str], *, file: Path) -> FileStatement:
    """What the metadata of a file states; a blank :class:`FileStatement` where it states nothing.

    Args:
        metadata: key to text.
        file: for messages.

    Raises:
        InputError: a key or value that is none of those above; the message names it.
    """
    unknown = [key for key in metadata if key.startswith(PREFIX) and key not in KEYS]
    if unknown:
        raise InputError(
            f"{file}: states {name_some(unknown)}, which has no meaning; expected keys among "
            f"{', '.join(KEYS)}"
        )
    try:
        return FileStatement(
            method=_text(metadata, "mgm_method"),
            paradigm=_text(metadata, "mgm_paradigm"),
            heads=_heads(metadata),
            preprocess=_input(metadata),
            training=_training(metadata),
        )
    except InputError as error:
        raise InputError(f"{file}: {error}; correct the metadata of the file") from error


def _text(metadata: Mapping[str, str], key: str) -> str:
    text = metadata.get(key, "")
    if key in metadata and (not text.strip() or text != text.strip()):
        raise InputError(f"{key}: expected a name without spaces around it, got {text!r}")
    return text


def _heads(metadata: Mapping[str, str]) -> int | None:
    text = metadata.get("mgm_heads")
    if text is None:
        return None
    if not (text.isascii() and text.isdecimal() and int(text) >= 1):
        raise InputError(f"mgm_heads: expected a whole number of at least 1, got {text!r}")
    return int(text)


def _input(metadata: Mapping[str, str]) -> Preprocess | None:
    values = _table(metadata, "mgm_input")
    if values is None:
        return None
    wanted = [one.name for one in fields(Preprocess)]
    missing = [name for name in wanted if name not in values]
    if missing:
        # The defaults of Preprocess are no statement of the file.
        raise InputError(f"mgm_input: {name_some(missing)} is missing; expected all of {wanted}")
    for name in ("size", "resize"):
        if type(values[name]) is not int:
            raise InputError(f"mgm_input: expected whole pixels for {name}, got {values[name]!r}")
    for name in ("mean", "std"):
        if not isinstance(values[name], list) or not all(map(_is_number, values[name])):
            raise InputError(f"mgm_input: expected three numbers for {name}, got {values[name]!r}")
    try:
        return Preprocess.from_dict(values)
    except (InputError, TypeError) as error:
        raise InputError(f"mgm_input: {error}") from error


def _training(metadata: Mapping[str, str]) -> Mapping[str, Any]:
    values = _table(metadata, "mgm_training") or {}
    epochs, knn = values.get("epochs", 0), values.get("knn", {})
    if not _is_number(epochs) or epochs < 0:
        raise InputError(f"mgm_training: expected 0 or more epochs, got {epochs!r}")
    if not isinstance(knn, dict) or not all(
        _is_number(value) and 0 <= value <= 1 for value in knn.values()
    ):
        raise InputError(
            "mgm_training: expected name of an image set to accuracy in [0, 1] for knn, got "
            f"{knn!r}"
        )
    return values


def _table(metadata: Mapping[str, str], key: str) -> dict[str, Any] | None:
    if key not in metadata:
        return None
    try:
        values = json.loads(metadata[key])
    except ValueError as error:
        raise InputError(f"{key}: expected JSON, got {metadata[key][:60]!r} ({error})") from error
    if not isinstance(values, dict):
        raise InputError(f"{key}: expected a JSON object, got {metadata[key][:60]!r}")
    return values


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
