"""Decoded images kept on the disk: each is decoded and resized once, whatever looks at it.

One file holds the canvases of one image set at one size, another the checksum of each. A canvas is
written before its checksum, and one whose checksum does not fit counts as absent, so that a kill or
a damaged file costs a decoding and no more. Several processes may share a folder: what they write
is the same.
"""

from __future__ import annotations

import hashlib
import json
import os
import zlib
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import PIL

from mgm_jax.errors import InputError
from mgm_jax.images.image_source import ImageSource

_SUMS, _PIXELS = ".sums", ".pixels"


@dataclass(frozen=True, eq=False, kw_only=True)
class CachedCanvases:
    """Canvases of one image set at one size; made by :meth:`CanvasCache.open`.

    Attributes:
        pixels: uint8 ``[n, R, R, 3]``, memory-mapped.
        sums: uint32 ``[n]``, checksum of each canvas; 0 where there is none.
    """

    pixels: np.ndarray = field(repr=False)
    sums: np.ndarray = field(repr=False)

    def read(self, position: int) -> np.ndarray | None:
        """Canvas of an image, uint8 ``[R, R, 3]``; None where it is absent or damaged."""
        held = int(self.sums[position])
        if not held:
            return None
        canvas = np.array(self.pixels[position])
        return canvas if zlib.crc32(canvas.data) == held else None

    def write(self, position: int, canvas: np.ndarray) -> None:
        """Keep the canvas of an image."""
        canvas = np.ascontiguousarray(canvas)
        self.pixels[position] = canvas
        # One canvas in 2^32 has the checksum 0; it is decoded every time.
        self.sums[position] = zlib.crc32(canvas.data)


@dataclass(frozen=True, kw_only=True)
class CanvasCache:
    """A folder of decoded images.

    Attributes:
        folder: where it lies; made when needed. It may be deleted at any time.
        limit: bytes that all canvases may take; the sets not used for longest make room for a new
            one, and a set that is larger than this is not kept.

    Raises:
        InputError: a limit below 0.

    Example:
        >>> import tempfile
        >>> from mgm_jax.images.sources import open_source
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     held = CanvasCache(folder=Path(folder)).open(
        ...         open_source("digits"), resize=8, crop=8, interpolation="bilinear")
        ...     held.write(3, np.ones((8, 8, 3), np.uint8))
        ...     held.read(2), held.read(3).sum()
        (None, np.uint64(192))
    """

    folder: Path
    limit: int = 2**34

    def __post_init__(self) -> None:
        if self.limit < 0:
            raise InputError(f"cache: limit must be at least 0 bytes, got {self.limit}")

    def open(
        self, source: ImageSource, *, resize: int, crop: int, interpolation: str
    ) -> CachedCanvases | None:
        """The canvases of a source, those that are there and place for the others.

        Args:
            source: the images; others with the same content share the file.
            resize: short side of a resized image in pixels.
            crop: side of a canvas.
            interpolation: filter of Pillow, whose version counts too.

        Returns:
            None where the set is larger than the limit.
        """
        shape = (len(source), crop, crop, 3)
        size = int(np.prod(shape)) + 4 * len(source)
        if size > self.limit:
            return None
        facts = [source.digest, resize, crop, interpolation, PIL.__version__]
        name = hashlib.sha256(json.dumps(facts).encode()).hexdigest()[:32]
        self.folder.mkdir(parents=True, exist_ok=True)
        if not (self.folder / f"{name}{_SUMS}").exists():
            self._make_room(size)
        pixels = _mapped(self.folder / f"{name}{_PIXELS}", np.uint8, shape)
        sums = _mapped(self.folder / f"{name}{_SUMS}", np.uint32, shape[:1])
        # When it was last opened, for _make_room.
        os.utime(self.folder / f"{name}{_PIXELS}")
        return CachedCanvases(pixels=pixels, sums=sums)

    def _make_room(self, size: int) -> None:
        """Delete the sets not used for longest, until ``size`` bytes more are within the limit."""
        held = sorted(self.folder.glob(f"*{_PIXELS}"), key=lambda path: path.stat().st_mtime)
        total = sum(path.stat().st_size for path in self.folder.glob("*"))
        for path in held:
            if total + size <= self.limit:
                return
            # The checksums first: pixels without them are absent, the other way round damaged.
            for part in (path.with_suffix(_SUMS), path):
                if part.exists():
                    total -= part.stat().st_size
                    part.unlink(missing_ok=True)


def _mapped(path: Path, dtype: type, shape: tuple[int, ...]) -> np.memmap:
    """A file as a writable array, zeros where nothing was written; it takes no disk for those."""
    size = int(np.prod(shape)) * np.dtype(dtype).itemsize
    with path.open("ab") as file:
        if path.stat().st_size != size:
            file.truncate(size)
    return np.memmap(path, dtype, mode="r+", shape=shape)
