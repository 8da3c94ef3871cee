"""A folder of embeddings that survives being killed: zarr chunks, each with a checksummed commit.

Layout of the folder::

    manifest.json           what the numbers are (see ``manifest.py``)
    embeddings.zarr/        zarr 3 array [rows, width], uncompressed, read it with any zarr library
    commits/00000007.json   chunk 7 is finished: its SHA-256 and its failed rows
    parts/00000008.part     rows of chunk 8 that a run had finished when it was stopped

A chunk is written first and its commit record second, both by a rename of a flushed file. So a
kill at any moment leaves each chunk either finished or missing, never in between; several
processes may read, and even write the same (deterministic) content, at once.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import tensorstore as ts

from mgm_jax.embeddings.commits import Commit, checksum, read_commit, write_commit
from mgm_jax.embeddings.failure import ChunkLost
from mgm_jax.embeddings.manifest import MANIFEST_FILE, Manifest
from mgm_jax.embeddings.parts import Part, chunks_with_parts, read_part, remove_part, write_part
from mgm_jax.errors import InputError, name_some
from mgm_jax.files.whole import set_aside

ARRAY_FOLDER = "embeddings.zarr"
COMMIT_FOLDER = "commits"
PART_FOLDER = "parts"

# Reading and hashing release the interpreter lock; more threads than this wait for the disk.
_CHECK_THREADS = 4


@dataclass(frozen=True, eq=False)
class EmbeddingStore:
    """Embeddings ``[n, d]`` on the disk, written chunk by chunk; made by :meth:`open`.

    Attributes:
        folder: where it lies.
        manifest: what it holds; the row order is stated there.

    >>> import tempfile
    >>> manifest = Manifest(encoder="e1", source="s1", setting="semantic", tap="pool",
    ...                     views=1, rows=3, width=2, chunk_rows=2)
    >>> store = EmbeddingStore.open(tempfile.mkdtemp(), manifest)
    >>> store.missing()
    [0, 1]
    >>> store.write(0, np.array([[1, 2], [3, 4]]))
    >>> store.write(1, np.array([[5, 6]]))
    >>> store.complete, store.read(slice(1, 3)).tolist()
    (True, [[3.0, 4.0], [5.0, 6.0]])
    """

    folder: Path
    manifest: Manifest
    _array: ts.TensorStore = field(repr=False)

    @classmethod
    def open(
        cls, folder: str | Path, manifest: Manifest | None = None, *, create: bool = True
    ) -> EmbeddingStore:
        """Open a store, or make it.

        Args:
            folder: folder of the store.
            manifest: what the store must hold; None takes an existing store as it is.
            create: make the store where there is none; without a manifest nothing is made.

        Raises:
            InputError: there is no store and none may or can be made, the store there holds
                something else (every difference is named), or its manifest or array header is
                damaged.
        """
        folder = Path(folder)
        if create and manifest is not None:
            try:
                (folder / COMMIT_FOLDER).mkdir(parents=True, exist_ok=True)
                manifest.write_new(folder)
            except OSError as error:
                raise InputError(f"{folder}: no store can be made here ({error})") from error
        stored = Manifest.read(folder)
        if manifest is not None and stored != manifest:
            differences = "; ".join(stored.differences(manifest))
            raise InputError(
                f"{folder}: this store holds other embeddings than asked for: {differences} "
                "(here = in the folder, there = asked for); "
                "take another folder or delete this one"
            )
        return cls(folder, stored, _open_array(folder / ARRAY_FOLDER, stored, create=create))

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and width, ``(n, d)``."""
        return self.manifest.rows, self.manifest.width

    @property
    def dtype(self) -> np.dtype[Any]:
        """NumPy type of the rows; bfloat16 is the one of ``ml_dtypes``, as in JAX."""
        return ts.dtype(self.manifest.dtype).numpy_dtype

    @property
    def complete(self) -> bool:
        """Whether every chunk is committed and undamaged; reads the whole store."""
        return not self.missing()

    @property
    def failures(self) -> dict[int, str]:
        """Why rows have no embedding, by row of the store; of undamaged chunks only."""
        reasons: dict[int, str] = {}
        for chunk in range(self.manifest.chunks):
            commit = self._commit(chunk)
            # The checksum covers the failed rows too; chunks without any need not be read.
            if commit and commit.failed and self._checked(chunk) is not None:
                start = self.manifest.chunk_slice(chunk).start
                reasons |= {start + row: commit.failed[row] for row in sorted(commit.failed)}
        return reasons

    @property
    def failed_rows(self) -> np.ndarray:
        """Mask ``[n]`` (bool) of the rows without an embedding; they hold NaN."""
        mask = np.zeros(self.manifest.rows, bool)
        mask[list(self.failures)] = True
        return mask

    def missing(self) -> list[int]:
        """Chunks that are not committed, or whose bytes are not those that were committed.

        Reads and hashes every committed chunk.
        """
        with ThreadPoolExecutor(_CHECK_THREADS) as pool:
            damaged = pool.map(self._is_missing, range(self.manifest.chunks))
            return [chunk for chunk, bad in enumerate(damaged) if bad]

    def write(
        self, chunk: int, values: np.ndarray, *, failed: Mapping[int, str] | None = None
    ) -> None:
        """Write one chunk and commit it; when this returns, it survives a loss of power.

        Args:
            chunk: number of the chunk.
            values: its rows, ``[rows of the chunk, d]``; rounded to the store's dtype.
            failed: why a row has no embedding, by its place in the chunk. Such rows are stored
                as NaN, so that no one takes them for data by mistake.

        Raises:
            InputError: wrong shape, a failed row outside the chunk, NaN or Inf in another row.
        """
        rows = self.manifest.chunk_slice(chunk)
        failed = dict(failed or {})
        values = np.array(values, self.dtype)
        self._check_chunk(chunk, values, failed)
        values[list(failed)] = np.nan
        # Data before its record: the record must never speak of bytes that are not there.
        self._array[rows].write(values).result()
        total = checksum(self.manifest.digest, chunk, values, failed)
        write_commit(self._commits, Commit(chunk=chunk, sha256=total, failed=failed))
        remove_part(self._parts, chunk)

    def save_part(self, chunk: int, part: Part) -> None:
        """Keep finished rows of a chunk, so that a run that goes on need not compute them again.

        Args:
            chunk: number of the chunk; it stays missing.
            part: rows of it, finite, in the store's dtype.
        """
        write_part(self._parts, chunk, part, manifest=self.manifest.digest)

    def parts(self, chunks: Collection[int]) -> dict[int, Part]:
        """What is kept of some chunks, by their number; what is kept of others is removed."""
        parts = {}
        for chunk in chunks_with_parts(self._parts):
            if chunk not in chunks:
                remove_part(self._parts, chunk)
                continue
            rows = self.manifest.chunk_slice(chunk)
            part = read_part(
                self._parts,
                chunk,
                manifest=self.manifest.digest,
                shape=(rows.stop - rows.start, self.manifest.width),
                dtype=self.dtype,
            )
            if part is not None:
                parts[chunk] = part
        return parts

    def read(self, rows: slice | None = None) -> np.ndarray:
        """Read rows ``[m, d]``, each chunk checked against its commit record.

        Args:
            rows: contiguous rows (step 1), all of them by default.

        Raises:
            ChunkLost: a chunk that is needed is missing or damaged.
            InputError: a slice with a step.
        """
        start, stop, step = (rows or slice(None)).indices(self.manifest.rows)
        if step != 1:
            raise InputError(f"store: rows must be a slice of step 1, got step {step}")
        block = np.empty((max(stop - start, 0), self.manifest.width), self.dtype)
        size = self.manifest.chunk_rows
        for chunk in range(start // size, -(-stop // size)) if stop > start else ():
            values = self._checked(chunk)
            if values is None:
                raise ChunkLost(
                    f"{self.folder}: chunk {chunk} of {self.manifest.chunks} is missing or "
                    "damaged; embed again, which redoes only such chunks",
                    folder=self.folder,
                )
            begin = chunk * size
            first, last = max(start, begin), min(stop, begin + len(values))
            block[first - start : last - start] = values[first - begin : last - begin]
        return block

    @property
    def _parts(self) -> Path:
        return self.folder / PART_FOLDER

    @property
    def _commits(self) -> Path:
        return self.folder / COMMIT_FOLDER

    def _commit(self, chunk: int) -> Commit | None:
        return read_commit(self._commits, chunk)

    def _is_missing(self, chunk: int) -> bool:
        return self._checked(chunk) is None

    def _checked(self, chunk: int) -> np.ndarray | None:
        """The rows of a chunk, or None where they are not those of its commit record."""
        commit = self._commit(chunk)
        if commit is None:
            return None
        try:
            values = self._array[self.manifest.chunk_slice(chunk)].read().result()
        except (ValueError, OSError):
            # TensorStore answers so for a chunk file that is cut short or cannot be read.
            return None
        total = checksum(self.manifest.digest, chunk, values, commit.failed)
        return values if total == commit.sha256 else None

    def _check_chunk(self, chunk: int, values: np.ndarray, failed: Mapping[int, str]) -> None:
        rows = self.manifest.chunk_slice(chunk)
        expected = (rows.stop - rows.start, self.manifest.width)
        if values.shape != expected:
            raise InputError(
                f"{self.folder}: chunk {chunk} must have shape {expected}, got {values.shape}"
            )
        outside = [row for row in failed if not 0 <= row < expected[0]]
        if outside:
            raise InputError(
                f"{self.folder}: failed rows must be in 0 .. {expected[0] - 1} of chunk {chunk}, "
                f"got {name_some(outside)}"
            )
        bad = np.flatnonzero(~np.isfinite(values).all(axis=1)).tolist()
        if named := name_some(rows.start + row for row in bad if row not in failed):
            raise InputError(
                f"{self.folder}: rows {named} hold NaN or Inf in {self.manifest.dtype}; "
                "pass them as failed, with the reason, or correct them"
            )


def set_aside_damaged(folder: Path, manifest: Manifest) -> list[Path]:
    """Move what is damaged of a store out of the way, so that :meth:`EmbeddingStore.open` can
    make it again.

    A manifest and the header of an array follow from ``manifest``; the chunks stay, each told by
    its own checksum. A whole store that is another one than asked for is moved too.

    Args:
        folder: of the store; it need not be there.
        manifest: what it must hold.

    Returns:
        Where what was moved stood; it has :data:`DAMAGED` at the end of its name now.
    """
    if not folder.is_dir():
        return []
    moved = []
    try:
        other = Manifest.read(folder) != manifest
    except InputError:
        other = False
        if (folder / MANIFEST_FILE).exists():
            moved.append(folder / MANIFEST_FILE)
    if other:
        moved.append(folder)
    elif (folder / ARRAY_FOLDER).exists():
        try:
            _open_array(folder / ARRAY_FOLDER, manifest, create=False)
        except InputError:
            if (header := folder / ARRAY_FOLDER / "zarr.json").exists():
                moved.append(header)
    for path in moved:
        set_aside(path)
    return moved


def _open_array(path: Path, manifest: Manifest, *, create: bool) -> ts.TensorStore:
    """Open the zarr array that fits the manifest; uncompressed, so a chunk is its plain bytes."""
    chunk_shape = [min(manifest.chunk_rows, manifest.rows), manifest.width]
    specification = {
        "driver": "zarr3",
        "kvstore": {"driver": "file", "path": str(path.resolve())},
        "metadata": {
            "shape": [manifest.rows, manifest.width],
            "data_type": manifest.dtype,
            "dimension_names": ["row", "feature"],
            "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": chunk_shape}},
            "codecs": [{"name": "bytes", "configuration": {"endian": "little"}}],
            # What was never written reads as NaN, not as an embedding of zeros.
            "fill_value": "NaN",
        },
    }
    try:
        return ts.open(specification, open=True, create=create).result()
    except (ValueError, OSError) as error:
        raise InputError(
            f"{path}: the header of the array is missing, damaged or not that of the manifest; "
            f"delete the folder of the store and embed again; `mgm run` writes it again by itself "
            f"({error})"
        ) from error
