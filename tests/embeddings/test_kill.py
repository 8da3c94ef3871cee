"""Killed at any moment, a store goes on where it stopped and ends with the same bytes."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from mgm_jax.embeddings.store import EmbeddingStore
from tests.launch import ROOT

from . import faults

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="kills forked processes")


def run_faults(mode: str, folder: Path, dtype: str) -> list[list[str]]:
    """Run the writers that are killed; the words of each line they report."""
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-m", "tests.embeddings.faults", mode, str(folder), dtype],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    return [line.split() for line in done.stdout.splitlines()]


# What is certain stands below: a kill before every touch of a file.
@pytest.mark.nightly
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_random_kills(tmp_path: Path, dtype):
    lines = run_faults("random", tmp_path / "killed", dtype)
    *killed, last = lines
    counts = [int(count) for _, count in lines]
    assert {end for end, _ in killed} <= {"killed", "0"}
    # Some kills must have come while chunks were being written, or nothing was tried.
    assert any(end == "killed" and 0 < int(count) < 150 for end, count in killed)
    assert counts == sorted(counts), "a committed chunk was lost"
    assert last == ["0", "150"]
    manifest = faults.manifest_of(chunks=150, dtype=dtype)
    faults.write_missing(tmp_path / "whole", manifest)
    assert faults.files_of(tmp_path / "killed") == faults.files_of(tmp_path / "whole")
    assert EmbeddingStore.open(tmp_path / "killed", manifest).complete


def test_kill_before_every_touch_of_a_file(tmp_path: Path):
    lines = run_faults("every", tmp_path / "killed", "float32")
    assert [first for first, _ in lines] == ["killed"] * (len(lines) - 1) + ["0"]
    # Opening makes folders and a manifest; each of three chunks takes a record and a rename.
    assert len(lines) > 15
    assert {second for _, second in lines} == {"0"}
    faults.write_missing(tmp_path / "whole", faults.manifest_of(chunks=3, dtype="float32"))
    whole = faults.files_of(tmp_path / "whole")
    for folder in sorted((tmp_path / "killed").iterdir()):
        assert faults.files_of(folder) == whole, f"killed before touch {folder.name}"
