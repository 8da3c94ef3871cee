"""A writer that is killed, run as ``python -m tests.embeddings.faults``: see ``test_kill.py``.

The process forks before it has used any thread. Each child opens the store, writes the chunks that
are missing and is killed with SIGKILL, at a random moment or just before its N-th touch of the file
system. Forking makes hundreds of kills affordable: the libraries are imported once.
"""

from __future__ import annotations

import os
import random
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from mgm_jax.embeddings.manifest import Manifest, StoreDtype
from mgm_jax.embeddings.store import COMMIT_FOLDER, EmbeddingStore

#: Exit status of a writer that met a committed chunk with wrong bytes.
TORN = 3


def files_of(folder: Path) -> dict[str, bytes]:
    """Every file below a folder but temporary ones that a kill left behind."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and not path.name.startswith(".part-") and "__lock" not in path.name
    }


def manifest_of(*, chunks: int, dtype: StoreDtype) -> Manifest:
    """A store whose last chunk is short."""
    return Manifest(
        encoder="e1",
        source="s1",
        setting="augs",
        tap="pool",
        views=2,
        rows=chunks * 8 - 2,
        width=96,
        chunk_rows=8,
        dtype=dtype,
        versions=(("writer", "1"),),
    )


def write_missing(folder: Path, manifest: Manifest) -> None:
    """Write each missing chunk; exit with ``TORN`` where a commit record speaks of wrong bytes."""
    store = EmbeddingStore.open(folder, manifest)
    missing = store.missing()
    if set(missing) & committed(folder):
        os._exit(TORN)
    for chunk in missing:
        rows = manifest.chunk_slice(chunk)
        rng = np.random.default_rng(chunk)
        values = rng.normal(size=(rows.stop - rows.start, manifest.width))
        failed = {1: f"image of chunk {chunk}: cut short"} if chunk % 3 == 0 else {}
        store.write(chunk, values, failed=failed)


def committed(folder: Path) -> set[int]:
    """Chunks that have a commit record."""
    return {int(path.stem) for path in (folder / COMMIT_FOLDER).glob("[0-9]*.json")}


def in_child(work: Callable[[], None]) -> int:
    """Start ``work`` in a forked process and return its number."""
    process = os.fork()
    if process == 0:
        work()
        os._exit(0)
    return process


def is_running(process: int) -> bool:
    """Whether a child is still at work; its end is left for :func:`ended` to collect."""
    flags = os.WEXITED | os.WNOHANG | os.WNOWAIT
    return os.waitid(os.P_PID, process, flags) is None


def ended(process: int) -> str:
    """Wait for a child; how it ended, ``killed`` or its exit status."""
    _, status = os.waitpid(process, 0)
    return "killed" if os.WIFSIGNALED(status) else str(os.WEXITSTATUS(status))


def kill_at_random(folder: Path, manifest: Manifest, *, seed: int, kills: int) -> None:
    """Kill writers at random moments, then let one finish; print how each one ended."""
    rng = random.Random(seed)
    for _ in range(kills):
        process = in_child(lambda: write_missing(folder, manifest))
        # Counting chunks, not seconds, spreads the kills over the work on any machine.
        target = len(committed(folder)) + rng.randrange(6)
        while is_running(process) and len(committed(folder)) < target:
            time.sleep(0.0005)
        time.sleep(rng.uniform(0.0, 0.004))
        os.kill(process, signal.SIGKILL)
        print(ended(process), len(committed(folder)), flush=True)
    print(ended(in_child(lambda: write_missing(folder, manifest))), len(committed(folder)))


def kill_at_every_touch(folder: Path, manifest: Manifest) -> None:
    """Kill a writer before its 1st, 2nd, 3rd ... touch of its files, each time in a new folder."""
    touch = 0
    while True:
        touch += 1
        part = folder / f"{touch:03d}"
        first = ended(in_child(lambda: die_before(touch, part, manifest)))  # noqa: B023
        second = ended(in_child(lambda: write_missing(part, manifest)))  # noqa: B023
        print(first, second, flush=True)
        if first != "killed":
            return


def die_before(touch: int, folder: Path, manifest: Manifest) -> None:
    """Write, but be killed just before the given operation on the files of the store."""
    left = touch

    def watch(event: str, arguments: tuple[object, ...]) -> None:
        nonlocal left
        if str(folder) in str(arguments):
            left -= 1
            if left == 0:
                os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(watch)
    write_missing(folder, manifest)


def main(mode: str, folder: str, dtype: StoreDtype) -> None:
    """Run one mode, ``random`` or ``every``."""
    if mode == "random":
        manifest = manifest_of(chunks=150, dtype=dtype)
        kill_at_random(Path(folder), manifest, seed=7, kills=25)
    else:
        kill_at_every_touch(Path(folder), manifest_of(chunks=3, dtype=dtype))


if __name__ == "__main__":
    main(*sys.argv[1:])  # pyright: ignore[reportArgumentType]
