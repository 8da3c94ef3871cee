"""What one source says of an encoder, and which of several is heard."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from mgm_jax.encoders import Preprocess
from mgm_jax.encoders.catalogue.methods import Method


@dataclass(frozen=True, kw_only=True)
class Evidence:
    """What one source says; what it is silent on is None or an empty text.

    Attributes:
        method: name of the method of training, in the words of the source.
        methods: those methods of :mod:`mgm_jax.encoders.catalogue.methods` that it may be, the
            likeliest first; empty where it is sure to be none of them.
        paradigm: kind of training.
        heads: attention heads.
        doubt: of the heads, where they are no more than likely.
        preprocess: the input.
    """

    method: str = ""
    methods: tuple[Method, ...] | None = None
    paradigm: str = ""
    heads: int | None = None
    doubt: str = ""
    preprocess: Preprocess | None = None


def first(evidence: Iterable[Evidence], answer: str) -> Evidence:
    """The first evidence that gives an answer, named as the field; a blank one where none does.

    >>> first([Evidence(method="MAE"), Evidence(heads=3), Evidence(heads=6)], "heads").heads
    3
    """
    said = (one for one in evidence if getattr(one, answer) not in (None, ""))
    return next(said, Evidence())
