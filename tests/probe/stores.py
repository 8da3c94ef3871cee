"""Features on the disk, in the ways that probes read them, and a reader that counts."""

from __future__ import annotations

from pathlib import Path

import jax
import numpy as np

from mgm_jax.embeddings import EmbeddingStore, Manifest


class Counting:
    """Reads from an array, and notes how much was asked for and held at the time."""

    def __init__(self, x: np.ndarray) -> None:
        self.x, self.shape = x, x.shape
        self.most_rows = self.rows_read = self.most_on_device = 0

    def read(self, rows: slice) -> np.ndarray:
        start, stop, step = rows.indices(len(self.x))
        assert step == 1
        self.most_rows = max(self.most_rows, stop - start)
        self.rows_read += stop - start
        held = sum(array.nbytes for array in jax.live_arrays())
        self.most_on_device = max(self.most_on_device, held)
        return self.x[rows].copy()


def write_store(folder: Path, x: np.ndarray, *, chunk_rows: int = 16) -> EmbeddingStore:
    """An embedding store that holds these rows; those with NaN are its failed ones."""
    manifest = Manifest(
        encoder="e",
        source="s",
        setting="semantic",
        tap="pool",
        views=1,
        rows=len(x),
        width=x.shape[1],
        chunk_rows=chunk_rows,
        dtype="float32" if x.dtype == np.float32 else "bfloat16",
    )
    store = EmbeddingStore.open(folder, manifest)
    for chunk in range(manifest.chunks):
        rows = x[manifest.chunk_slice(chunk)]
        bad = np.flatnonzero(np.isnan(rows.astype(np.float32)).any(axis=1))
        store.write(chunk, rows, failed={int(row): "unreadable" for row in bad})
    return store


def write_map(file: Path, x: np.ndarray) -> np.memmap:
    """The same in a memory-mapped file, to be read only."""
    result = np.memmap(file, x.dtype, "w+", shape=x.shape)
    result[:] = x
    result.flush()
    return np.memmap(file, x.dtype, "r", shape=x.shape)
