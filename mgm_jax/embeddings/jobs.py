"""What is left to do for each store: missing chunks, and what is kept of them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import jax
import numpy as np
from jax.sharding import Mesh

from mgm_jax.embeddings.parts import Part
from mgm_jax.embeddings.plan import ViewPlan, manifest_for
from mgm_jax.embeddings.store import EmbeddingStore
from mgm_jax.errors import InputError

if TYPE_CHECKING:
    from mgm_jax.encoders.any_encoder import AnyEncoder
    from mgm_jax.images.sources.open_source import ImageSource


@dataclass(frozen=True, kw_only=True, eq=False)
class Job:
    """One store to fill, from one tap of one encoder.

    Attributes:
        encoder: the encoder.
        store: the store.
        own: chunks that are this process's to compute, there or missing.
        missing: those of them that are not there.
        parts: rows of missing chunks that an earlier run had finished.
    """

    encoder: AnyEncoder
    store: EmbeddingStore
    own: range
    missing: frozenset[int]
    parts: dict[int, Part]

    @property
    def tap(self) -> str:
        """The layer that is read."""
        return self.store.manifest.tap

    @property
    def missing_rows(self) -> int:
        """Rows to compute."""
        kept = sum(len(part.rows) for part in self.parts.values())
        return self._rows_in(self.missing) - kept

    @property
    def own_rows(self) -> int:
        """Rows of the chunks that are this process's to compute, there or missing."""
        return self._rows_in(self.own)

    def lacks(self, chunk: int, rows: np.ndarray) -> np.ndarray:
        """Which rows of a chunk must be computed, ``[b]`` bool; -1 among them is padding."""
        if chunk not in self.missing:
            return np.zeros(len(rows), bool)
        part = self.parts.get(chunk)
        kept = part.rows if part else np.empty(0, np.int64)
        return (rows >= 0) & ~np.isin(rows, kept)

    def _rows_in(self, chunks: Iterable[int]) -> int:
        slices = map(self.store.manifest.chunk_slice, chunks)
        return sum(rows.stop - rows.start for rows in slices)


def make_job(
    encoder: AnyEncoder,
    source: ImageSource,
    plan: ViewPlan,
    store: EmbeddingStore,
    *,
    tap: str,
    retry: bool,
    mesh: Mesh | None,
) -> Job:
    """Check that the store is the encoder's, and find what must be computed.

    Raises:
        InputError: the store is for another encoder, other images or another plan.
    """
    held = store.manifest
    wanted = manifest_for(encoder, source, plan, tap=tap, dtype=held.dtype)
    if held != wanted:
        raise InputError(
            f"embed: the store {store.folder} is not for {encoder.name} and this plan: "
            f"{'; '.join(held.differences(wanted))} (here = in the store, there = asked for)"
        )
    missing = set(store.missing())
    parts = store.parts(missing)
    for chunk, part in parts.items():
        if len(part.rows) == _length(store, chunk):
            # Only the commit was not reached.
            store.write(chunk, part.values)
            missing.discard(chunk)
    if retry:
        missing.update(row // held.chunk_rows for row in store.failures)
    own = range(held.chunks)
    if mesh is not None and mesh.is_multi_process:
        # By number, not by place among the missing: another process may see other chunks missing.
        own = own[jax.process_index() :: jax.process_count()]
    left = frozenset(missing) & set(own)
    return Job(
        encoder=encoder,
        store=store,
        own=own,
        missing=left,
        parts={chunk: part for chunk, part in parts.items() if chunk in left},
    )


def by_pixels(jobs: Iterable[Job]) -> list[list[Job]]:
    """Jobs with work to do, together where their encoders look at the same pixels."""
    groups: dict[tuple[int, int, str], list[Job]] = {}
    for job in jobs:
        input_ = job.encoder.preprocess
        groups.setdefault((input_.size, input_.resize, input_.interpolation), []).append(job)
    return [group for group in groups.values() if any(job.missing for job in group)]


def _length(store: EmbeddingStore, chunk: int) -> int:
    rows = store.manifest.chunk_slice(chunk)
    return rows.stop - rows.start
