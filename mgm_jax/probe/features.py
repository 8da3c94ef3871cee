"""Features that a probe reads, wherever they are: in memory, in a file, in a store.

Rows are chosen and joined without being read. A block of them is read at a time, the next one
while the last is worked on.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Protocol, TypeVar, runtime_checkable

import jax
import jax.numpy as jnp
import numpy as np

from mgm_jax.errors import InputError, name_some
from mgm_jax.geometry.points.checks import check_points, is_real
from mgm_jax.geometry.points.rounding import refuse_lost_digits
from mgm_jax.geometry.points.tensors import off_torch
from mgm_jax.parallel.devices import fetch, fetch_rows
from mgm_jax.probe.logistic.loss import CHUNK

MEMORY_LIMIT = 2**31
"""Bytes of features, as float32, up to which probes hold them in memory."""

# What a block takes: long enough a product to hide the reading of the next.
_BLOCK_BYTES = 2**26
# Rows of a store between two that are wanted are read along up to here.
_WINDOW = 4096

Result = TypeVar("Result")


@runtime_checkable
class RowReader(Protocol):
    """Features that are read by rows, such as an ``EmbeddingStore``."""

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and features, ``(n, d)``."""
        ...

    def read(self, rows: slice, /) -> np.ndarray:
        """Rows ``[m, d]`` of a slice of step 1."""
        ...


@dataclass(frozen=True, eq=False)
class _Part:
    """Rows of one source; all of them where ``rows`` is None."""

    name: str
    source: Any
    rows: np.ndarray | None

    def __len__(self) -> int:
        return self.source.shape[0] if self.rows is None else self.rows.size

    def read(self, start: int, stop: int) -> np.ndarray:
        """Rows as they are in the source, ``[m, d]``."""
        if self.rows is None:
            return self._slice(start, stop)
        wanted = self.rows[start:stop]
        if isinstance(self.source, np.ndarray | jax.Array):
            return np.asarray(fetch_rows(self.source, wanted))
        order = np.argsort(wanted, kind="stable")
        rising, result, at = wanted[order], None, 0
        while at < rising.size:
            first = int(rising[at])
            end = int(np.searchsorted(rising, first + max(wanted.size, _WINDOW)))
            piece = self._slice(first, int(rising[end - 1]) + 1)
            if result is None:
                result = np.empty((wanted.size, piece.shape[1]), piece.dtype)
            result[order[at:end]] = piece[rising[at:end] - first]
            at = end
        return self._slice(0, 0) if result is None else result

    def _slice(self, start: int, stop: int) -> np.ndarray:
        rows = slice(start, stop)
        try:
            if isinstance(self.source, jax.Array):
                block = fetch_rows(self.source, np.arange(start, stop))
            elif hasattr(self.source, "__getitem__"):
                block = np.asarray(self.source[rows])
            else:
                block = np.asarray(self.source.read(rows))
        except OSError as error:
            raise InputError(
                f"{self.name}: rows {start} to {stop - 1} cannot be read ({error}). Repair the "
                "file, or embed again."
            ) from error
        expected = stop - start, self.source.shape[1]
        if block.shape != expected:
            raise InputError(
                f"{self.name}: rows {start} to {stop - 1} must have shape {expected}, as the "
                f"{tuple(self.source.shape)} of the whole say; got {block.shape}. The file or "
                "store is cut short or was changed."
            )
        return block


@dataclass(frozen=True, eq=False)
class Features:
    """Rows of features of one source, or of several one after the other; made by :meth:`of`.

    Attributes:
        parts: where the rows are.

    >>> x = Features.of(np.arange(8.0).reshape(4, 2))
    >>> x.take(np.array([3, 0])).whole().tolist()
    [[6.0, 7.0], [0.0, 1.0]]
    """

    parts: tuple[_Part, ...]

    @classmethod
    def of(cls, x: Any, *, name: str = "x") -> Features:
        """Features from anything that holds rows; a file or a store is not read.

        Args:
            x: ``[n, d]``: an array (NumPy, memory-mapped, JAX, PyTorch), a ``RowReader``, anything
                with ``shape``, ``dtype`` and slices such as an array of zarr or h5py, a data frame,
                a list of rows; or ``Features``.
            name: what errors call it.

        Raises:
            InputError: no rows of features.
        """
        if isinstance(x, Features):
            return cls(tuple(replace(part, name=name) for part in x.parts))
        x = off_torch(x, name=name)
        sliced = all(hasattr(x, one) for one in ("shape", "dtype", "__getitem__"))
        # What looks so, and has rows that NumPy does not read as they are.
        sliced &= not (hasattr(x, "tocsr") or isinstance(x, np.ma.MaskedArray))
        source = x if isinstance(x, RowReader) or sliced else check_points(x, name=name)
        if len(source.shape) != 2 or source.shape[0] < 1 or source.shape[1] < 1:
            raise InputError(
                f"{name} must have two axes, rows by features, and some of each; "
                f"got shape {tuple(source.shape)}."
            )
        return cls((_Part(name, source, None),))

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and features, ``(n, d)``."""
        return sum(map(len, self.parts)), self.parts[0].source.shape[1]

    @property
    def nbytes(self) -> int:
        """Bytes of all rows as float32."""
        return 4 * self.shape[0] * self.shape[1]

    def take(self, rows: np.ndarray) -> Features:
        """Some rows, in this order.

        Args:
            rows: ``[m]`` int, places among these rows, 0 to n - 1; or ``[n]`` bool.

        Raises:
            InputError: places that there are not, or a mask of another length.
        """
        n, rows = self.shape[0], np.asarray(rows)
        mask = rows.dtype == bool
        positions = np.flatnonzero(rows) if mask else rows.astype(np.int64)
        if (
            rows.ndim != 1
            or (mask and rows.size != n)
            or ((positions < 0) | (positions >= n)).any()
        ):
            raise InputError(
                f"rows of {self.parts[0].name} must be places from 0 to {n - 1}, or a mask of "
                f"{n}; got others."
            )
        ends = np.cumsum([len(part) for part in self.parts])
        owner = np.searchsorted(ends, positions, side="right")
        parts = []
        # Runs of places in one part.
        for run in np.split(np.arange(positions.size), np.flatnonzero(np.diff(owner)) + 1):
            if run.size:
                part = self.parts[owner[run[0]]]
                own = positions[run] - (ends[owner[run[0]]] - len(part))
                parts.append(replace(part, rows=own if part.rows is None else part.rows[own]))
        return Features(tuple(parts) or (replace(self.parts[0], rows=positions),))

    def join(self, other: Features) -> Features:
        """These rows and then those of another.

        Raises:
            InputError: another width.
        """
        if other.shape[1] != self.shape[1]:
            raise InputError(
                f"{other.parts[0].name} must have {self.shape[1]} columns, as "
                f"{self.parts[0].name}; got {other.shape[1]}."
            )
        return Features(self.parts + other.parts)

    def read(self, start: int, stop: int) -> np.ndarray:
        """Rows from start to before stop, ``[m, d]`` float32.

        Raises:
            InputError: rows that cannot be read, or that hold NaN or infinity.
        """
        blocks, before = [], 0
        for part in self.parts:
            first, last = max(start - before, 0), min(stop - before, len(part))
            if first < last:
                blocks.append(_checked(part, part.read(first, last), first))
            before += len(part)
        return blocks[0] if len(blocks) == 1 else np.concatenate(blocks)

    def whole(self) -> np.ndarray:
        """All rows, ``[n, d]`` float32; a float32 array itself where they are one."""
        part = self.parts[0]
        array = isinstance(part.source, np.ndarray | jax.Array)
        if len(self.parts) == 1 and part.rows is None and array:
            return np.asarray(fetch(check_points(part.source, name=part.name)), np.float32)
        n, d = self.shape
        size, whole = block_rows_for(d), np.empty((n, d), np.float32)
        for start in range(0, n, size):
            whole[start : start + size] = self.read(start, min(start + size, n))
        return whole

    def blocks(
        self, rows: int | None, then: Callable[[slice, np.ndarray], Any] = lambda _, block: block
    ) -> Iterator[tuple[slice, Any]]:
        """Hand out all rows, block by block; the next is read while one is worked on.

        Args:
            rows: of a block; None for all of them in one.
            then: what else is done with a block while the one before is worked on.

        Yields:
            Places of the rows, and the block ``[m, d]`` float32 or what ``then`` made of it.
        """
        n = self.shape[0]
        if rows is None:
            yield slice(0, n), then(slice(0, n), self.whole())
            return
        positions = [slice(start, min(start + rows, n)) for start in range(0, n, rows)]

        def one(rows_of: slice) -> tuple[slice, Any]:
            return rows_of, then(rows_of, self.read(rows_of.start, rows_of.stop))

        yield from _ahead(partial(one, rows_of) for rows_of in positions)


def block_rows_for(width: int) -> int:
    """Rows of a block of about 64 MiB.

    >>> block_rows_for(2048), block_rows_for(10**6)
    (8192, 16)
    """
    rows = max(1, _BLOCK_BYTES // (4 * width))
    return rows if rows < CHUNK else rows // CHUNK * CHUNK


def _checked(part: _Part, values: np.ndarray, start: int) -> np.ndarray:
    """Rows as float32, refused where they are no finite numbers."""
    if not is_real(values.dtype):
        raise InputError(f"{part.name} must hold real numbers; got dtype {values.dtype}.")
    with np.errstate(over="ignore", invalid="ignore"):
        block = values.astype(np.float32, copy=False)
        # A sum hands on NaN and infinity.
        doubtful = not np.isfinite(block.sum())
    if doubtful:
        bad = start + np.flatnonzero(~np.isfinite(block).all(axis=1))
        if bad.size:
            # As the source counts its rows.
            named = name_some(bad if part.rows is None else part.rows[bad])
            raise InputError(
                f"{part.name} must have finite values; got NaN or infinity in rows {named} of "
                f"{part.source.shape[0]}. Leave these rows out, or repair what produced them."
            )
    if values.dtype not in (np.float32, jnp.bfloat16):
        last = start + len(block) - 1
        refuse_lost_digits(values, block, name=f"{part.name}, rows {start} to {last},")
    return block


def _ahead(calls: Iterable[Callable[[], Result]]) -> Iterator[Result]:
    """Results of calls in their order; each is made while the one before is worked on."""
    with ThreadPoolExecutor(1, thread_name_prefix="mgm-jax-read") as pool:
        waiting = None
        for call in calls:
            following = pool.submit(call)
            if waiting is not None:
                yield waiting.result()
            waiting = following
        if waiting is not None:
            yield waiting.result()
