"""From images to stored embeddings: every view is made once and goes through every encoder."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import groupby
from typing import TYPE_CHECKING, Any, TypeVar, get_args

import jax
import numpy as np
from jax.sharding import Mesh

from mgm_jax.embeddings.batches import OnError, ViewBatch, view_batches
from mgm_jax.embeddings.failure import EncoderFailure
from mgm_jax.embeddings.plan import ViewPlan, manifest_for
from mgm_jax.embeddings.store import EmbeddingStore
from mgm_jax.errors import InputError, name_some
from mgm_jax.processes import from_all_processes
from mgm_jax.progress import Bar, progress

if TYPE_CHECKING:
    from mgm_jax.encoders.encoder import Encoder
    from mgm_jax.images.cache import CanvasCache
    from mgm_jax.images.sources import ImageSource

Item = TypeVar("Item")


@dataclass(frozen=True, kw_only=True)
class EmbedReport:
    """What one call of :func:`embed` did.

    Attributes:
        rows_done: embeddings computed by this call, over all stores.
        rows_skipped: embeddings that were there before, over all stores.
        failures: id of each image that has rows without embedding, and why; also those that an
            earlier call found.
    """

    rows_done: int
    rows_skipped: int
    failures: tuple[tuple[str, str], ...]


@dataclass(frozen=True, kw_only=True)
class _Job:
    """One store to fill, from one tap of one encoder."""

    encoder: Encoder
    store: EmbeddingStore
    own: range
    missing: frozenset[int]

    @property
    def tap(self) -> str:
        return self.store.manifest.tap

    @property
    def missing_rows(self) -> int:
        return self._rows_in(self.missing)

    @property
    def own_rows(self) -> int:
        """Rows of the chunks that are this process's to compute, there or missing."""
        return self._rows_in(self.own)

    def _rows_in(self, chunks: Iterable[int]) -> int:
        slices = map(self.store.manifest.chunk_slice, chunks)
        return sum(rows.stop - rows.start for rows in slices)


def embed(
    encoders: Sequence[Encoder],
    source: ImageSource,
    plan: ViewPlan,
    stores: Sequence[EmbeddingStore],
    *,
    taps: Sequence[str] | None = None,
    batch_views: int = 64,
    on_error: OnError = "raise",
    retry: bool | None = None,
    bar: Bar | None = None,
    devices: Mesh | None = None,
    cache: CanvasCache | None = None,
) -> EmbedReport:
    """Fill each store with the embeddings that its encoder makes of the planned views.

    Only chunks that are missing or damaged are computed. To read two taps of an encoder, name it
    twice, with a store for each: it still runs once.

    Args:
        encoders: encoders ``[e]``; those that look at the same pixels share the views.
        source: the images.
        plan: which views of which images.
        stores: one store per encoder, opened with the manifest of :func:`manifest_for`.
        taps: the layer for each store; by default the one of its manifest.
        batch_views: views per step of an encoder, at most. Another value may change the last
            bits of a result; being interrupted and resumed never does.
        on_error: ``raise`` stops at the first image that cannot be read or whose features are
            NaN or Inf; ``skip`` marks their rows as failed.
        retry: try the images again that an earlier call skipped; by default with ``raise``.
        bar: a bar of a larger job, to be advanced by every view of every store, those that were
            there before at once; by default there is one of its own, for what is computed.
        devices: devices that take turns with whole batches, as ``default_mesh`` names them; None
            for the default one. Every batch has the shape it has on one device, so the embeddings
            are the same whatever their number. Where they belong to several processes, all
            processes call this on one folder of stores that all see; each computes chunks of its
            own, and all return when every chunk is there. A bar moves by this process's views.
        cache: where decoded images are kept, so that other encoders and settings, and a run that
            goes on, need not decode them again; None for nowhere. It changes no bit.

    Raises:
        EncoderFailure: an encoder that raises, or one that gives NaN or Inf with
            ``on_error="raise"``; the other stores can be filled by a call without it.
        InputError: stores that do not fit the encoders, the images and the plan, or an image
            that cannot be read with ``on_error="raise"``.

    Example::

        plan = ViewPlan(indices=range(len(source)), setting=SETTINGS["augs"], views=32)
        store = EmbeddingStore.open(folder, manifest_for(encoder, source, plan))
        embed([encoder], source, plan, [store])
        x = store.read()  # [n, d], n = images * 32
    """
    if batch_views < 1:
        raise InputError(f"embed: batch_views must be 1 or more, got {batch_views}")
    if on_error not in get_args(OnError):
        raise InputError(f"embed: on_error must be 'raise' or 'skip', got {on_error!r}")
    if len(encoders) != len(stores):
        raise InputError(
            "embed: expected one store per encoder, "
            f"got {len(encoders)} encoders and {len(stores)} stores"
        )
    taps = [store.manifest.tap for store in stores] if taps is None else taps
    if len(taps) != len(stores):
        raise InputError(
            f"embed: expected one tap per store, got {len(taps)} taps and {len(stores)} stores"
        )
    own_devices = [None] if devices is None else list(devices.local_devices)
    if not own_devices:
        raise InputError(
            "embed: devices must name some of every process; got none of process "
            f"{jax.process_index()}. Take default_mesh()."
        )
    retry = on_error == "raise" if retry is None else retry
    jobs = [
        _make_job(encoder, source, plan, store, tap=tap, retry=retry, mesh=devices)
        for encoder, store, tap in zip(encoders, stores, taps, strict=True)
    ]
    todo = sum(job.missing_rows for job in jobs)
    skipped = sum(job.own_rows for job in jobs) - todo
    with _shown(bar, plan, todo=todo, skipped=skipped) as bar:
        _compute(
            jobs,
            source,
            plan,
            batch_views=batch_views,
            on_error=on_error,
            bar=bar,
            devices=own_devices,
            cache=cache,
        )
    # The failures of all chunks are asked for, also of those that others compute.
    _wait_for_all(devices)
    return EmbedReport(rows_done=todo, rows_skipped=skipped, failures=_failures(jobs, source, plan))


@contextmanager
def _shown(bar: Bar | None, plan: ViewPlan, *, todo: int, skipped: int) -> Iterator[Bar]:
    """The caller's bar, moved past what is there already, or a new one for what is left."""
    if bar is not None:
        bar.advance(skipped)
        yield bar
        return
    with progress(f"embed {plan.setting.name}", total=todo, unit="view") as own:
        yield own


def _make_job(
    encoder: Encoder,
    source: ImageSource,
    plan: ViewPlan,
    store: EmbeddingStore,
    *,
    tap: str,
    retry: bool,
    mesh: Mesh | None,
) -> _Job:
    """Check that the store is the encoder's, and find the chunks that must be computed."""
    held = store.manifest
    wanted = manifest_for(encoder, source, plan, tap=tap, dtype=held.dtype)
    if held != wanted:
        raise InputError(
            f"embed: the store {store.folder} is not for {encoder.name} and this plan: "
            f"{'; '.join(held.differences(wanted))} (here = in the store, there = asked for)"
        )
    missing = set(store.missing())
    if retry:
        missing.update(row // held.chunk_rows for row in store.failures)
    own = range(held.chunks)
    if mesh is not None and mesh.is_multi_process:
        # By number, not by place among the missing: another process may see other chunks missing.
        own = own[jax.process_index() :: jax.process_count()]
    return _Job(encoder=encoder, store=store, own=own, missing=frozenset(missing) & set(own))


def _compute(
    jobs: Sequence[_Job],
    source: ImageSource,
    plan: ViewPlan,
    *,
    batch_views: int,
    on_error: OnError,
    bar: Bar,
    devices: Sequence[Any],
    cache: CanvasCache | None,
) -> None:
    """Compute and write every missing chunk of every job."""
    for sharing in _by_pixels(jobs):
        batches = view_batches(
            source,
            plan,
            sorted(frozenset().union(*(job.missing for job in sharing))),
            preprocess=sharing[0].encoder.preprocess,
            batch_views=batch_views,
            on_error=on_error,
            devices=devices,
            cache=cache,
        )
        # Every device starts on its next batch before the host fetches the one before.
        steps = _ahead(_forward(sharing, batches, devices), count=len(devices))
        for chunk, of_chunk in groupby(steps, key=lambda step: step[0].chunk):
            _write_chunk(chunk, of_chunk, _lacking(sharing, chunk), on_error, bar)


def _by_pixels(jobs: Iterable[_Job]) -> list[list[_Job]]:
    """Jobs with work to do, together where their encoders look at the same pixels."""
    groups: dict[tuple[int, int, str], list[_Job]] = {}
    for job in jobs:
        input_ = job.encoder.preprocess
        groups.setdefault((input_.size, input_.resize, input_.interpolation), []).append(job)
    return [group for group in groups.values() if any(job.missing for job in group)]


def _lacking(jobs: Iterable[_Job], chunk: int) -> list[_Job]:
    return [job for job in jobs if chunk in job.missing]


def _forward(
    jobs: list[_Job], batches: Iterable[ViewBatch], devices: Sequence[Any]
) -> Iterator[tuple[ViewBatch, list[jax.Array]]]:
    """Start each batch through the encoders whose stores lack its chunk.

    Yields:
        The batch, and one array ``[b, d]`` for each of those jobs, in their order.
    """
    taps: dict[str, tuple[str, ...]] = {}
    for job in jobs:
        known = taps.get(job.encoder.digest, ())
        taps[job.encoder.digest] = tuple(dict.fromkeys((*known, job.tap)))
    # Weights go to each device once.
    placed: dict[tuple[str, int], Encoder] = {}
    for batch in batches:
        lacking = _lacking(jobs, batch.chunk)
        networks = {job.encoder.digest: job.encoder for job in lacking}
        for digest, encoder in networks.items():
            key = digest, batch.place
            if key not in placed:
                placed[key] = _on_device(encoder, devices[batch.place])
        # All taps are read, also where a store has the chunk: the same compiled program runs
        # whatever is missing, and gives the same bits.
        features = {
            digest: _features(placed[digest, batch.place], batch.views, taps[digest])
            for digest in networks
        }
        yield batch, [features[job.encoder.digest][job.tap] for job in lacking]


def _features(encoder: Encoder, views: jax.Array, taps: tuple[str, ...]) -> dict[str, jax.Array]:
    try:
        return encoder.features(views, taps=taps)
    except Exception as error:
        raise _raised(encoder, error) from error


def _raised(encoder: Encoder, error: Exception) -> EncoderFailure:
    # XLA's messages run over pages; the first lines say what it was.
    said = "\n".join(str(error).splitlines()[:3])
    return EncoderFailure(
        f"{encoder.name} raised {type(error).__name__}: {said}", encoder=encoder.digest
    )


def _write_chunk(
    chunk: int,
    steps: Iterable[tuple[ViewBatch, list[jax.Array]]],
    jobs: list[_Job],
    on_error: OnError,
    bar: Bar,
) -> None:
    """Gather the batches of one chunk and write it to the stores that lack it."""
    rows = jobs[0].store.manifest.chunk_slice(chunk)
    shapes = [(rows.stop - rows.start, job.store.manifest.width) for job in jobs]
    blocks = [
        np.full(shape, np.nan, job.store.dtype) for job, shape in zip(jobs, shapes, strict=True)
    ]
    unread: dict[int, str] = {}
    for batch, features in steps:
        unread.update(batch.failed)
        real = batch.rows >= 0
        for job, block, found in zip(jobs, blocks, features, strict=True):
            try:
                # Work that was started earlier may fail only now, when its result is fetched.
                block[batch.rows[real]] = np.asarray(found)[real]
            except Exception as error:
                raise _raised(job.encoder, error) from error
        bar.advance(int(real.sum()) * len(jobs))
    for job, block in zip(jobs, blocks, strict=True):
        not_finite = _not_finite(job, block, unread)
        if not_finite and on_error == "raise":
            named = name_some(rows.start + row for row in not_finite)
            raise EncoderFailure(
                f"embed: {next(iter(not_finite.values()))} for rows {named} of {job.store.folder}; "
                "check the weights, store float32 instead of bfloat16, or skip such rows with "
                "on_error='skip'",
                encoder=job.encoder.digest,
                tap=job.tap,
            )
        job.store.write(chunk, block, failed={**not_finite, **unread})


def _not_finite(job: _Job, block: np.ndarray, unread: dict[int, str]) -> dict[int, str]:
    """Rows of images that were read but whose features are NaN or Inf, with the reason."""
    bad = np.flatnonzero(~np.isfinite(block).all(axis=1)).tolist()
    reason = f"{job.encoder.name} gives NaN or Inf at {job.tap} ({job.store.manifest.dtype})"
    return {row: reason for row in bad if row not in unread}


def _failures(
    jobs: Iterable[_Job], source: ImageSource, plan: ViewPlan
) -> tuple[tuple[str, str], ...]:
    """Each failed image and its reason once, over all stores."""
    found = {
        (source.ids[plan.indices[row // plan.views]], reason): None
        for job in jobs
        for row, reason in job.store.failures.items()
    }
    return tuple(found)


def _on_device(encoder: Encoder, device: Any) -> Encoder:
    if device is None:
        return encoder
    return replace(encoder, params=jax.device_put(encoder.params, device))


def _wait_for_all(mesh: Mesh | None) -> None:
    """Wait until every process of the mesh has come to this line."""
    from_all_processes(np.zeros(1, np.uint8), mesh)


def _ahead(items: Iterable[Item], *, count: int) -> Iterator[Item]:
    """The same items, each handed out only after the ``count`` behind it have been made."""
    waiting: deque[Item] = deque()
    for item in items:
        waiting.append(item)
        if len(waiting) > count:
            yield waiting.popleft()
    yield from waiting
