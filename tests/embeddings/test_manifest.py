"""Manifests: the digest covers what decides the numbers, and nothing else."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from dataclasses import fields, replace
from pathlib import Path
from threading import Barrier

import pytest

from mgm_jax.embeddings.manifest import FORMAT, MANIFEST_FILE, Manifest
from mgm_jax.errors import InputError

MANIFEST = Manifest(
    encoder="e1",
    source="s1",
    setting="augs",
    operations="o1",
    strength=0.5,
    tap="pool",
    seed=3,
    views=4,
    rows=40,
    width=8,
    chunk_rows=16,
)

CHANGED = {
    "encoder": "e2",
    "tap": "cls",
    "source": "s2",
    "setting": "crop",
    "operations": "o2",
    "strength": 0.75,
    "seed": 4,
    "views": 2,
    "rows": 44,
    "width": 9,
    "dtype": "bfloat16",
    "chunk_rows": 20,
    "format": FORMAT + 1,
}


def test_every_attribute_but_the_versions_is_tried_below():
    assert set(CHANGED) == {one.name for one in fields(Manifest)} - {"versions"}


@pytest.mark.parametrize("name", CHANGED)
def test_each_attribute_changes_the_digest_and_is_named(name: str):
    other = replace(MANIFEST, **{name: CHANGED[name]})
    assert other != MANIFEST
    assert other.digest != MANIFEST.digest
    (line,) = MANIFEST.differences(other)
    assert line == f"{name}: {getattr(MANIFEST, name)!r} here, {CHANGED[name]!r} there"


def test_versions_are_informative():
    other = replace(MANIFEST, versions=(("jax", "0.1"),))
    assert other == MANIFEST
    assert other.digest == MANIFEST.digest
    assert MANIFEST.differences(other) == []
    assert dict(MANIFEST.versions)["tensorstore"] != "not installed"


def test_one_and_one_point_zero_are_one_strength():
    assert replace(MANIFEST, strength=1).digest == replace(MANIFEST, strength=1.0).digest


def test_chunks_cover_the_rows():
    assert MANIFEST.chunks == 3
    assert [MANIFEST.chunk_slice(chunk) for chunk in range(3)] == [
        slice(0, 16),
        slice(16, 32),
        slice(32, 40),
    ]
    with pytest.raises(InputError, match=r"chunk must be in 0 \.\. 2, got 3"):
        MANIFEST.chunk_slice(3)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"rows": 0}, "rows must be a whole number above 0, got 0"),
        ({"width": 2.0}, r"width must be a whole number above 0, got 2\.0"),
        ({"views": True}, "views must be a whole number"),
        ({"rows": 41}, "rows=41 must be a multiple of views=4"),
        ({"chunk_rows": 6}, "chunk_rows=6 must be a multiple of views=4"),
        ({"dtype": "float16"}, "dtype must be float32 or bfloat16, got 'float16'"),
        ({"strength": -1.0}, "strength must be 0 or more"),
        ({"strength": float("nan")}, "strength must be 0 or more"),
    ],
)
def test_impossible_manifests_are_refused(wrong: dict, message: str):
    with pytest.raises(InputError, match=message):
        replace(MANIFEST, **wrong)


def test_file_gives_back_the_manifest_with_its_versions(tmp_path: Path):
    written = replace(MANIFEST, versions=(("jax", "0.1"), ("numpy", "9.9")))
    assert written.write_new(tmp_path)
    read = Manifest.read(tmp_path)
    assert read == written
    assert dict(read.versions) == dict(written.versions)
    assert [path.name for path in tmp_path.iterdir()] == [MANIFEST_FILE]


def test_a_manifest_is_never_written_over(tmp_path: Path):
    assert MANIFEST.write_new(tmp_path)
    assert not replace(MANIFEST, tap="cls").write_new(tmp_path)
    assert Manifest.read(tmp_path).tap == "pool"


def test_of_many_writers_at_once_one_wins(tmp_path: Path):
    writers = 8
    start = Barrier(writers)

    def write(seed: int) -> bool:
        start.wait()
        return replace(MANIFEST, seed=seed).write_new(tmp_path)

    with ThreadPoolExecutor(writers) as pool:
        won = list(pool.map(write, range(writers)))
    assert sum(won) == 1
    assert Manifest.read(tmp_path).seed == won.index(True)
    assert [path.name for path in tmp_path.iterdir()] == [MANIFEST_FILE]


def test_file_system_without_hard_links(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    def refuse(*_: object) -> None:
        raise OSError("no hard links")

    monkeypatch.setattr("os.link", refuse)
    assert MANIFEST.write_new(tmp_path)
    assert not replace(MANIFEST, tap="cls").write_new(tmp_path)
    assert Manifest.read(tmp_path) == MANIFEST
    assert [path.name for path in tmp_path.iterdir()] == [MANIFEST_FILE]


def test_missing_file_says_to_embed_first(tmp_path: Path):
    with pytest.raises(InputError, match="no store of embeddings here"):
        Manifest.read(tmp_path)


def test_damaged_files_are_named(tmp_path: Path):
    MANIFEST.write_new(tmp_path)
    path = tmp_path / MANIFEST_FILE
    whole = path.read_bytes()
    content = json.loads(whole)
    damaged = [
        whole[: len(whole) // 2],
        b"",
        b"\xff\xfe",
        b"[1, 2]",
        json.dumps({**content, "rows": "40"}).encode(),
        json.dumps({name: content[name] for name in content if name != "tap"}).encode(),
        json.dumps({**content, "surprise": 1}).encode(),
    ]
    for one in damaged:
        path.write_bytes(one)
        with pytest.raises(InputError, match=r"manifest\.json.*delete the folder|whole number"):
            Manifest.read(tmp_path)


def test_another_layout_is_refused(tmp_path: Path):
    replace(MANIFEST, format=FORMAT + 1).write_new(tmp_path)
    with pytest.raises(InputError, match=f"layout {FORMAT + 1} .* reads layout {FORMAT}"):
        Manifest.read(tmp_path)
