"""Errors of one encoder that cannot embed, where others go on, and of a store that lost a chunk."""

from __future__ import annotations

from pathlib import Path

from mgm_jax.errors import InputError


class EncoderFailure(InputError):
    """An encoder raised, or gave NaN or Inf.

    Attributes:
        encoder: digest of the encoder.
        tap: the layer whose features cannot be used; None where the encoder as a whole fails.

    >>> EncoderFailure("vit raised ValueError: no", encoder="e1").tap is None
    True
    """

    def __init__(self, message: str, *, encoder: str, tap: str | None = None) -> None:
        super().__init__(message)
        self.encoder = encoder
        self.tap = tap


class ChunkLost(InputError):
    """A chunk of a store that is needed is missing, or not what was committed.

    Attributes:
        folder: of the store.
    """

    def __init__(self, message: str, *, folder: Path) -> None:
        super().__init__(message)
        self.folder = folder
