"""What may be asked of every source of images, whatever holds them."""

from __future__ import annotations

from dataclasses import dataclass, replace

from mgm_jax.images.decode.grey_depth import ValueRange
from mgm_jax.images.decode.limits import LIMITS, Limits
from mgm_jax.images.sources.tables.fields import FIELDS, Fields


@dataclass(frozen=True, kw_only=True)
class SourceOptions:
    """How a source is read.

    Attributes:
        name: what to call it; None for the name of its file or folder.
        split: take one split alone; None takes all together.
        fields: columns, members or arrays that hold image, label and id.
        depth: how many folders, in a folder or archive, name a class; with 2 ``greek/alpha`` is
            one.
        value_range: of values deeper than eight bits, the ones of black and white.
        limits: of sizes and numbers.
    """

    name: str | None = None
    split: str | None = None
    fields: Fields = FIELDS
    depth: int = 1
    value_range: ValueRange | None = None
    limits: Limits = LIMITS

    def called(self, stem: str) -> SourceOptions:
        """The same with a name: if none is given, that of file or folder, and of the split."""
        usual = stem if self.split is None else f"{stem}/{self.split}"
        return replace(self, name=self.name or usual)


#: What is usual.
USUAL = SourceOptions()
