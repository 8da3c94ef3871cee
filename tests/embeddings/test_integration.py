"""Real images through real encoders into a store, and a real kill in the middle."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mgm_jax.embeddings import EmbeddingStore, ViewPlan, embed, manifest_for
from mgm_jax.encoders import Encoder, load_encoder
from mgm_jax.errors import InputError
from mgm_jax.images.settings import SETTINGS
from mgm_jax.images.sources.open_source import ImageSource, open_source
from tests.embeddings.faults import files_of
from tests.launch import ROOT

PLAN = ViewPlan(
    indices=range(3, 43), setting=SETTINGS["translation"], views=2, seed=1, chunk_images=2
)


def make_parts(folder: Path) -> tuple[list[Encoder], ImageSource, list[EmbeddingStore]]:
    """Two encoders, three stores: Conv4 at two taps (one in bfloat16) and the pixels."""
    conv4, pixels = load_encoder("conv4:seed=1:size=16"), load_encoder("pixels:size=16")
    encoders, source = [conv4, conv4, pixels], open_source("digits")
    manifests = {
        "flatten": manifest_for(conv4, source, PLAN),
        "block1": manifest_for(conv4, source, PLAN, tap="block1", dtype="bfloat16"),
        "pixels": manifest_for(pixels, source, PLAN),
    }
    stores = [EmbeddingStore.open(folder / name, one) for name, one in manifests.items()]
    return encoders, source, stores


def fill(folder: Path) -> None:
    """Fill the three stores; run in a process of its own, to be killed."""
    encoders, source, stores = make_parts(folder)
    embed(encoders, source, PLAN, stores, batch_views=4)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The stores of a run that nothing interrupted."""
    folder = tmp_path_factory.mktemp("whole")
    fill(folder)
    return folder


def test_rows_are_what_the_encoder_makes_of_the_images(whole: Path):
    semantic = replace(PLAN, setting=SETTINGS["semantic"], views=1, chunk_images=16)
    encoders, source, _ = make_parts(whole)
    conv4 = encoders[0]
    store = EmbeddingStore.open(whole / "semantic", manifest_for(conv4, source, semantic))
    report = embed([conv4], source, semantic, [store])
    assert (report.rows_done, report.failures) == (40, ())
    images = np.stack([source.read(index) for index in PLAN.indices])
    expected = np.asarray(conv4(images))
    # Loader and encoder resize with different libraries; uint8 rounding is what may differ.
    scale = np.abs(expected).max()
    assert np.abs(store.read() - expected).max() < 0.05 * scale


def test_taps_and_dtypes_of_one_run(whole: Path):
    _, _, (flatten, block1, pixels) = make_parts(whole)
    assert flatten.read().shape == (80, 64)
    assert block1.read().shape == (80, 64)
    assert pixels.read().shape == (80, 3 * 16 * 16)
    assert str(block1.dtype) == "bfloat16"
    # Two views of one image differ, and are closer than views of different images.
    x = pixels.read().reshape(40, 2, -1)
    own = np.linalg.norm(x[:, 0] - x[:, 1], axis=1)
    other = np.linalg.norm(x[:, 0] - np.roll(x[:, 1], 1, axis=0), axis=1)
    assert np.median(own) > 0
    assert np.median(own) < np.median(other)


def test_broken_files_are_named_by_the_real_loader(tmp_path: Path):
    rng = np.random.default_rng(0)
    (tmp_path / "images" / "noise").mkdir(parents=True)
    for number in range(5):
        path = tmp_path / "images" / "noise" / f"{number}.png"
        Image.fromarray(rng.integers(0, 256, (20, 24, 3)).astype(np.uint8)).save(path)
    path = tmp_path / "images" / "noise" / "2.png"
    path.write_bytes(path.read_bytes()[:200])
    encoder, source = load_encoder("pixels:size=16"), open_source(tmp_path / "images")
    plan = ViewPlan(indices=range(5), setting=SETTINGS["semantic"], chunk_images=2)
    store = EmbeddingStore.open(tmp_path / "store", manifest_for(encoder, source, plan))
    with pytest.raises(InputError, match=r"2\.png"):
        embed([encoder], source, plan, [store])
    assert 1 in store.missing()
    report = embed([encoder], source, plan, [store], on_error="skip")
    ((name, reason),) = report.failures
    assert name == source.ids[2]
    assert "2.png" in reason
    assert np.flatnonzero(store.failed_rows).tolist() == [2]
    assert np.isfinite(store.read()[[0, 1, 3, 4]]).all()


@pytest.mark.nightly
@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="needs SIGKILL")
def test_killed_and_resumed_is_bit_identical(whole: Path, tmp_path: Path):
    rng = random.Random(3)
    script = f"from tests.embeddings.test_integration import *; fill(Path({str(tmp_path)!r}))"
    process = subprocess.Popen([sys.executable, "-c", script], cwd=ROOT)
    wanted = rng.randrange(1, 6)
    while process.poll() is None and len(list(tmp_path.glob("flatten/commits/*.json"))) < wanted:
        time.sleep(0.001)
    time.sleep(rng.uniform(0, 0.01))
    os.kill(process.pid, signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    _, _, stores = make_parts(tmp_path)
    # All stores of a chunk are written together: at most one chunk is unfinished in some.
    missing = [set(store.missing()) for store in stores]
    assert 0 < len(missing[0]) < 20
    assert len(set.union(*missing) - set.intersection(*missing)) <= 1
    fill(tmp_path)
    expected = {name: one for name, one in files_of(whole).items() if "semantic" not in name}
    assert files_of(tmp_path) == expected
