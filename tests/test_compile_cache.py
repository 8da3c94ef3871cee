"""Compiled programs are kept for the next process: quietly, bounded, unless told otherwise."""

from __future__ import annotations

import os
import subprocess
import sys
import time
import zlib
from pathlib import Path

import pytest

from mgm_jax.compile_cache import cache_folder, tidy

PROGRAM = """
import sys
{first}
from mgm_jax import knn_graph
import jax
import numpy as np
x = np.random.default_rng(0).normal(size=(40, 6)).astype(np.float32)
# Of its own accord a graph this small compiles nothing.
knn_graph(x, k=3, precision="float32")
print(jax.config.jax_compilation_cache_dir)
"""


def start(shared: Path, *, first: str = "", **settings: str) -> subprocess.CompletedProcess[str]:
    """A new process that asks for neighbours, as a user would who never heard of the cache."""
    told = ("JAX_COMPILATION_CACHE_DIR", "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS")
    dropped = (*told, "TF_CPP_MIN_LOG_LEVEL", "MGM_JAX_CACHE")
    environment = {name: value for name, value in os.environ.items() if name not in dropped}
    environment |= {"XDG_CACHE_HOME": str(shared)} | settings
    return subprocess.run(
        [sys.executable, "-c", PROGRAM.format(first=first)],
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )


def programs(shared: Path) -> dict[Path, float]:
    return {entry: entry.stat().st_mtime for entry in shared.rglob("*-cache")}


def test_the_second_process_compiles_nothing_and_both_are_quiet(tmp_path: Path) -> None:
    first = start(tmp_path)
    kept = programs(tmp_path)
    assert kept and all(entry.parent == Path(first.stdout.strip()) for entry in kept)
    second = start(tmp_path)
    assert programs(tmp_path) == kept
    assert first.stderr == second.stderr == ""


@pytest.mark.parametrize(
    "told",
    [
        {"MGM_JAX_CACHE": "off"},
        {"JAX_ENABLE_COMPILATION_CACHE": "false"},
        # XLA's notes could not be kept off the terminal any more.
        {"first": "import jax"},
    ],
    ids=lambda told: next(iter(told)),
)
def test_nothing_is_kept_where_it_is_not_wanted(tmp_path: Path, told: dict[str, str]) -> None:
    assert start(tmp_path, **told).stderr == ""
    assert not programs(tmp_path)


def test_a_folder_that_was_named_is_taken(tmp_path: Path) -> None:
    own, other = tmp_path / "own", tmp_path / "other"
    shared = tmp_path / "shared"
    done = start(shared, MGM_JAX_CACHE=str(own), JAX_COMPILATION_CACHE_DIR=str(other))
    # What JAX was told itself comes first.
    assert done.stdout.strip() == str(other) and not programs(own)
    assert start(shared, MGM_JAX_CACHE=str(own)).stdout.startswith(str(own))
    assert programs(own) and not programs(shared)


def test_the_folder_is_one_of_version_and_processor(monkeypatch: pytest.MonkeyPatch) -> None:
    own = cache_folder()
    monkeypatch.setattr("mgm_jax.compile_cache._instructions", lambda: "flags: fewer")
    assert cache_folder().parent == own.parent and cache_folder() != own
    monkeypatch.setattr("mgm_jax.compile_cache.version", lambda _: "0.0.1")
    assert cache_folder().name.startswith("jax-0.0.1-")


def test_what_is_old_cut_short_or_too_much_goes(tmp_path: Path) -> None:
    folder, old = tmp_path / "jax-2", tmp_path / "jax-1"
    now = time.time()
    for entry, content, age in (
        (old / "a-cache", b"x", 40 * 86_400),
        (old / ".looked_at", b"", 40 * 86_400),
        (folder / "oldest-cache", zlib.compress(os.urandom(500)), 3000),
        (folder / "cut-cache", zlib.compress(os.urandom(500))[:-9], 2000),
        (folder / "newest-cache", zlib.compress(os.urandom(500)), 1000),
    ):
        entry.parent.mkdir(exist_ok=True)
        entry.write_bytes(content)
        os.utime(entry, (now - age, now - age))
    assert tidy(folder, limit=800)
    assert not old.exists()
    assert [entry.name for entry in folder.glob("*-cache")] == ["newest-cache"]
    # The next look is tomorrow's.
    (folder / "late-cache").write_bytes(os.urandom(2000))
    assert tidy(folder, limit=800) and (folder / "late-cache").exists()


def test_a_cache_that_cannot_be_written_is_no_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    assert not tidy(tmp_path / "file" / "jax-1")
