"""How runs and their weights are called: ``simclr-resnet-s0``, after an epoch ``...-e03``."""

from __future__ import annotations

import re
from dataclasses import dataclass

_NAME = re.compile(r"(?P<method>[a-z_]+)-(?P<backbone>[a-z]+)-s(?P<seed>\d+)(?:-e(?P<epoch>\d+))?")


@dataclass(frozen=True, kw_only=True)
class RunName:
    """What a name says.

    Attributes:
        method: name in ``METHODS``.
        backbone: name in ``BACKBONES``.
        seed: of the recipe.
        epoch: of the weights; None for the run itself.
    """

    method: str
    backbone: str
    seed: int
    epoch: int | None = None

    @property
    def family(self) -> str:
        """Method and backbone, what all seeds and epochs share."""
        return f"{self.method}-{self.backbone}"

    def __str__(self) -> str:
        run = f"{self.family}-s{self.seed}"
        return run if self.epoch is None else f"{run}-e{self.epoch:02d}"


def parse_name(text: str) -> RunName | None:
    """The parts of a name; None where it is none.

    >>> parse_name("simclr-vit-s1-e03").epoch, str(parse_name("mae-vit-s0")), parse_name("resnet50")
    (3, 'mae-vit-s0', None)
    """
    match = _NAME.fullmatch(text)
    if match is None:
        return None
    epoch = match["epoch"]
    return RunName(
        method=match["method"],
        backbone=match["backbone"],
        seed=int(match["seed"]),
        epoch=None if epoch is None else int(epoch),
    )
