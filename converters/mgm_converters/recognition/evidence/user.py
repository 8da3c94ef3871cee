"""What the user says of an encoder that its file does not: method, heads, size, mean, deviation."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from mgm_converters.recognition.evidence.record import Evidence
from mgm_converters.recognition.evidence.training import TRAINING_WORDS, word
from mgm_jax.encoders import EncoderSpec, Preprocess, ViTSpec
from mgm_jax.encoders.catalogue.methods import METHODS
from mgm_jax.errors import InputError


@dataclass(frozen=True, kw_only=True)
class UserStatement:
    """What the user says; it counts more than anything else.

    Attributes:
        method: name of the method; empty where it is not said.
        paradigm: kind of training of that method.
        heads: attention heads of a ViT.
        size: side of the input, pixels.
        mean: a value a channel, scale [0, 1].
        std: the same of the deviation.
    """

    method: str = ""
    paradigm: str = ""
    heads: int | None = None
    size: int | None = None
    mean: tuple[float, ...] | None = None
    std: tuple[float, ...] | None = None

    @staticmethod
    def of(
        *,
        size: int | None = None,
        mean: Sequence[float] | None = None,
        std: Sequence[float] | None = None,
        method: str | None = None,
        heads: int | None = None,
    ) -> UserStatement:
        """Checked; one value of ``mean`` or ``std`` stands for all channels.

        Raises:
            InputError: an unknown method, or a value that cannot be.
        """
        if heads is not None and heads < 1:
            raise InputError(f"heads: expected at least 1, got {heads}")
        if size is not None and size < 1:
            raise InputError(f"size: expected at least 1 pixel, got {size}")
        if (mean is None) != (std is None):
            raise InputError("mean, std: give both, or none of them")
        name, paradigm = ("", "") if method is None else _method(method)
        return UserStatement(
            method=name,
            paradigm=paradigm,
            heads=heads,
            size=size,
            mean=None if mean is None else tuple(mean),
            std=None if std is None else tuple(std),
        )

    def evidence(self) -> Evidence:
        """What is said, as :mod:`mgm_converters.recognition.decide` weighs it."""
        return Evidence(
            method=self.method,
            # A method of no published encoder leaves open which of them it is most like.
            methods=(METHODS[self.method],) if self.method in METHODS else None,
            paradigm=self.paradigm,
            heads=self.heads,
        )

    @property
    def says_input(self) -> bool:
        """Whether anything of the input is said."""
        return self.size is not None or self.mean is not None

    def check_heads(self, family: str, state: Mapping[str, np.ndarray]) -> None:
        """InputError where the heads do not fit the weights, canonical names to arrays."""
        if self.heads is None:
            return
        if family != "vit":
            raise InputError(f"heads: only a ViT has attention heads to say, this is a {family}")
        width = len(state["patch_embed.proj.weight"])
        if width % self.heads:
            raise InputError(f"heads: {self.heads} do not divide the width of the tokens, {width}")

    def with_heads(self, spec: EncoderSpec) -> EncoderSpec:
        """The spec with the heads that are said and fit."""
        if self.heads is None or not isinstance(spec, ViTSpec):
            return spec
        return replace(spec, heads=self.heads)

    def with_input(self, preprocess: Preprocess) -> Preprocess:
        """The input with what is said of it; the cut keeps its share of the short side.

        Raises:
            InputError: values that no input has.
        """
        return preprocess.changed(size=self.size, mean=self.mean, std=self.std)


def _method(text: str) -> tuple[str, str]:
    """Name and kind of training of a method that the user names."""
    names = {word(name): name for name in METHODS}
    if word(text) in names:
        name = names[word(text)]
        return name, METHODS[name].paradigm
    if TRAINING_WORDS.get(word(text), ("", ""))[0]:
        return TRAINING_WORDS[word(text)]
    known = [*METHODS, *(name for name, _ in TRAINING_WORDS.values() if name)]
    close = difflib.get_close_matches(text, known, n=3, cutoff=0.5)
    hint = f"did you mean {' or '.join(close)}?" if close else f"known: {', '.join(sorted(known))}"
    raise InputError(f"method: there is no method {text!r}; {hint}")
