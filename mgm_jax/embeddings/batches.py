"""The views of missing chunks, as a stream of batches of one fixed shape.

Batches never cross a chunk and are always of the same shape (padded), so the numbers that come out
of an encoder do not depend on which chunks an earlier run had finished.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import cycle
from typing import TYPE_CHECKING, Any, Literal

import jax
import numpy as np

from mgm_jax.embeddings.plan import ViewPlan
from mgm_jax.images.loader import canvases
from mgm_jax.images.views import image_key, make_views

if TYPE_CHECKING:
    from mgm_jax.encoders.spec import Preprocess
    from mgm_jax.images.cache import CanvasCache
    from mgm_jax.images.sources.open_source import ImageSource

OnError = Literal["raise", "skip"]


@dataclass(frozen=True, kw_only=True)
class ViewBatch:
    """Views of some images of one chunk.

    Attributes:
        chunk: number of the chunk.
        views: ``[b, s, s, 3]`` float32 in [0, 1], on the device.
        rows: ``[b]`` int, the row within the chunk that each view is for; -1 for padding.
        failed: rows within the chunk whose image could not be read, and why.
        device_index: number of the device they lie on, among those the batches take turns on.
    """

    chunk: int
    views: jax.Array
    rows: np.ndarray
    failed: dict[int, str]
    device_index: int = 0


def batch_shape(plan: ViewPlan, *, batch_views: int) -> tuple[int, int]:
    """Images, and views of each, in every batch: at most ``batch_views`` views in all.

    The parts of a chunk are made equal, so that little is padding. The shape follows from the
    plan alone, never from what is still missing.

    >>> from mgm_jax.images.settings import SETTINGS
    >>> plan = ViewPlan(indices=range(100), setting=SETTINGS["augs"], views=32, chunk_images=60)
    >>> batch_shape(plan, batch_views=256), batch_shape(plan, batch_views=20)
    ((8, 32), (1, 16))
    """
    views = _equal_part(plan.views, most=batch_views)
    chunk_images = min(plan.chunk_images, len(plan.indices))
    return _equal_part(chunk_images, most=max(1, batch_views // views)), views


def view_batches(
    source: ImageSource,
    plan: ViewPlan,
    chunks: Sequence[int],
    *,
    preprocess: Preprocess,
    batch_views: int,
    on_error: OnError,
    devices: Sequence[Any] = (None,),
    cache: CanvasCache | None = None,
    wanted: Callable[[int, np.ndarray], bool] | None = None,
) -> Iterator[ViewBatch]:
    """Make every view of the given chunks once, chunk by chunk.

    Args:
        source: the images.
        plan: which views of which images.
        chunks: numbers of the chunks, in the order wanted.
        preprocess: sizes and interpolation of the encoders that will look at the views.
        batch_views: views per batch, at most.
        on_error: ``raise`` stops at an image that cannot be read, ``skip`` names it in the batch.
        devices: devices that batches are made on in turn; None for the default one.
        cache: where decoded images are kept; None for nowhere.
        wanted: whether a batch is to be made at all, by its chunk and its rows within the chunk
            (-1 for padding); None for all.

    Raises:
        InputError: an image cannot be read and ``on_error="raise"``.
    """
    images, views = batch_shape(plan, batch_views=batch_views)
    parts = []
    for chunk in chunks:
        of_chunk = plan.chunk_indices(chunk)
        for first in range(0, len(of_chunk), images):
            part = of_chunk[first : first + images]
            steps = {
                start: _rows(plan, first, len(part), images, np.arange(start, start + views))
                for start in range(0, plan.views, views)
            }
            if wanted is not None:
                steps = {start: rows for start, rows in steps.items() if wanted(chunk, rows)}
            if steps:
                parts.append((chunk, first, part, steps))
    # One stream for all chunks keeps the decoding threads busy across their borders. A short
    # part is filled up with its last image.
    padded = [part + part[-1:] * (images - len(part)) for _, _, part, _ in parts]
    decoded = canvases(
        source,
        np.concatenate(padded) if padded else np.zeros(0, int),
        resize=preprocess.resize,
        interpolation=preprocess.interpolation,
        batch_size=images,
        on_error=on_error,
        cache=cache,
    )
    turns = cycle(enumerate(devices))
    for (chunk, first, part, steps), indices, canvas in zip(parts, padded, decoded, strict=True):
        keys = np.array([image_key(source.ids[index]) for index in indices], np.int64)
        failed = _failed_rows(source, plan, first, part, canvas.index, dict(canvas.failures))
        for start, rows in steps.items():
            numbers = np.arange(start, start + views)
            device_index, device = next(turns)
            made = make_views(
                canvas.images if device is None else jax.device_put(canvas.images, device),
                keys,
                np.minimum(numbers, plan.views - 1),
                setting=plan.setting,
                strength=plan.strength,
                seed=plan.seed,
                size=preprocess.size,
            )
            yield ViewBatch(
                chunk=chunk,
                views=made.reshape(-1, *made.shape[2:]),
                rows=rows,
                failed=failed,
                device_index=device_index,
            )


def _rows(plan: ViewPlan, first: int, real: int, images: int, numbers: np.ndarray) -> np.ndarray:
    """Row within the chunk of each view of a batch, ``[images * views]``; -1 for padding."""
    image = np.arange(images)[:, None]
    rows = (first + image) * plan.views + numbers
    return np.where((image < real) & (numbers < plan.views), rows, -1).ravel()


def _failed_rows(
    source: ImageSource,
    plan: ViewPlan,
    first: int,
    part: Sequence[int],
    decoded: np.ndarray,
    reasons: dict[str, str],
) -> dict[int, str]:
    """All rows of the images of a part that the loader could not decode."""
    failed = {}
    for position, index in enumerate(part):
        if decoded[position] < 0:
            reason = reasons.get(source.ids[index], "cannot be read")
            start = (first + position) * plan.views
            failed.update(dict.fromkeys(range(start, start + plan.views), reason))
    return failed


def _equal_part(total: int, *, most: int) -> int:
    """Size of a part when ``total`` is cut into as few and as equal parts of ``most`` as can be."""
    parts = -(-total // most)
    return -(-total // parts)
