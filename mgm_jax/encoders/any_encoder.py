"""What every encoder can do, whatever computes its features."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from mgm_jax.encoders.framing import frame
from mgm_jax.encoders.spec import Preprocess
from mgm_jax.errors import InputError
from mgm_jax.files.seals import digest_of


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class AnyEncoder(ABC):
    """Images to features at named layers: a network of this package, or a wrapped callable.

    Attributes:
        name: what tables and figures call it.
        spec: an ``EncoderSpec``.
        params: its weights, where it is a program of JAX.
        preprocess: how images become its input.
        meta: facts about the origin.
    """

    name: str
    spec: Any
    params: Any
    preprocess: Preprocess
    meta: Mapping[str, Any] = field(default_factory=dict)

    @property
    def taps(self) -> tuple[str, ...]:
        """Names of every layer that can be read, in the order of the forward pass."""
        return self.spec.taps

    @property
    def default_tap(self) -> str:
        """The layer that is read unless another is named."""
        return self.spec.default_tap

    def width(self, tap: str | None = None) -> int:
        """Width d of the feature at ``tap``."""
        return self.spec.width(tap)

    @cached_property
    def digest(self) -> str:
        """Digest of all that decides a feature. The name and the origin are not part of it."""
        return digest_of(self._facts())

    @abstractmethod
    def _facts(self) -> dict[str, Any]:
        """What decides a feature."""

    def __call__(
        self, images: np.ndarray | jax.Array, tap: str | None = None, *, batch_size: int = 64
    ) -> jax.Array:
        """Features of images at one tap.

        Images are resized and cut as ``preprocess`` says, whatever their size; views that are
        already cut go through :meth:`features`.

        Args:
            images: uint8 ``[b, h, w, 3]``; for an encoder of grey images ``[b, h, w, 1]`` as well,
                which colour ones become.
            tap: layer to read; the default tap where None. Maps are averaged over positions, of
                tokens the class token is taken (the mean of the patches where there is none).
            batch_size: images a forward pass; a larger ``b`` is walked through.

        Returns:
            float32 ``[b, d]``, d = ``width(tap)``.

        Raises:
            InputError: other shapes or types, no image, unknown tap.
        """
        if hasattr(images, "detach"):
            # A tensor of PyTorch.
            images = np.asarray(images.detach().cpu())  # type: ignore[union-attr]
        if not isinstance(images, np.ndarray | jax.Array):
            raise InputError(
                f"images: expected an array [b, h, w, {self._channels[0]}] of uint8, got "
                f"{type(images).__name__}; stack the images into one array"
            )
        if images.ndim != 4 or images.shape[-1] not in self._channels or 0 in images.shape:
            raise InputError(
                f"images: expected [b, h, w, {self._channels[0]}] with at least one image, got "
                f"{images.shape}"
            )
        if images.dtype != np.uint8:
            raise InputError(
                f"images: expected uint8, got {images.dtype}; for views with values in [0, 1] "
                "call encoder.features"
            )
        if batch_size < 1:
            raise InputError(f"batch_size: expected at least 1, got {batch_size}")
        (wanted,) = self.spec.check_taps((tap or self.default_tap,))
        rows = [
            self.features(frame(batch, self.preprocess), taps=(wanted,))[wanted]
            for batch in self._batches(images, min(batch_size, len(images)))
        ]
        return jnp.concatenate(rows)[: len(images)]

    @abstractmethod
    def features(
        self, views: np.ndarray | jax.Array, *, taps: Iterable[str] | None = None
    ) -> dict[str, jax.Array]:
        """Pooled features of prepared views by tap, float32 ``[b, d]``."""

    @property
    @abstractmethod
    def _channels(self) -> tuple[int, ...]:
        """Channels that images may have, the usual number first."""

    def _batches(self, images: np.ndarray | jax.Array, size: int) -> Iterator[jax.Array]:
        for start in range(0, len(images), size):
            yield jnp.asarray(images[start : start + size])
