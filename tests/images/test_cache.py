"""The cache of decoded images: the same canvases, each decoded once, bounded, hard to break."""

from __future__ import annotations

import dataclasses
import errno
import os
import shutil
from pathlib import Path

import numpy as np
import pytest

from mgm_jax.errors import InputError
from mgm_jax.images.cache import CanvasCache
from mgm_jax.images.image_source import ImageSource
from mgm_jax.images.loader import canvases

COUNT = 7
RECORD = 6 * 6 * 3 + 4
BYTES = COUNT * RECORD


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
        for result, wanted in zip(look(noise(decoded), cache), expected, strict=True):
            np.testing.assert_array_equal(result, wanted)
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
    result, _ = look(source, cache, **options)
    np.testing.assert_array_equal(result, look(source, None, **options)[0])
    assert len(decoded) == 3 * COUNT


def test_damaged_canvases_are_decoded_again(tmp_path: Path):
    cache, decoded = CanvasCache(folder=tmp_path), []
    expected, _ = look(noise(decoded), cache)
    [held] = tmp_path.iterdir()
    whole = held.read_bytes()
    assert len(whole) == BYTES
    flipped = bytearray(whole)
    flipped[2 * RECORD + 50] ^= 4
    # A writer that was killed within a record, a file that was cut short, one that is no cache.
    torn = whole[: 3 * RECORD + 40] + bytes(RECORD - 40) + whole[4 * RECORD :]
    for content, again in (
        (bytes(flipped), [2, 5]),
        (torn, [3, 5]),
        (whole[: 2 * RECORD + 8], [2, 3, 4, 5, 6]),
        (b"", [0, 1, 2, 3, 4, 5, 6]),
        (b"?" * BYTES, [0, 1, 2, 3, 4, 5, 6]),
    ):
        held.write_bytes(content)
        decoded.clear()
        np.testing.assert_array_equal(look(noise(decoded), cache)[0], expected)
        assert sorted(decoded) == again
        decoded.clear()
        look(noise(decoded), cache)
        assert decoded == [5], "what was decoded is kept again"
        assert held.read_bytes()[: 5 * RECORD] == whole[: 5 * RECORD]


def test_a_file_deleted_or_emptied_while_it_is_read_costs_a_decoding(tmp_path: Path):
    cache, decoded = CanvasCache(folder=tmp_path), []
    expected, _ = look(noise(decoded), cache)
    for harm in (Path.unlink, lambda path: os.truncate(path, 0)):
        batches = canvases(noise(decoded), resize=6, batch_size=3, on_error="skip", cache=cache)
        result = [next(batches).images]
        [held] = tmp_path.iterdir()
        harm(held)
        result += [batch.images for batch in batches]
        np.testing.assert_array_equal(np.concatenate(result), expected)
        look(noise(decoded), cache)


def test_a_full_disk_costs_the_cache_and_nothing_else(tmp_path: Path, monkeypatch):
    expected, _ = look(noise([]), None)
    # Room for three canvases and a part of the fourth, then for none.
    write, left = os.pwrite, [3 * RECORD + 40]

    def full(descriptor: int, record: bytes, offset: int) -> int:
        if not left[0]:
            raise OSError(errno.ENOSPC, "No space left on device")
        written = write(descriptor, record[: left[0]], offset)
        left[0] -= written
        return written

    monkeypatch.setattr(os, "pwrite", full)
    cache, decoded = CanvasCache(folder=tmp_path), []
    np.testing.assert_array_equal(look(noise(decoded), cache, threads=1)[0], expected)
    decoded.clear()
    np.testing.assert_array_equal(look(noise(decoded), cache, threads=1)[0], expected)
    assert sorted(decoded) == [3, 4, 5, 6]
    monkeypatch.undo()
    # A set that would take more than half of what is free is not begun.
    usage = shutil.disk_usage(tmp_path)
    for free, kept in ((2 * BYTES - 1, False), (2 * BYTES, True)):
        result = usage._replace(free=free)
        monkeypatch.setattr(shutil, "disk_usage", lambda _, result=result: result)
        folder = tmp_path / str(free)
        np.testing.assert_array_equal(look(noise([]), CanvasCache(folder=folder))[0], expected)
        assert any(folder.iterdir()) == kept


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
