"""Where the encoders of a study come from, as ``study.json`` says it and the report shows it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from mgm_jax.encoders.catalogue.methods import known_paradigm
from mgm_jax.sweep.subjects import Subject


def encoder_origins(subjects: Sequence[Subject]) -> list[dict[str, Any]]:
    """One entry an encoder: name, architecture, kind, paradigm, method, file, and what is in doubt.

    ``guessed`` is true where paradigm and method follow from how the weights are spelled: neither
    the file nor the study states them. ``weights`` is where in the file the encoder was found.
    """
    return [_origin(subject) for subject in {one.name: one for one in subjects}.values()]


def _origin(subject: Subject) -> dict[str, Any]:
    meta = subject.encoder.meta
    conversion = meta.get("conversion")
    told: Mapping[str, Any] = conversion if isinstance(conversion, Mapping) else {}
    # A paradigm that the study states is not the converter's, nor is that of random weights.
    stated = subject.paradigm != known_paradigm(meta) or subject.seed is not None
    where = "".join(f"[{key}]" for key in told.get("keys", ()))
    prefix = str(told.get("prefix") or "")
    return {
        "name": subject.name,
        "architecture": subject.architecture,
        "kind": str(meta.get("kind") or ""),
        "paradigm": subject.paradigm,
        "method": str(meta.get("method") or ""),
        "guessed": bool(told.get("guessed")) and not stated,
        "source": str(meta.get("source") or ""),
        "weights": " ".join(part for part in (where, f"{prefix}*" if prefix else "") if part),
        "doubt": str(told.get("doubt") or ""),
    }
