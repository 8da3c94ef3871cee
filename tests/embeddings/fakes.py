"""Small stand-ins for encoders, image sources and the loader, which count what they do."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from types import SimpleNamespace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from mgm_jax.encoders.spec import Preprocess
from mgm_jax.errors import InputError

WIDTHS = {"colour": 3, "wide": 7}


@dataclass
class FakeEncoder:
    """A random projection of the pixels, ``wide``, and the mean colour, ``colour``."""

    seed: int = 0
    size: int = 6
    resize: int = 8
    scale: float = 1.0
    calls: int = field(default=0, compare=False)

    default_tap = "wide"

    @property
    def name(self) -> str:
        return f"fake{self.seed}"

    @property
    def digest(self) -> str:
        return f"{self.seed}-{self.size}-{self.resize}-{self.scale}"

    @property
    def preprocess(self) -> Preprocess:
        return Preprocess(size=self.size, resize=self.resize)

    def width(self, tap: str) -> int:
        return WIDTHS[tap]

    def features(self, views: jax.Array, *, taps: tuple[str, ...]) -> dict[str, jax.Array]:
        self.calls += 1
        rng = np.random.default_rng(self.seed)
        weights = rng.normal(size=(3 * self.size**2, WIDTHS["wide"])).astype(np.float32)
        return project(views, weights * np.float32(self.scale), taps=taps)


#: Shapes that ``project`` was compiled for, in order.
TRACES: list[tuple[int, ...]] = []


@partial(jax.jit, static_argnames="taps")
def project(views: jax.Array, weights: jax.Array, *, taps: tuple[str, ...]) -> dict[str, jax.Array]:
    TRACES.append(views.shape)
    flat = views.reshape(len(views), -1)
    result = {"wide": jnp.maximum(flat @ weights, 0), "colour": views.mean(axis=(1, 2))}
    return {tap: result[tap] for tap in taps}


@dataclass
class FakeSource:
    """Random images; ``broken`` ones cannot be decoded, ``stop_at`` stands for Ctrl-C."""

    count: int
    broken: frozenset[int] = frozenset()
    stop_at: int | None = None
    decoded: list[int] = field(default_factory=list)

    version: str = "1"

    name = "noise"

    def __len__(self) -> int:
        return self.count

    @property
    def ids(self) -> tuple[str, ...]:
        return tuple(f"class/{one}.png" for one in range(self.count))

    def subset(self, positions: Sequence[int]) -> SimpleNamespace:
        """As far as a manifest needs it: the digest of the chosen images."""
        outside = [one for one in positions if not 0 <= one < self.count]
        if outside:
            raise InputError(f"noise has images 0 to {self.count - 1}; asked for {outside}")
        return SimpleNamespace(digest=f"{self.version}: {list(positions)}")

    def canvas(self, index: int, side: int) -> np.ndarray:
        """Image ``[side, side, 3]`` uint8."""
        if self.stop_at is not None and len(self.decoded) >= self.stop_at:
            raise KeyboardInterrupt
        self.decoded.append(index)
        if index in self.broken:
            raise InputError(f"{self.ids[index]}: cut short")
        return np.random.default_rng(index).integers(0, 256, (side, side, 3)).astype(np.uint8)


def fake_canvases(
    source: Any,
    indices: Sequence[int],
    *,
    resize: int,
    interpolation: str,
    batch_size: int,
    on_error: str,
    cache: None = None,
) -> Iterator[SimpleNamespace]:
    """The loader's batches without threads, files or resizing."""
    assert len(indices) % batch_size == 0
    for part in np.reshape(indices, (-1, batch_size)):
        images = np.zeros((batch_size, resize, resize, 3), np.uint8)
        index = part.astype(np.int32)
        failures = []
        for position, one in enumerate(part.tolist()):
            try:
                images[position] = source.canvas(one, resize)
            except InputError as error:
                if on_error == "raise":
                    raise
                index[position] = -1
                failures.append((source.ids[one], str(error)))
        yield SimpleNamespace(images=images, index=index, failures=tuple(failures))
