"""Decoded images kept on the disk: each is decoded and resized once, whatever looks at it.

One file holds the canvases of one image set at one size: a record an image, its pixels and their
checksum. A record whose checksum does not fit counts as absent, so that a kill, a damaged file or
one that is cut short costs a decoding and no more. Several processes may share a folder: what they
write is the same.

Records are read and written by plain calls, not through a memory map: where the disk is full a
call says so, while a map ends the process.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import weakref
import zlib
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import PIL

from mgm_jax.errors import InputError
from mgm_jax.files.whole import out_of_space
from mgm_jax.images.image_source import ImageSource

_SUFFIX = ".canvases"
_SUM = 4  # bytes of a checksum

#: Bytes that all canvases of a folder may take, where nothing else is said.
CACHE_LIMIT = 2**36

# Largest share of the free space that one set may ask for: results come first.
_MAX_SHARE_OF_FREE = 0.5


@dataclass(frozen=True, eq=False, kw_only=True)
class CachedCanvases:
    """Canvases of one image set at one size; made by :meth:`CanvasCache.open`.

    Attributes:
        side: pixels of a side of a canvas, R.
        descriptor: of the file, n records of ``3 R^2 + 4`` bytes; those never written are holes.
    """

    side: int
    descriptor: int = field(repr=False)

    def __post_init__(self) -> None:
        # Closed when nobody can read any more: a thread that decodes ahead may outlive the loop
        # that started it, and the number of a closed file is given to the next one.
        weakref.finalize(self, os.close, self.descriptor)

    @property
    def _record(self) -> int:
        return 3 * self.side**2 + _SUM

    def read(self, position: int) -> np.ndarray | None:
        """Canvas of an image, uint8 ``[R, R, 3]``; None where it is absent or damaged."""
        record = os.pread(self.descriptor, self._record, position * self._record)
        pixels, held = record[:-_SUM], record[-_SUM:]
        # One canvas in 2^32 has the checksum 0, as a hole; it is decoded every time.
        if len(record) < self._record or held == bytes(_SUM) or held != _checksum(pixels):
            return None
        return np.frombuffer(pixels, np.uint8).reshape(self.side, self.side, 3)

    def write(self, position: int, canvas: np.ndarray) -> None:
        """Keep the canvas of an image, where there is room on the disk."""
        pixels = np.ascontiguousarray(canvas).tobytes()
        try:
            # A part of a record, should the disk fill up within it, has the wrong checksum.
            record = pixels + _checksum(pixels)
            os.pwrite(self.descriptor, record, position * self._record)
        except OSError as error:
            # Nothing depends on it; if the results find no room either, their error says so.
            if not out_of_space(error):
                raise


@dataclass(frozen=True, kw_only=True)
class CanvasCache:
    """A folder of decoded images.

    Attributes:
        folder: where it lies; made when needed. It may be deleted at any time.
        limit: bytes that all canvases may take; the sets not used for longest make room for a new
            one. A set that is larger than this, or than half of what is free on the disk, is not
            kept.

    Raises:
        InputError: a limit below 0.

    Example:
        >>> import tempfile
        >>> from mgm_jax.images.sources.open_source import open_source
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     held = CanvasCache(folder=Path(folder)).open(
        ...         open_source("digits"), resize=8, interpolation="bilinear")
        ...     held.write(3, np.ones((8, 8, 3), np.uint8))
        ...     held.read(2), int(held.read(3).sum())
        (None, 192)
    """

    folder: Path
    limit: int = CACHE_LIMIT

    def __post_init__(self) -> None:
        if self.limit < 0:
            raise InputError(f"cache: limit must be at least 0 bytes, got {self.limit}")

    def path(
        self, source: ImageSource, *, resize: int, interpolation: str, crop: int | None = None
    ) -> Path:
        """The file of the canvases of a source, whether it is there or not.

        Args:
            source: the images; others with the same content share the file.
            resize: short side of a resized image in pixels.
            interpolation: filter of Pillow, whose version counts too.
            crop: side of a canvas; None for ``resize``.
        """
        crop = resize if crop is None else crop
        facts = [source.digest, resize, crop, interpolation, PIL.__version__]
        name = hashlib.sha256(json.dumps(facts).encode()).hexdigest()[:32]
        return self.folder / f"{name}{_SUFFIX}"

    def open(
        self, source: ImageSource, *, resize: int, interpolation: str, crop: int | None = None
    ) -> CachedCanvases | None:
        """The canvases of a source, those that are there and place for the others.

        The arguments are those of :meth:`path`.

        Returns:
            None where the set is too large for the limit or the disk.
        """
        side = resize if crop is None else crop
        size = len(source) * (3 * side**2 + _SUM)
        if size > self.limit:
            return None
        path = self.path(source, resize=resize, interpolation=interpolation, crop=crop)
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            if not path.exists():
                if size > _MAX_SHARE_OF_FREE * shutil.disk_usage(self.folder).free:
                    return None
                self._make_room(size)
            # "ab" makes the file and leaves one that another process has made just now.
            with path.open("ab") as file:
                if file.tell() != size:
                    # Records that were never written take no room on the disk.
                    file.truncate(size)
            # When it was last opened, for _make_room.
            os.utime(path)
            return CachedCanvases(side=side, descriptor=os.open(path, os.O_RDWR))
        except OSError as error:
            if not out_of_space(error):
                raise
            return None

    def _make_room(self, size: int) -> None:
        """Delete the sets not used for longest, until ``size`` bytes more are within the limit."""
        files = []
        for path in self.folder.glob(f"*{_SUFFIX}"):
            # Another process may have made room in between.
            with suppress(FileNotFoundError):
                facts = path.stat()
                files.append((facts.st_mtime, facts.st_size, path))
        total = sum(taken for _, taken, _ in files)
        for _, taken, path in sorted(files):
            if total + size <= self.limit:
                return
            # Whoever has it open keeps what is in it.
            path.unlink(missing_ok=True)
            total -= taken


def _checksum(pixels: bytes) -> bytes:
    return zlib.crc32(pixels).to_bytes(_SUM, "little")
