"""Commit records: the small files that say which chunks of a store are finished, and their sum."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mgm_jax.files.whole import whole_file


@dataclass(frozen=True, kw_only=True)
class Commit:
    """The record of one finished chunk.

    Attributes:
        chunk: number of the chunk.
        sha256: checksum of the chunk, see :func:`checksum`.
        failed: why a row has no embedding, by its place in the chunk; such rows hold NaN.
    """

    chunk: int
    sha256: str
    failed: Mapping[int, str]


def checksum(manifest: str, chunk: int, values: np.ndarray, failed: Mapping[int, str]) -> str:
    """SHA-256 (hex) that binds the values to their store, their chunk and their failed rows.

    Args:
        manifest: digest of the manifest; a chunk copied over from another store does not fit.
        chunk: number of the chunk.
        values: the rows of the chunk, ``[rows, width]``, in the number format of the store.
        failed: reasons by row in the chunk.

    >>> ones = np.ones((2, 3), np.float32)
    >>> checksum("m", 0, ones, {}) == checksum("m", 1, ones, {})
    False
    """
    heading = [manifest, chunk, str(values.dtype), values.shape, _pairs(failed)]
    total = hashlib.sha256(json.dumps(heading).encode())
    # bfloat16 has no buffer interface of its own; its bytes do.
    total.update(np.ascontiguousarray(values).view(np.uint8).data)
    return total.hexdigest()


def write_commit(folder: Path, commit: Commit) -> None:
    """Publish a commit record in ``folder``; it appears whole or not at all."""
    record = {
        "chunk": commit.chunk,
        "sha256": commit.sha256,
        "failed": _pairs(commit.failed),
    }
    with whole_file(_path(folder, commit.chunk)) as part:
        part.write_text(json.dumps(record), encoding="utf-8")


def read_commit(folder: Path, chunk: int) -> Commit | None:
    """Read the record of a chunk; None where there is none or where it is damaged.

    A damaged record is no error: its chunk counts as unfinished and is computed again.
    """
    try:
        record = json.loads(_path(folder, chunk).read_bytes())
        commit = Commit(
            chunk=int(record["chunk"]),
            sha256=str(record["sha256"]),
            failed={int(row): str(reason) for row, reason in record["failed"]},
        )
    except (OSError, ValueError, TypeError, KeyError):
        return None
    return commit if commit.chunk == chunk else None


def _pairs(failed: Mapping[int, str]) -> list[list[int | str]]:
    """Rows and reasons in order of row, as JSON can hold them."""
    return [[int(row), failed[row]] for row in sorted(failed)]


def _path(folder: Path, chunk: int) -> Path:
    return folder / f"{chunk:08d}.json"
