"""One pass over the views for all encoders that look at the same pixels."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import groupby
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

import jax
import numpy as np

from mgm_jax.embeddings.batches import OnError, ViewBatch
from mgm_jax.embeddings.failure import EncoderFailure
from mgm_jax.embeddings.jobs import Job
from mgm_jax.embeddings.parts import Part
from mgm_jax.errors import name_some
from mgm_jax.progress import Bar

if TYPE_CHECKING:
    from mgm_jax.encoders.any_encoder import AnyEncoder

Item = TypeVar("Item")

# Keeping parts takes at most this share of the time, however slow the disk is.
_MAX_SHARE_OF_TIME = 0.05


class _Step(NamedTuple):
    """A batch, and what each job that lacks some of it gets, as started on the device."""

    batch: ViewBatch
    features: dict[int, jax.Array]


def one_pass(
    jobs: Sequence[Job],
    batches: Iterable[ViewBatch],
    *,
    devices: Sequence[Any],
    on_error: OnError,
    save_every: float,
    bar: Bar,
) -> None:
    """Send every batch through the encoders whose stores lack it, and write finished chunks.

    Args:
        jobs: stores whose encoders look at the same pixels.
        batches: the views, chunk after chunk.
        devices: what the batches lie on in turn.
        on_error: what to do about features that are NaN or Inf.
        save_every: seconds of work after which the rows of an unfinished chunk are kept; 0 keeps
            them after every batch, whatever that costs.
        bar: advanced by every row of every store.

    Raises:
        EncoderFailure: an encoder raises, or gives NaN or Inf with ``on_error="raise"``.
    """
    # Every device starts on its next batch before the host fetches the one before.
    steps = _ahead(_forward(jobs, batches, devices), count=len(devices))
    for chunk, of_chunk in groupby(steps, key=lambda step: step.batch.chunk):
        _write_chunk(chunk, of_chunk, jobs, on_error=on_error, save_every=save_every, bar=bar)


def _forward(
    jobs: Sequence[Job], batches: Iterable[ViewBatch], devices: Sequence[Any]
) -> Iterator[_Step]:
    """Start each batch through the encoders whose stores lack some of it."""
    taps: dict[str, tuple[str, ...]] = {}
    for job in jobs:
        known = taps.get(job.encoder.digest, ())
        taps[job.encoder.digest] = tuple(dict.fromkeys((*known, job.tap)))
    # Weights go to each device once.
    on_devices: dict[tuple[str, int], AnyEncoder] = {}
    for batch in batches:
        lacking = {
            index: job for index, job in enumerate(jobs) if job.lacks(batch.chunk, batch.rows).any()
        }
        networks = {job.encoder.digest: job.encoder for job in lacking.values()}
        for digest, encoder in networks.items():
            key = digest, batch.device_index
            if key not in on_devices:
                on_devices[key] = _on_device(encoder, devices[batch.device_index])
        # All taps are read, also where a store has the rows: the same compiled program runs
        # whatever is missing, and gives the same bits.
        features = {
            digest: _features(on_devices[digest, batch.device_index], batch.views, taps[digest])
            for digest in networks
        }
        yield _Step(
            batch,
            {index: features[job.encoder.digest][job.tap] for index, job in lacking.items()},
        )


def _write_chunk(
    chunk: int,
    steps: Iterable[_Step],
    jobs: Sequence[Job],
    *,
    on_error: OnError,
    save_every: float,
    bar: Bar,
) -> None:
    """Gather the batches of one chunk and write it to the stores that lack it."""
    blocks = {index: _Block(job, chunk) for index, job in enumerate(jobs) if chunk in job.missing}
    try:
        for batch, features in steps:
            for index, rows in features.items():
                block = blocks[index]
                block.fill(batch, rows)
                block.save_if_due(every=save_every)
                bar.advance(int(block.job.lacks(chunk, batch.rows).sum()))
    except KeyboardInterrupt:
        # A run that is asked to stop goes on from its last batch.
        for block in blocks.values():
            block.save()
        raise
    for block in blocks.values():
        block.commit(on_error)


class _Block:
    """The rows of one chunk of one store while they come in."""

    def __init__(self, job: Job, chunk: int) -> None:
        self.job, self._chunk = job, chunk
        held = job.store.manifest
        self._rows = held.chunk_slice(chunk)
        size = self._rows.stop - self._rows.start
        self._values = np.full((size, held.width), np.nan, job.store.dtype)
        self._done = np.zeros(size, bool)
        # Rows whose image could not be read, and why.
        self._unread: dict[int, str] = {}
        if chunk in job.parts:
            part = job.parts[chunk]
            self._values[part.rows], self._done[part.rows] = part.values, True
        self._saved, self._pause = time.monotonic(), 0.0

    def fill(self, batch: ViewBatch, rows: jax.Array) -> None:
        """Fetch the features of a batch."""
        self._unread.update(batch.failed)
        real = batch.rows >= 0
        try:
            # Work that was started earlier may fail only now, when its result is fetched.
            self._values[batch.rows[real]] = np.asarray(rows)[real]
        except Exception as error:
            raise _raised(self.job.encoder, error) from error
        self._done[batch.rows[real]] = True

    def save_if_due(self, *, every: float) -> None:
        """Keep what there is, so that a run that is stopped loses seconds."""
        begin = time.monotonic()
        if every and begin - self._saved < max(every, self._pause):
            return
        self.save()
        self._saved = time.monotonic()
        self._pause = (self._saved - begin) / _MAX_SHARE_OF_TIME

    def save(self) -> None:
        """Keep the rows that are done."""
        # Rows that have failed are left out: they are tried again.
        good = self._done & np.isfinite(self._values).all(axis=1)
        good[list(self._unread)] = False
        rows = np.flatnonzero(good)
        if len(rows):
            self.job.store.save_part(self._chunk, Part(rows=rows, values=self._values[rows]))

    def commit(self, on_error: OnError) -> None:
        """Write the chunk, which all batches have come in for."""
        store, job = self.job.store, self.job
        not_finite = self._not_finite()
        if not_finite and on_error == "raise":
            named = name_some(self._rows.start + row for row in not_finite)
            raise EncoderFailure(
                f"embed: {next(iter(not_finite.values()))} for rows {named} of {store.folder}; "
                "check the weights, store float32 instead of bfloat16, or skip such rows with "
                "on_error='skip'",
                encoder=job.encoder.digest,
                tap=job.tap,
            )
        store.write(self._chunk, self._values, failed={**not_finite, **self._unread})

    def _not_finite(self) -> dict[int, str]:
        """Rows of images that were read but whose features are NaN or Inf, with the reason."""
        bad = np.flatnonzero(~np.isfinite(self._values).all(axis=1)).tolist()
        reason = (
            f"{self.job.encoder.name} gives NaN or Inf at {self.job.tap} "
            f"({self.job.store.manifest.dtype})"
        )
        return {row: reason for row in bad if row not in self._unread}


def _features(encoder: AnyEncoder, views: jax.Array, taps: tuple[str, ...]) -> dict[str, jax.Array]:
    try:
        return encoder.features(views, taps=taps)
    except Exception as error:
        raise _raised(encoder, error) from error


def _raised(encoder: AnyEncoder, error: Exception) -> EncoderFailure:
    # XLA's messages run over pages; the first lines say what it was.
    said = "\n".join(str(error).splitlines()[:3])
    return EncoderFailure(
        f"{encoder.name} raised {type(error).__name__}: {said}", encoder=encoder.digest
    )


def _on_device(encoder: AnyEncoder, device: Any) -> AnyEncoder:
    if device is None:
        return encoder
    return replace(encoder, params=jax.device_put(encoder.params, device))


def _ahead(items: Iterable[Item], *, count: int) -> Iterator[Item]:
    """The same items, each handed out only after the ``count`` behind it have been made."""
    waiting: deque[Item] = deque()
    for item in items:
        waiting.append(item)
        if len(waiting) > count:
            yield waiting.popleft()
    yield from waiting
