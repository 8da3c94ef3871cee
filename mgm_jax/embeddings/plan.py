"""Which views of which images are to be embedded, and the manifest that follows from it."""

from __future__ import annotations

import operator
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from mgm_jax.embeddings.manifest import Manifest, StoreDtype
from mgm_jax.errors import InputError, name_some

if TYPE_CHECKING:
    from mgm_jax.images.settings import Setting
    from mgm_jax.images.sources.open_source import ImageSource


@dataclass(frozen=True, kw_only=True)
class ViewPlan:
    """Which views of which images, in which order, and how many images make one chunk.

    Row ``i * views + v`` of the embeddings is view ``v`` of image ``indices[i]``.

    Attributes:
        indices: the images, as places in the source, none twice; kept as a tuple.
        setting: the augmentation setting.
        views: views per image, ``v``.
        strength: strength of the setting; 0 is the identity.
        seed: seed of the views.
        chunk_images: images per chunk; their embeddings are held in memory and committed together.

    Raises:
        InputError: no image, an image twice, a size that is not positive.
    """

    indices: Sequence[int] | np.ndarray
    setting: Setting
    views: int = 1
    strength: float = 1.0
    seed: int = 0
    chunk_images: int = 64

    def __post_init__(self) -> None:
        object.__setattr__(self, "indices", tuple(operator.index(one) for one in self.indices))
        for name in ("views", "chunk_images"):
            if getattr(self, name) < 1:
                raise InputError(f"plan: {name} must be 1 or more, got {getattr(self, name)}")
        if len(self.indices) == 0:
            raise InputError("plan: indices must name one image or more, got none")
        seen: set[int] = set()
        twice = [one for one in self.indices if one in seen or seen.add(one)]
        if twice:
            raise InputError(f"plan: indices must not name an image twice, got {name_some(twice)}")

    @property
    def rows(self) -> int:
        """Embeddings in all, ``n`` = images times views."""
        return len(self.indices) * self.views

    @property
    def chunk_rows(self) -> int:
        """Embeddings per chunk."""
        return self.chunk_images * self.views

    def chunk_indices(self, chunk: int) -> tuple[int, ...]:
        """The images of one chunk."""
        start = chunk * self.chunk_images
        return tuple(self.indices[start : start + self.chunk_images])


def manifest_for(
    encoder: Any,
    source: ImageSource,
    plan: ViewPlan,
    *,
    tap: str | None = None,
    dtype: StoreDtype = "float32",
) -> Manifest:
    """The manifest of the embeddings that an encoder makes of a plan.

    Args:
        encoder: the encoder.
        source: the images.
        plan: which views of which images.
        tap: the layer; the encoder's default where None.
        dtype: number format on the disk.

    A setting without operations, or at strength 0, draws nothing. Then the seed (and without
    operations the strength) does not enter the manifest: a study with another seed keeps such
    embeddings.

    Raises:
        InputError: the plan names images that the source does not have, or an unknown tap.
    """
    tap = str(tap or encoder.default_tap)
    strength = plan.strength if plan.setting.operations else 0.0
    return Manifest(
        encoder=encoder.digest,
        tap=tap,
        # Of the chosen images alone: images that come or go elsewhere change nothing.
        source=source.subset(plan.indices).digest,
        setting=plan.setting.name,
        operations=plan.setting.digest,
        strength=strength,
        seed=plan.seed if strength else 0,
        views=plan.views,
        rows=plan.rows,
        width=encoder.width(tap),
        dtype=dtype,
        chunk_rows=plan.chunk_rows,
    )
