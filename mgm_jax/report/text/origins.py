"""Where the encoders come from: what was taken from which file, and what is a guess."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from mgm_jax.report.text.labels import shorten


@dataclass(frozen=True, kw_only=True)
class Origin:
    """One encoder.

    Attributes:
        name: of the encoder.
        architecture: of the network.
        kind: what runs it, of an encoder that was not converted.
        training: paradigm and method.
        guessed: whether these are neither stated by the file nor by the study.
        source: the file.
        weights: where in the file the encoder was found; empty where it is all of it.
        doubt: what the file leaves open, and what was assumed.
    """

    name: str
    architecture: str
    kind: str
    training: str
    guessed: bool
    source: str
    weights: str
    doubt: str


def encoder_origins(study: dict[str, Any]) -> list[Origin]:
    """The entry ``encoders`` of ``study.json``."""
    told = study.get("encoders")
    return [
        Origin(
            name=shorten(str(entry.get("name")), most=60),
            architecture=shorten(str(entry.get("architecture") or ""), most=60),
            kind=shorten(str(entry.get("kind") or ""), most=60),
            training=", ".join(
                shorten(str(entry[key]), most=60)
                for key in ("paradigm", "method")
                if entry.get(key)
            ),
            guessed=bool(entry.get("guessed")),
            source=shorten(str(entry.get("source") or ""), most=60),
            weights=shorten(str(entry.get("weights") or ""), most=80),
            doubt=shorten(str(entry.get("doubt") or ""), most=400),
        )
        for entry in (told if isinstance(told, list) else [])
    ]
