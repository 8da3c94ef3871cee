"""What the sources of a study are opened with, wherever that happens."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from mgm_jax.encoders import Encoder, WrappedEncoder
from mgm_jax.images import ImageSource
from mgm_jax.sweep.subjects import Convert, OpenModel


@dataclass(frozen=True, kw_only=True)
class Openers:
    """What turns the names in a study into encoders and images.

    Attributes:
        base: folder that relative paths of the study start from.
        convert: turns a checkpoint into a folder of Flax weights; None where there is nothing that
            could.
        open_model: opens models of other libraries; likewise.
        callables: encoders that the study names as ``callable:NAME``.
        image_sets: sets of images that it names as ``held:NAME``.
    """

    base: Path
    convert: Convert | None = None
    open_model: OpenModel | None = None
    callables: Mapping[str, Encoder | WrappedEncoder] = field(default_factory=dict, hash=False)
    image_sets: Mapping[str, ImageSource] = field(default_factory=dict, hash=False)
