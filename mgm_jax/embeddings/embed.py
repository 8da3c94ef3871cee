"""From images to stored embeddings: every view is made once and goes through every encoder."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, get_args

import jax
import numpy as np
from jax.sharding import Mesh

from mgm_jax.embeddings.batches import OnError, view_batches
from mgm_jax.embeddings.jobs import Job, by_pixels, make_job
from mgm_jax.embeddings.passes import one_pass
from mgm_jax.embeddings.plan import ViewPlan
from mgm_jax.embeddings.store import EmbeddingStore
from mgm_jax.errors import InputError
from mgm_jax.parallel.processes import from_all_processes
from mgm_jax.progress import Bar, progress

if TYPE_CHECKING:
    from mgm_jax.encoders.any_encoder import AnyEncoder
    from mgm_jax.images.cache import CanvasCache
    from mgm_jax.images.sources.open_source import ImageSource


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


def embed(
    encoders: Sequence[AnyEncoder],
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
    save_every: float = 30.0,
) -> EmbedReport:
    """Fill each store with the embeddings that its encoder makes of the planned views.

    Only what is missing or damaged is computed. To read two taps of an encoder, name it
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
        save_every: seconds of work after which the rows of an unfinished chunk are kept: what an
            interruption loses at most, and for every encoder one batch more. 0 keeps them after
            every batch, whatever that costs.

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
        make_job(encoder, source, plan, store, tap=tap, retry=retry, mesh=devices)
        for encoder, store, tap in zip(encoders, stores, taps, strict=True)
    ]
    todo = sum(job.missing_rows for job in jobs)
    skipped = sum(job.own_rows for job in jobs) - todo
    with _shown(bar, plan, todo=todo, skipped=skipped) as bar:
        for sharing in by_pixels(jobs):
            batches = view_batches(
                source,
                plan,
                sorted(frozenset().union(*(job.missing for job in sharing))),
                preprocess=sharing[0].encoder.preprocess,
                batch_views=batch_views,
                on_error=on_error,
                devices=own_devices,
                cache=cache,
                wanted=partial(_lack, sharing) if any(job.parts for job in sharing) else None,
            )
            one_pass(
                sharing,
                batches,
                devices=own_devices,
                on_error=on_error,
                save_every=save_every,
                bar=bar,
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
    with progress(f"embed {plan.setting.name}", total=todo, unit="view", compiles=True) as own:
        yield own


def _lack(jobs: Sequence[Job], chunk: int, rows: np.ndarray) -> bool:
    """Whether some job lacks some of these rows of a chunk."""
    return any(job.lacks(chunk, rows).any() for job in jobs)


def _failures(
    jobs: Iterable[Job], source: ImageSource, plan: ViewPlan
) -> tuple[tuple[str, str], ...]:
    """Each failed image and its reason once, over all stores."""
    failures = {
        (source.ids[plan.indices[row // plan.views]], reason): None
        for job in jobs
        for row, reason in job.store.failures.items()
    }
    return tuple(failures)


def _wait_for_all(mesh: Mesh | None) -> None:
    """Wait until every process of the mesh has come to this line."""
    from_all_processes(np.zeros(1, np.uint8), mesh)
