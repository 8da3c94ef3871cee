"""The cache of decoded images: the same canvases, each decoded once, bounded, hard to break."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from mgm_jax.errors import InputError
from mgm_jax.images.cache import CanvasCache
from mgm_jax.images.image_source import ImageSource
from mgm_jax.images.loader import canvases

COUNT = 7
BYTES = COUNT * (6 * 6 * 3 + 4)


def noise(decoded: list[int], *, version: str = "a") -> ImageSource:
    def read(position: int) -> np.ndarray:
        decoded.append(position)
        if position == 5:
            raise InputError("image 5 is cut short")
        seed = [position, *version.encode()]
        return np.random.default_rng(seed).integers(0, 256, (9, 11, 3)).astype(np.uint8)

    ids = tuple(f"{one}.png" for one in range(COUNT))
    return ImageSource(
        name="noise",
        ids=ids,
        labels=np.zeros(COUNT),
        classes=("a",),
        fingerprints=tuple(f"{version}{one}" for one in ids),
        reader=read,
    )


def look(source: ImageSource, cache: CanvasCache | None, **options) -> list[np.ndarray]:
    options = {"resize": 6, "batch_size": 3, "on_error": "skip"} | options
    batches = list(canvases(source, cache=cache, **options))
    return [np.concatenate([getattr(one, part) for one in batches]) for part in ("images", "index")]


def test_each_image_is_decoded_once_and_looks_the_same(tmp_path: Path):
    expected = look(noise([]), None)
    decoded: list[int] = []
    cache = CanvasCache(folder=tmp_path)
    for _ in range(3):
        for found, wanted in zip(look(noise(decoded), cache), expected, strict=True):
            np.testing.assert_array_equal(found, wanted)
    # The broken one is tried every time.
    assert sorted(decoded) == [0, 1, 2, 3, 4, 5, 5, 5, 6]


@pytest.mark.parametrize("change", ["content", "size", "crop", "filter"])
def test_another_look_is_another_set(tmp_path: Path, change: str):
    cache, decoded = CanvasCache(folder=tmp_path), []
    look(noise(decoded), cache)
    source = noise(decoded, version="b" if change == "content" else "a")
    options = {
        "content": {},
        "size": {"resize": 5},
        "crop": {"crop": 4},
        "filter": {"interpolation": "nearest"},
    }[change]
    found, _ = look(source, cache, **options)
    np.testing.assert_array_equal(found, look(source, None, **options)[0])
    assert len(decoded) == 3 * COUNT


def test_damaged_canvases_are_decoded_again(tmp_path: Path):
    cache, decoded = CanvasCache(folder=tmp_path), []
    expected, _ = look(noise(decoded), cache)
    [pixels] = tmp_path.glob("*.pixels")
    content = bytearray(pixels.read_bytes())
    content[2 * 108 + 50] ^= 4
    pixels.write_bytes(content)
    decoded.clear()
    np.testing.assert_array_equal(look(noise(decoded), cache)[0], expected)
    assert sorted(decoded) == [2, 5]
    pixels.write_bytes(content[:200])
    np.testing.assert_array_equal(look(noise(decoded), cache)[0], expected)


def test_the_folder_stays_below_its_limit(tmp_path: Path):
    cache = CanvasCache(folder=tmp_path, limit=2 * BYTES)
    for version in "abcb":
        look(noise([], version=version), cache)
        assert sum(path.stat().st_size for path in tmp_path.iterdir()) <= 2 * BYTES
    decoded: list[int] = []
    look(noise(decoded, version="b"), cache)
    assert decoded == [5]
    small = dataclasses.replace(cache, folder=tmp_path / "small", limit=BYTES - 1)
    look(noise([]), small)
    assert not small.folder.exists()
    with pytest.raises(InputError, match="at least 0 bytes"):
        CanvasCache(folder=tmp_path, limit=-1)
