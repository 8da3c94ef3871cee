"""The finished rows of a chunk that is not finished: kept now and then, for a run that goes on.

A chunk has as many rows for every encoder, because its size is a part of what the embeddings are
stored under; so a chunk of a large network takes long. What is kept here decides no number: the
same batches of the same shape are computed, those that are there are left out. Nobody but a run
that goes on reads a part, and one that is damaged is none.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from mgm_jax.embeddings.commits import checksum
from mgm_jax.files.whole import whole_file

_SUFFIX = ".part"


@dataclass(frozen=True, eq=False, kw_only=True)
class Part:
    """Finished rows of one chunk.

    Attributes:
        rows: places in the chunk, ``[m]`` int, rising.
        values: their embeddings ``[m, d]`` in the number format of the store.
    """

    rows: np.ndarray
    values: np.ndarray


def write_part(folder: Path, chunk: int, part: Part, *, manifest: str) -> None:
    """Keep the part of a chunk in place of an earlier one; it is there whole or not at all.

    Args:
        folder: where the parts of a store lie; made when needed.
        chunk: number of the chunk.
        part: its finished rows.
        manifest: digest of the manifest of the store.
    """
    rows = [int(row) for row in part.rows]
    total = checksum(manifest, chunk, part.values, {row: "" for row in rows})
    with whole_file(_path(folder, chunk)) as file, file.open("wb") as out:
        out.write(json.dumps({"rows": rows, "sha256": total}).encode() + b"\n")
        # bfloat16 has no buffer interface of its own; its bytes do.
        out.write(np.ascontiguousarray(part.values).view(np.uint8).data)


def read_part(
    folder: Path, chunk: int, *, manifest: str, shape: tuple[int, int], dtype: np.dtype[Any]
) -> Part | None:
    """The part of a chunk; None where there is none, or one that is damaged or not the store's.

    Args:
        folder: where the parts of the store lie.
        chunk: number of the chunk.
        manifest: digest of the manifest of the store.
        shape: rows of the whole chunk and width.
        dtype: number format of the store.
    """
    try:
        head, _, content = _path(folder, chunk).read_bytes().partition(b"\n")
        said = json.loads(head)
        rows = np.asarray(said["rows"], np.int64)
        values = np.frombuffer(content, np.uint8).view(dtype).reshape(len(rows), shape[1])
        fits = rows.ndim == 1 and bool((np.diff(rows, prepend=-1) > 0).all())
        if not fits or rows.max(initial=-1) >= shape[0]:
            return None
        total = checksum(manifest, chunk, values, {int(row): "" for row in rows})
        return Part(rows=rows, values=values) if said["sha256"] == total else None
    except (OSError, ValueError, TypeError, KeyError):
        return None


def remove_part(folder: Path, chunk: int) -> None:
    """Forget the part of a chunk, where there is one."""
    _path(folder, chunk).unlink(missing_ok=True)


def chunks_with_parts(folder: Path) -> list[int]:
    """Numbers of the chunks that have a part."""
    return sorted(int(path.stem) for path in folder.glob(f"[0-9]*{_SUFFIX}") if path.stem.isdigit())


def _path(folder: Path, chunk: int) -> Path:
    return folder / f"{chunk:08d}{_SUFFIX}"
