"""Which views of which images are to be embedded, and the manifest that follows from it."""

from __future__ import annotations

import hashlib
import json
import operator
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import jax

from mgm_jax.embeddings.manifest import Manifest, StoreDtype
from mgm_jax.errors import InputError, name_some

if TYPE_CHECKING:
    from mgm_jax.encoders.spec import Preprocess
    from mgm_jax.images.settings import Setting
    from mgm_jax.images.sources import ImageSource


class EncoderLike(Protocol):
    """What embedding needs of an encoder; :class:`mgm_jax.encoders.Encoder` has it all."""

    @property
    def name(self) -> str:
        """Name for messages."""
        ...

    @property
    def digest(self) -> str:
        """Digest of architecture, preprocessing and weights."""
        ...

    @property
    def dtype(self) -> str:
        """Number format of the forward pass."""
        ...

    @property
    def preprocess(self) -> Preprocess:
        """Sizes and interpolation of its input."""
        ...

    @property
    def default_tap(self) -> str:
        """The layer that is read unless another is asked for."""
        ...

    def width(self, tap: str) -> int:
        """Width ``d`` of the feature at a tap."""
        ...

    def features(self, views: jax.Array, *, taps: tuple[str, ...]) -> dict[str, jax.Array]:
        """Views ``[b, s, s, 3]`` in [0, 1] to features ``[b, d]`` float32, by tap."""
        ...


@dataclass(frozen=True, kw_only=True)
class ViewPlan:
    """Which views of which images, in which order, and how many images make one chunk.

    Row ``i * views + v`` of the embeddings is view ``v`` of image ``indices[i]``.

    Attributes:
        indices: the images, as places in the source; any sequence of whole numbers, none twice.
        setting: the augmentation setting.
        views: views per image, ``v``.
        strength: strength of the setting; 0 is the identity.
        seed: seed of the views.
        chunk_images: images per chunk; what a kill loses at most, and what is held in memory.

    Raises:
        InputError: no image, an image twice, a size that is not positive.
    """

    indices: tuple[int, ...]
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
        if not self.indices:
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
        return self.indices[start : start + self.chunk_images]

    def check(self, source: ImageSource) -> None:
        """Refuse places that the source does not have, with InputError."""
        outside = [one for one in self.indices if not 0 <= one < len(source)]
        if outside:
            raise InputError(
                f"plan: indices must be in 0 .. {len(source) - 1} of {source.name}, "
                f"got {name_some(outside)}"
            )


def manifest_for(
    encoder: EncoderLike,
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

    A setting without operations draws nothing, so strength and seed do not enter its manifest:
    a study with another seed keeps such embeddings.

    Raises:
        InputError: the plan names images that the source does not have, or an unknown tap.
    """
    plan.check(source)
    tap = tap or encoder.default_tap
    drawn = bool(plan.setting.ops)
    return Manifest(
        encoder=encoder.digest,
        precision=encoder.dtype,
        tap=tap,
        source=_images_digest(source, plan.indices),
        setting=plan.setting.name,
        operations=_digest(repr(plan.setting)),
        strength=plan.strength if drawn else 0.0,
        seed=plan.seed if drawn else 0,
        views=plan.views,
        rows=plan.rows,
        width=encoder.width(tap),
        dtype=dtype,
        chunk_rows=plan.chunk_rows,
    )


def _images_digest(source: ImageSource, indices: Sequence[int]) -> str:
    """Digest of the chosen images in their order: views depend on the ids, rows on the order."""
    return _digest([source.digest, [source.ids[one] for one in indices]])


def _digest(content: Any) -> str:
    return hashlib.sha256(json.dumps(content).encode()).hexdigest()
