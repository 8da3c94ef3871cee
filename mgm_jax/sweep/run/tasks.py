"""The pieces of work of a study, each of which one process does and leaves on the disk.

A task names a stage and some cells. Whoever does it, once or twice, here or elsewhere, leaves the
same bytes: executors differ in where tasks are done and in nothing else.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import groupby
from typing import cast

import jax
import numpy as np
from jax.sharding import Mesh

from mgm_jax.embeddings import EmbeddingStore, EncoderFailure, embed
from mgm_jax.encoders import Encoder
from mgm_jax.errors import InputError, name_some
from mgm_jax.features import StoredFeatures, copy_features
from mgm_jax.files.seals import read_sealed, write_sealed
from mgm_jax.geometry.backend.workers import one_thread_a_product
from mgm_jax.parallel.devices import default_mesh, own_accelerators
from mgm_jax.probe.features import Features
from mgm_jax.progress import Bar
from mgm_jax.sweep.measures.directions import LEFT_OUT, have_direction, keep_directions, said_of
from mgm_jax.sweep.measures.measure import (
    MAX_FEATURES_OF_VIEWS,
    Reference,
    measure_points,
    measure_reference,
)
from mgm_jax.sweep.measures.transfer import Outcome, TransferCell
from mgm_jax.sweep.output.faults import output_error, own_files
from mgm_jax.sweep.output.ledger import Ledger, Stage
from mgm_jax.sweep.output.records import write_table_record
from mgm_jax.sweep.plan.cells import SEMANTIC, Cell, Failure
from mgm_jax.sweep.plan.workload import Workload


@dataclass(frozen=True, kw_only=True)
class Task:
    """One stage of some cells.

    Attributes:
        stage: what is done.
        cells: places in the workload: among the transfers for ``transfer``, otherwise among the
            embedded cells. Those of one ``embed`` task share their views.
    """

    stage: Stage
    cells: tuple[int, ...]


def embed_tasks(work: Workload, *, plain: bool, workers: int) -> list[Task]:
    """The embedding of all cells without augmentation, or of all others.

    Args:
        work: the study.
        plain: which of the two.
        workers: how many tasks are done at once; where there are fewer groups of cells that share
            their views, these are cut by encoders, and the views made more than once.
    """
    wanted = [i for i, cell in enumerate(work.embedded) if (cell.setting == SEMANTIC) == plain]
    groups = [
        list(group)
        for _, group in groupby(
            wanted, key=lambda i: (work.embedded[i].images, work.embedded[i].plan)
        )
    ]
    parts = max(1, workers // max(1, len(groups)))
    return [
        Task(stage="embed", cells=tuple(cells))
        for group in groups
        for cells in _by_encoder(work, group, parts=parts)
    ]


def measure_tasks(work: Workload, *, stage: Stage) -> list[Task]:
    """The references, or the records, of all cells that no earlier failure keeps from it."""
    ledger = Ledger(work=work)
    if stage == "reference":
        wanted = [i for i, cell in enumerate(work.cells) if cell.setting == SEMANTIC]
    else:
        wanted = [i for i, cell in enumerate(work.cells) if work.is_measured(cell)]
    return [
        Task(stage=stage, cells=(i,))
        for i in wanted
        if not ledger.blocked(work.cells[i]) and not ledger.find(work.cells[i], stage)
    ]


def transfer_tasks(work: Workload) -> list[Task]:
    """All measures on targets that no earlier failure keeps from it."""
    ledger = Ledger(work=work)
    return [
        Task(stage="transfer", cells=(i,))
        for i, job in enumerate(work.transfers)
        if not ledger.find(job.cell, "embed") and not ledger.find(job, "transfer")
    ]


def do_task(task: Task, work: Workload, *, bar: Bar) -> list[Failure]:
    """Do one task, unless its results are there; failed cells go to the ledger.

    Args:
        task: what to do.
        work: the study.
        bar: advanced by every view, or every cell that is measured.

    Returns:
        The images that could not be read.

    Raises:
        InputError: an image that cannot be read where the study does not skip such, or an output
            folder that cannot be used: what ends the whole study.
    """
    try:
        if task.stage == "transfer":
            return _transfer([work.transfers[i] for i in task.cells], work, bar=bar)
        return _do(task, [work.embedded[i] for i in task.cells], work, bar)
    except Exception as error:
        known = output_error(work.out, error)
        if known is None or known is error:
            raise
        raise known from error


def _do(task: Task, cells: Sequence[Cell], work: Workload, bar: Bar) -> list[Failure]:
    if task.stage == "embed":
        return _embed(cells, work, bar=bar)
    for cell in cells:
        try:
            if task.stage == "reference":
                _reference(cell, work)
            else:
                _records(cell, work)
        except Exception as error:
            _note(cell, task.stage, error, work)
        bar.advance()
    return []


@contextmanager
def quiet() -> Iterator[None]:
    """Without the warnings that would come once a cell, and with one thread a product.

    For the thread that starts all tasks: how many threads NumPy's products use holds for the whole
    process, so that cells side by side would change it for each other, and with it the last bits.
    """
    with warnings.catch_warnings(), one_thread_a_product():
        # Duplicates have a column of their own.
        warnings.filterwarnings("ignore", message=".*duplicate.*")
        yield


def read_reference(cell: Cell, work: Workload) -> Reference:
    """The reference of a cell, from the disk."""
    # Read back even when just computed: a resumed run must start from the very same digits.
    with own_files(work.out):
        return Reference.from_json(read_sealed(work.reference_path(cell)))


def measure_again(cell: Cell, work: Workload) -> None:
    """Make the record of a cell anew, in this process."""
    with quiet():
        _records(cell, work)


def _embed(cells: Sequence[Cell], work: Workload, *, bar: Bar) -> list[Failure]:
    ledger = Ledger(work=work)
    open_cells: list[tuple[Cell, EmbeddingStore]] = []
    for cell in cells:
        if ledger.find(cell, "embed") or ledger.find(work.reference_of(cell), "embed"):
            bar.advance(cell.manifest.rows)
            continue
        with own_files(work.out):
            store = EmbeddingStore.open(work.embeddings_path(cell), cell.manifest)
        open_cells.append((cell, store))
    for cell, store in open_cells:
        if isinstance(cell.subject.encoder, StoredFeatures):
            try:
                copy_features(cell.subject.encoder, cell.tap, store)
            except InputError as error:
                _note(cell, "embed", error, work)
            bar.advance(cell.manifest.rows)
    open_cells = [
        pair for pair in open_cells if not isinstance(pair[0].subject.encoder, StoredFeatures)
    ]
    failures: list[Failure] = []
    start = bar.done
    while open_cells:
        try:
            report = embed(
                [cast("Encoder", cell.subject.encoder) for cell, _ in open_cells],
                cells[0].images.source,
                cells[0].plan,
                [store for _, store in open_cells],
                taps=[cell.tap for cell, _ in open_cells],
                on_error=work.study.on_error,
                retry=work.retry_images or None,
                bar=bar,
                devices=_all_here(),
                cache=work.cache,
            )
        except EncoderFailure as error:
            lost = [pair for pair in open_cells if _is_of(error, pair[0])]
            for cell, _ in lost:
                _note(cell, "embed", error, work)
            # The others go on from their last chunk.
            open_cells = [pair for pair in open_cells if pair not in lost]
            start += sum(cell.manifest.rows for cell, _ in lost)
            bar.advance(start - bar.done)
        else:
            for where, what in report.failures:
                failures.append(
                    Failure(images=cells[0].images.name, where=where, what=what, is_image=True)
                )
            break
    return failures


def _all_here() -> Mesh | None:
    """All devices of this process, which take turns; None where it has one."""
    devices = jax.local_devices()
    return default_mesh(devices) if len(devices) > 1 else None


def _transfer(jobs: Sequence[TransferCell], work: Workload, *, bar: Bar) -> list[Failure]:
    for job in jobs:
        try:
            _outcome(job, work)
        except Exception as error:
            _note(job, "transfer", error, work)
        bar.advance()
    return []


def read_outcome(job: TransferCell, work: Workload) -> Outcome:
    """What a measure on a target found, from the disk."""
    with own_files(work.out):
        return Outcome(**read_sealed(work.transfer_path(job)))


def _outcome(job: TransferCell, work: Workload) -> None:
    path, transfer = work.transfer_path(job), work.study.transfer
    if path.exists() or transfer is None:
        return
    x, rows, left_out = _stored(job, work)
    outcome = job.run(x, rows, transfer, seed=work.study.seed, devices=own_accelerators())
    outcome = outcome._replace(left_out=[*outcome.left_out, *said_of(left_out)])
    # No names of encoders or image sets in here: renaming one must not measure it again.
    write_sealed(path, outcome._asdict())


def _is_of(error: EncoderFailure, cell: Cell) -> bool:
    return cell.subject.encoder.digest == error.encoder and error.tap in (None, cell.tap)


def _note(cell: Cell | TransferCell, stage: Stage, error: Exception, work: Workload) -> None:
    if known := output_error(work.out, error):
        # Not the cell's fault, and the next one would fare no better.
        raise known from error
    Ledger(work=work).add(cell, stage, error)


def _stored(job: TransferCell, work: Workload) -> tuple[Features, np.ndarray, tuple[str, ...]]:
    """Embeddings of the images that can be used, not read yet, which rows, and those left out."""
    cell = job.cell
    with own_files(work.out):
        store = EmbeddingStore.open(work.embeddings_path(cell), cell.manifest, create=False)
        good = ~store.failed_rows
    left_out: tuple[str, ...] = ()
    skip = work.study.on_error == "skip"
    # Votes of neighbours need directions; where images are skipped, all measures skip the same.
    if skip or job.measure == "knn":
        slices = map(cell.manifest.chunk_slice, range(cell.manifest.chunks))
        directed = np.concatenate([have_direction(store.read(rows)) for rows in slices])
        lost = np.flatnonzero(good & ~directed)
        if lost.size and (not skip or 2 * lost.size > good.sum()):
            raise InputError(
                f"{cell.subject.name} gives only zeros at {cell.tap} for {lost.size} images: "
                f"{name_some(cell.points()[lost])}. Remove them, or skip them with on_error: skip"
            )
        left_out = tuple(cell.points()[lost].tolist())
        good &= directed
    features = Features.of(store, name=f"embeddings of {cell.label}")
    return features if good.all() else features.take(good), np.flatnonzero(good), left_out


def _good_rows(cell: Cell, work: Workload) -> tuple[np.ndarray, np.ndarray]:
    """The same, read."""
    with own_files(work.out):
        store = EmbeddingStore.open(work.embeddings_path(cell), cell.manifest, create=False)
        rows = np.flatnonzero(~store.failed_rows)
        x = store.read()
    # A choice of rows is a copy, of which large sets have no need where none has failed.
    return x if len(rows) == len(x) else x[rows], rows


def _plain_rows(cell: Cell, work: Workload) -> np.ndarray | None:
    """The un-augmented embeddings, where all views of a cell are measured together."""
    if cell.setting == SEMANTIC or cell.manifest.width > MAX_FEATURES_OF_VIEWS:
        return None
    return _measurable(work.reference_of(cell), work)[0]


def _measurable(cell: Cell, work: Workload) -> tuple[np.ndarray, np.ndarray, tuple[str, ...]]:
    """Embeddings that can be measured, which rows they are, and the images left out."""
    x, rows = _good_rows(cell, work)
    return keep_directions(x, rows, cell, skip=work.study.on_error == "skip")


def _reference(cell: Cell, work: Workload) -> None:
    path = work.reference_path(cell)
    if path.exists():
        return
    x, rows, left_out = _measurable(cell, work)
    reference = measure_reference(
        x, cell.labels()[rows], seed=work.study.seed, center=work.study.metrics.center
    )
    write_sealed(path, replace(reference, left_out=left_out).to_json())


def _records(cell: Cell, work: Workload) -> None:
    path = work.record_path(cell)
    if path.exists():
        return
    x, rows, left_out = _measurable(cell, work)
    table = measure_points(
        x,
        cell.groups()[rows],
        options=work.study.metrics,
        reference=read_reference(cell, work),
        seed=work.study.seed,
        plain=_plain_rows(cell, work),
    )
    if left_out:
        table.attrs[LEFT_OUT] = list(left_out)
    rows = rows[table.index]
    # No names of encoders or image sets in here: renaming one must not measure it again.
    table.insert(1, "point", cell.points()[rows])
    table.insert(2, "view", cell.view_numbers()[rows])
    write_table_record(path, table)


def _by_encoder(work: Workload, group: list[int], *, parts: int) -> Iterator[list[int]]:
    """The cells of a group in parts of about as many encoders, taps of one encoder together."""
    encoders = [list(one) for _, one in groupby(group, key=lambda i: work.embedded[i].subject.name)]
    parts = min(parts, len(encoders))
    for part in range(parts):
        chosen = encoders[part * len(encoders) // parts : (part + 1) * len(encoders) // parts]
        yield [i for encoder in chosen for i in encoder]
