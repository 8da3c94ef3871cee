"""A large image set goes through a run image by image: few are in memory at a time."""

from __future__ import annotations

import threading
import tracemalloc
import weakref
from pathlib import Path

import jax
import numpy as np
import pytest

from mgm_jax.embeddings import EmbeddingStore
from mgm_jax.encoders import Encoder
from mgm_jax.images import ImageSource
from mgm_jax.sweep import run_study
from mgm_jax.sweep.plan import targets
from tests.sweep.small_study import small_study


class Images:
    """A synthetic set, which counts how many of its pictures are alive."""

    def __init__(self, count: int, *, side: int) -> None:
        self.count, self._side = count, side
        self._lock = threading.Lock()
        self.made = self.alive = self.most = 0

    def read(self, position: int) -> np.ndarray:
        """Picture ``[side, side, 3]`` of two greys, which tell its position."""
        picture = np.full((self._side, self._side, 3), position % 256, np.uint8)
        picture[0] = position // 256 % 256
        with self._lock:
            self.made += 1
            self.alive += 1
            self.most = max(self.most, self.alive)
        weakref.finalize(picture, self._gone)
        return picture

    def _gone(self) -> None:
        with self._lock:
            self.alive -= 1

    def source(self) -> ImageSource:
        """The set; two classes."""
        ids = tuple(f"{one:07d}" for one in range(self.count))
        return ImageSource(
            name="many",
            ids=ids,
            labels=np.arange(self.count) % 2,
            classes=("even", "odd"),
            fingerprints=ids,
            reader=self.read,
        )


@pytest.fixture
def embedded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Embeds a synthetic set, its pixels alone, and returns the store."""

    def embed(images: Images, **options: int) -> EmbeddingStore:
        monkeypatch.setattr(targets, "open_source", lambda *_, **__: images.source())
        study = small_study(
            encoders=[{"source": "pixels", "size": 8}],
            images=[{"source": "many"}],
            augmentation=None,
        )
        out = tmp_path / str(images.count)
        assert not run_study(study, out, until="embed", **options).failures
        [folder] = out.glob("embeddings/pixels/*")
        return EmbeddingStore.open(folder)

    return embed


@pytest.mark.parametrize("cache_limit", [0, 2**30])
def test_few_pictures_are_alive_at_a_time(
    embedded, monkeypatch: pytest.MonkeyPatch, cache_limit: int
) -> None:
    images = Images(20_000, side=8)
    before = sum(array.nbytes for array in jax.live_arrays())
    on_device: list[int] = []
    whole = Encoder.features

    def features(self, views, *, taps):
        if len(on_device) % 16 == 0:
            on_device.append(sum(array.nbytes for array in jax.live_arrays()) - before)
        else:
            on_device.append(0)
        return whole(self, views, taps=taps)

    monkeypatch.setattr(Encoder, "features", features)
    store = embedded(images, cache_limit=cache_limit)
    # Batches of 64: two ahead, one that is packed, and a picture or two a thread.
    assert images.made >= images.count and images.most < 400
    assert len(on_device) > 300
    # A batch of views is 49 kB, of the whole set 15 MB.
    assert max(on_device) < 1e6
    rows = np.rint(np.asarray(store.read(), np.float64)[:, [-1, 0]] * 255).astype(int)
    assert ((rows[:, 0] + 256 * rows[:, 1]) == np.arange(images.count)).all()


def test_the_memory_of_a_run_is_not_that_of_its_images(embedded) -> None:
    # What is compiled and imported is not what grows.
    embedded(Images(600, side=64))
    images = Images(4_000, side=64)
    tracemalloc.start()
    try:
        embedded(images)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert images.made >= images.count
    assert peak < images.count * 64 * 64 * 3 / 4
