"""Batches of canvases: images decoded, resized and cropped to one shape, ahead of their use.

A canvas is what views are made from: the short side resized with Pillow (antialias), then the
middle square. Decoding and resizing run in threads while the device works on the batch before.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike
from PIL import Image

from mgm_jax.errors import InputError, name_some
from mgm_jax.images.cache import CanvasCache
from mgm_jax.images.image_source import ImageChanged, ImageSource
from mgm_jax.images.transforms.resample import centre_offset
from mgm_jax.parallel.cpus import available_cpus

Interpolation = Literal["bilinear", "bicubic", "nearest"]
OnError = Literal["raise", "skip"]

_FILTERS = {
    "bilinear": Image.Resampling.BILINEAR,
    "bicubic": Image.Resampling.BICUBIC,
    "nearest": Image.Resampling.NEAREST,
}
# Pixels of a resized image; of longer ones only the middle is made.
_MAX_RESIZED = 2**24

# More would only wait for the disk and for each other.
_MAX_THREADS = 16

# Batches that are ready or in the making while one is used.
BATCHES_AHEAD = 2


@dataclass(frozen=True, eq=False, kw_only=True)
class CanvasBatch:
    """A batch of canvases of one fixed shape.

    Attributes:
        images: uint8 ``[b, R, R, 3]``; zeros where a row has no image.
        index: int32 ``[b]``, position in the source; -1 for padding at the end of the last batch
            and for images that could not be decoded. Rows keep the order asked for.
        failures: id and message of each image that could not be decoded.
    """

    images: np.ndarray
    index: np.ndarray
    failures: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, eq=False, kw_only=True)
class _Row:
    position: int
    canvas: np.ndarray | None
    message: str = ""


def make_canvas(
    pixels: np.ndarray, *, resize: int, crop: int, interpolation: Interpolation = "bilinear"
) -> np.ndarray:
    """Resize the short side of an image and cut the middle square out.

    The long side becomes ``floor(resize * long / short)`` pixels, as in torchvision, and the
    filter widens where the image shrinks.

    Args:
        pixels: uint8 ``[h, w, 3]``.
        resize: short side after resizing.
        crop: side of the square, at most ``resize``.
        interpolation: filter of Pillow.

    Returns:
        uint8 ``[crop, crop, 3]``.

    >>> make_canvas(np.zeros((30, 40, 3), np.uint8), resize=12, crop=10).shape
    (10, 10, 3)
    """
    height, width = pixels.shape[:2]
    short = min(height, width)
    new_height, new_width = resize * height // short, resize * width // short
    top, left = centre_offset(new_height, crop), centre_offset(new_width, crop)
    if new_height * new_width > _MAX_RESIZED:
        # Of a long image only what the canvas needs: all of it could be gigabytes. Elsewhere the
        # whole is resized, as torchvision does; that rounds a level differently here and there.
        sizes = (width / new_width, height / new_height) * 2
        edges = (left, top, left + crop, top + crop)
        box = tuple(edge * size for edge, size in zip(edges, sizes, strict=True))
        picture = Image.fromarray(pixels)
        return np.asarray(picture.resize((crop, crop), _FILTERS[interpolation], box=box))
    if (new_height, new_width) != (height, width):
        picture = Image.fromarray(pixels).resize((new_width, new_height), _FILTERS[interpolation])
        pixels = np.asarray(picture)
    return pixels[top : top + crop, left : left + crop]


def canvases(
    source: ImageSource,
    indices: ArrayLike | None = None,
    *,
    resize: int,
    crop: int | None = None,
    interpolation: Interpolation = "bilinear",
    batch_size: int,
    on_error: OnError = "raise",
    threads: int | None = None,
    cache: CanvasCache | None = None,
) -> Iterator[CanvasBatch]:
    """Batches of canvases of some images, in order, prefetched.

    The result does not depend on the number of threads. Arguments are checked at once; reading
    begins with the first batch asked for.

    Args:
        source: where the images are.
        indices: ``[m]`` positions in the source; None for all.
        resize: short side of a resized image in pixels.
        crop: side R of a canvas, at most ``resize``; None for ``resize``.
        interpolation: ``bilinear``, ``bicubic`` or ``nearest``.
        batch_size: rows b of every batch; the last one is padded.
        on_error: what to do about an image that cannot be decoded: ``raise``, or ``skip`` it, mark
            its row and name it in ``failures``. An image whose content changed since the source
            was opened is never skipped.
        threads: number of decoding threads, at least 1; None for one a core, at most 16.
        cache: where canvases are kept for the next time; None for nowhere.

    Returns:
        An iterator over ``ceil(m / b)`` batches.

    Raises:
        InputError: an argument out of range; while iterating, an image that cannot be decoded.
        ImageChanged: while iterating, an image that is not what it was.

    Example:
        >>> from mgm_jax.images.sources.open_source import open_source
        >>> batch = next(canvases(open_source("digits"), [5, 6], resize=16, batch_size=3))
        >>> batch.images.shape, batch.index.tolist()
        ((3, 16, 16, 3), [5, 6, -1])
    """
    crop = resize if crop is None else crop
    threads = min(available_cpus(), _MAX_THREADS) if threads is None else threads
    _check(resize=resize, crop=crop, batch_size=batch_size, threads=threads)
    if interpolation not in _FILTERS:
        raise InputError(f"interpolation must be one of {list(_FILTERS)}; got {interpolation!r}.")
    if on_error not in ("raise", "skip"):
        raise InputError(f"on_error must be 'raise' or 'skip'; got {on_error!r}.")
    positions = np.arange(len(source)) if indices is None else np.asarray(indices)
    if positions.ndim != 1 or (positions.size and positions.dtype.kind not in "iu"):
        raise InputError(f"indices must be a list of whole numbers; got {indices!r}.")
    outside = positions[(positions < 0) | (positions >= len(source))]
    if outside.size:
        raise InputError(
            f"indices must be from 0 to {len(source) - 1} for {source.name}; "
            f"got {name_some(outside)}."
        )

    held = cache and cache.open(source, resize=resize, crop=crop, interpolation=interpolation)

    def load(position: int) -> _Row:
        kept = held.read(position) if held else None
        if kept is not None:
            return _Row(position=position, canvas=kept)
        try:
            canvas = make_canvas(
                source.read(position), resize=resize, crop=crop, interpolation=interpolation
            )
        except ImageChanged:
            raise
        except InputError as error:
            return _Row(position=position, canvas=None, message=str(error))
        if held:
            held.write(position, canvas)
        return _Row(position=position, canvas=canvas)

    def pack(rows: Sequence[_Row]) -> CanvasBatch:
        images = np.zeros((batch_size, crop, crop, 3), np.uint8)
        index = np.full(batch_size, -1, np.int32)
        for position, row in enumerate(rows):
            if row.canvas is not None:
                images[position], index[position] = row.canvas, row.position
        failures = tuple((source.ids[r.position], r.message) for r in rows if r.canvas is None)
        return CanvasBatch(images=images, index=index, failures=failures)

    def batches() -> Iterator[CanvasBatch]:
        most = max(threads, BATCHES_AHEAD * batch_size)
        rows = _ahead(load, [int(p) for p in positions], threads=threads, most=most)
        while several := list(islice(rows, batch_size)):
            batch = pack(several)
            if batch.failures and on_error == "raise":
                raise InputError(
                    f"{batch.failures[0][1]}\nTo leave such images out and count them, skip errors."
                )
            yield batch

    return batches() if positions.size else iter(())


def _ahead(
    load: Callable[[int], _Row], positions: Sequence[int], *, threads: int, most: int
) -> Iterator[_Row]:
    """The rows in order, at most ``most`` of them begun or done before they are asked for."""
    waiting: deque[Future[_Row]] = deque()
    pool = ThreadPoolExecutor(threads)
    try:
        for position in positions:
            waiting.append(pool.submit(load, position))
            if len(waiting) > most:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        # Who stops early waits for what is being decoded, not for what was to come.
        pool.shutdown(cancel_futures=True)


def _check(*, resize: int, crop: int, batch_size: int, threads: int) -> None:
    for name, value in (("resize", resize), ("batch_size", batch_size), ("threads", threads)):
        if value < 1:
            raise InputError(f"{name} must be at least 1; got {value}.")
    if not 1 <= crop <= resize:
        raise InputError(f"crop must be from 1 to resize, {resize}; got {crop}.")
