"""Decoded images are kept below the output, used again by all, and change no bit of a table."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mgm_jax.files.seals import read_sealed, write_sealed
from mgm_jax.images import loader
from mgm_jax.study import Study
from mgm_jax.sweep import collect_garbage, find_garbage, run_study
from tests.launch import ROOT
from tests.sweep.small_study import small_study

#: The pixels are looked at with another filter than the network's, so the images are kept twice.
ENCODERS = [
    {"source": "pixels", "size": 8},
    {"source": "conv4", "size": 32, "seeds": [0, 1]},
]


def write_photos(folder: Path) -> Path:
    """Ten noisy pictures of two classes."""
    rng = np.random.default_rng(0)
    for number in range(10):
        picture = folder / "ab"[number % 2] / f"{number}.png"
        picture.parent.mkdir(parents=True, exist_ok=True)
        pixels = rng.integers(0, 255, (40, 44 + number, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(picture)
    return folder


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_photos(tmp_path_factory.mktemp("photos"))


def chunks(out: Path) -> dict[str, bytes]:
    """Every chunk of the embeddings, by its path."""
    result = out.glob("embeddings/*/*/embeddings.zarr/c/**/*")
    return {str(path.relative_to(out)): path.read_bytes() for path in result if path.is_file()}


def study_of(photos: Path, **changes: object) -> Study:
    return small_study(
        **{
            "encoders": ENCODERS,
            "images": [{"source": str(photos)}],
            "augmentation": {"settings": ["crop", "colorjitter"], "images": 6, "views": 5},
        }
        | changes
    )


@pytest.fixture
def decoded(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Grows by the short side of every image that is decoded and resized."""
    sizes: list[int] = []
    make = loader.make_canvas

    def counting(pixels, **options):
        sizes.append(options["resize"])
        return make(pixels, **options)

    monkeypatch.setattr(loader, "make_canvas", counting)
    return sizes


def test_an_image_is_decoded_once_for_all_encoders_settings_and_runs(
    photos: Path, tmp_path: Path, decoded: list[int]
) -> None:
    out, without = tmp_path / "out", tmp_path / "without"
    run_study(study_of(photos), out, origin="one", until="embed")
    looks = {path.name for path in (out / "canvases").iterdir()}
    assert len(decoded) == 10 * len(looks)
    decoded.clear()
    more = [*ENCODERS, {"source": "conv4", "size": 32, "seeds": [2], "name": "another"}]
    settings = {"settings": ["crop", "rotation"], "images": 10, "views": 5}
    other = study_of(photos, encoders=more, augmentation=settings)
    run_study(other, out, origin="two", until="embed")
    assert not decoded, "another encoder and another setting find every image"
    run_study(study_of(photos), without, until="embed", cache_limit=0)
    assert len(decoded) > 10 * len(looks)
    assert not (without / "canvases").exists()
    expected, result = chunks(without), chunks(out)
    assert expected and {name: result[name] for name in expected} == expected


def test_gc_removes_the_images_that_no_study_looks_at(
    photos: Path, tmp_path: Path, decoded: list[int]
) -> None:
    out = tmp_path / "out"
    run_study(study_of(photos), out, origin="one", until="embed")
    first = set((out / "canvases").iterdir())
    larger = [{"source": "conv4", "size": 48, "name": "large"}]
    run_study(study_of(photos, encoders=larger), out, origin="two", until="embed")
    second = set((out / "canvases").iterdir()) - first
    assert first and len(second) == 1
    assert not find_garbage(out).paths
    gone = collect_garbage(out, forget=("two",))
    assert {path for path, _ in gone.paths if path.parent.name == "canvases"} == second
    assert set((out / "canvases").iterdir()) == first
    # An account that names no canvases keeps none.
    [account] = out.glob("studies/*.json")
    content = read_sealed(account)
    content["canvases"] = []
    write_sealed(account, content)
    assert {path for path, _ in find_garbage(out).paths} == first
    collect_garbage(out)
    decoded.clear()
    run_study(study_of(photos), out, origin="one", until="embed")
    assert not decoded, "what is embedded needs no image"


@pytest.mark.nightly
def test_a_run_that_was_killed_finds_its_images(photos: Path, tmp_path: Path, decoded) -> None:
    file, out = tmp_path / "study.yaml", tmp_path / "out"
    file.write_text(study_of(photos).to_yaml())
    command = [sys.executable, "-m", "mgm_jax", "embed", str(file), "-o", str(out)]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    process = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL)
    # All images are there before the first chunk of the second look is.
    while not list(out.glob("embeddings/conv4*/*/commits/*.json")) and process.poll() is None:
        time.sleep(0.002)
    process.send_signal(signal.SIGKILL)
    process.wait()
    for path in out.glob("embeddings/*/*/commits/*.json"):
        path.unlink()
    run_study(study_of(photos), out, until="embed")
    assert not decoded
    run_study(study_of(photos), tmp_path / "whole", until="embed", cache_limit=0)
    assert chunks(out) == chunks(tmp_path / "whole")
