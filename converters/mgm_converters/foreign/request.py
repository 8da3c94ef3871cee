"""What an entry of a study says of a model that is run as it is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal


@dataclass(frozen=True, kw_only=True)
class ModelRequest:
    """The same for every library; what the model says of itself is None here.

    Attributes:
        base: folder that a relative path starts from.
        taps: parts of the model by name, or ``all`` where the library knows its stages.
        size: side of the input in pixels.
        mean: taken off the input, a value a channel on the scale [0, 1].
        std: what the input is then divided by.
        seed: of random weights; None for the pretrained ones.
        channel_order: ``bgr`` of a graph that takes blue first; mean and std are said as red,
            green, blue all the same.
    """

    base: Path
    taps: Literal["all"] | Sequence[str] = ()
    size: int | None = None
    mean: Sequence[float] | None = None
    std: Sequence[float] | None = None
    seed: int | None = None
    channel_order: Literal["rgb", "bgr"] | None = None

    @property
    def untrained(self) -> dict[str, Any]:
        """What the origin of the encoder says of random weights."""
        return {} if self.seed is None else {"seed": self.seed, "paradigm": "untrained"}
