"""Run a study: every stage picks up what an earlier, interrupted run has finished.

Embeddings are committed chunk by chunk, records cell by cell, tables at the end. Nothing that
decides a number depends on what was there before, so a run that was stopped anywhere and started
again ends with the same tables as one that was not.
"""

from __future__ import annotations

import dataclasses
import json
import warnings
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from mgm_jax.embeddings import library_versions
from mgm_jax.encoders import Encoder, WrappedEncoder
from mgm_jax.encoders.callables.wrapped import NO_DIGEST
from mgm_jax.errors import InputError, name_some
from mgm_jax.files.seals import write_sums
from mgm_jax.files.whole import set_aside, whole_file
from mgm_jax.images import CACHE_LIMIT, ImageSource
from mgm_jax.progress import progress
from mgm_jax.study import Study
from mgm_jax.sweep.measures.directions import lost_directions
from mgm_jax.sweep.measures.measure import Reference
from mgm_jax.sweep.measures.transfer import Outcome, TransferCell
from mgm_jax.sweep.output.faults import output_error
from mgm_jax.sweep.output.hold import hold
from mgm_jax.sweep.output.layout import write_layout
from mgm_jax.sweep.output.ledger import Ledger
from mgm_jax.sweep.output.origins import encoder_origins
from mgm_jax.sweep.output.tables import Measured, Written, write_tables
from mgm_jax.sweep.output.transfer_records import left_out_of, remove_transfer, write_transfer
from mgm_jax.sweep.output.upkeep.healing import Checked, say_damaged, set_aside_all_damaged
from mgm_jax.sweep.plan.cells import MEASURE_VERSION, SEMANTIC, Cell, Failure, ImageSet
from mgm_jax.sweep.plan.openers import Openers
from mgm_jax.sweep.plan.targets import NOTHING_HELD
from mgm_jax.sweep.plan.workload import Workload, prepare
from mgm_jax.sweep.run.comparison import compare_encoders
from mgm_jax.sweep.run.executors.local import Executor, LocalExecutor
from mgm_jax.sweep.run.outputs import refuse_url
from mgm_jax.sweep.run.retry import forget_failures
from mgm_jax.sweep.run.tasks import (
    embed_tasks,
    measure_again,
    measure_tasks,
    read_outcome,
    read_reference,
    transfer_tasks,
)
from mgm_jax.sweep.subjects import Convert, OpenModel, Subject

Stage = Literal["embed", "measure", "probe"]

#: Unreadable images that ``study.json`` names, for each image set; all are counted.
MAX_EXAMPLES = 50


@dataclass(frozen=True, kw_only=True)
class StudyResult:
    """What a run has left.

    Attributes:
        out: folder of the tables.
        cells: number of cells measured.
        transfers: rows of the transfer table.
        failures: what could not be done, by name; the same in all processes that shared the work.
        small: of every image set with manifolds that are too small to be measured, how many
            points were left out, in words.
        writes: whether this process, of those that shared the work, wrote the tables.
        notes: what was passed over in the image sets, and what was understood of their layout.
    """

    out: Path
    cells: int
    transfers: int
    failures: tuple[Failure, ...]
    small: tuple[str, ...] = ()
    writes: bool = True
    notes: tuple[str, ...] = ()

    def refuse_nothing(self) -> None:
        """Raise InputError where nothing was measured, with the first of the reasons."""
        if not self.cells:
            first = self.failures[0] if self.failures else None
            raise InputError(
                "nothing could be measured" + (f"; {first.where}: {first.what}" if first else "")
            )


def run_study(
    study: Study,
    out: str | Path,
    *,
    base: str | Path = ".",
    convert: Convert | None = None,
    callables: Mapping[str, Encoder | WrappedEncoder] | None = None,
    open_model: OpenModel | None = None,
    image_sets: Mapping[str, ImageSource] = NOTHING_HELD,
    until: Stage = "probe",
    retry_failed: bool = False,
    origin: str | None = None,
    executor: Executor | None = None,
    cache_limit: int = CACHE_LIMIT,
    keep: str | None = None,
    say: Callable[[str], None] = warnings.warn,
) -> StudyResult:
    """Embed, measure and probe everything that ``study`` names.

    An encoder that raises, or gives NaN, and a cell that cannot be measured are named in the
    result; everything else is done.

    Args:
        study: what to do.
        out: folder of the results; made where it is missing, continued where it is not.
        base: folder that relative paths of the study start from.
        convert: turns a checkpoint into a folder of Flax weights.
        callables: encoders that the study names as ``callable:NAME``.
        open_model: opens models of other libraries.
        image_sets: sets of images that the study names as ``held:NAME``.
        until: ``embed`` stops after the embeddings, ``measure`` before the probes.
        retry_failed: try again what failed in an earlier run.
        origin: what tells this study from others in the same folder, such as the path of its
            file; by default its name.
        executor: where the work is done; by default in this process, on all of its devices.
        cache_limit: bytes that decoded images may take below ``out``, at least 0, which keeps
            none; no result depends on it.
        keep: name of a file in ``out`` that the study is written to; None writes none.
        say: told what an earlier run has left damaged, which is set aside and made again.

    Raises:
        InputError: something the study names does not exist, ``out`` is no folder, cannot be
            written or another run holds it, or an image cannot be read and the study does not
            skip such.
    """
    refuse_url(out)
    out = Path(out)
    openers = Openers(
        base=Path(base),
        convert=convert,
        open_model=open_model,
        callables=callables or {},
        image_sets=dict(image_sets),
    )
    executor = executor or LocalExecutor()
    measured: list[Measured] = []
    references: list[tuple[Cell, Reference]] = []
    outcomes: list[tuple[TransferCell, Outcome]] = []
    rows = 0
    written = Written()
    checked = Checked(references={}, outcomes={})
    try:
        with ExitStack() as held:
            with executor.first():
                if executor.writes:
                    held.enter_context(hold(out))
                    if keep is not None:
                        with whole_file(out / keep) as part:
                            part.write_text(study.to_yaml(), encoding="utf-8")
                work = prepare(
                    study, out, openers, retry_images=retry_failed, cache_limit=cache_limit
                )
                if executor.writes:
                    write_layout(work, origin=origin or study.name)
                    if retry_failed:
                        forget_failures(work)
                    checked = set_aside_all_damaged(work, say=say)
            failures = [*work.unloaded, *_embed(work, executor)]
            if until != "embed":
                measured, references = _measure(work, executor, checked)
            if until == "probe":
                outcomes = _transfer(work, executor, checked)
            with executor.first():
                if executor.writes and until != "embed":
                    written = _write_tables(measured, references, work=work, say=say)
                failures += _left_out(references, written)
                failures += _failed_cells(work)
                if executor.writes and study.transfer is None:
                    remove_transfer(out)
                elif executor.writes and until == "probe":
                    rows = write_transfer(outcomes, out=out, given=work.scores, cells=work.cells)
                if executor.writes:
                    transfer = {"rows": rows, "left_out": left_out_of(outcomes)}
                    _write_account(
                        work, failures, cells=len(measured), small=written.small, transfer=transfer
                    )
                if executor.writes and until == "probe":
                    compare_encoders([cell for cell, _ in references], study=study, out=out)
                if executor.writes:
                    _write_sums(out)
            failures = executor.of_writer(failures)
    except OSError as error:
        if known := output_error(out, error):
            raise known from error
        raise
    return StudyResult(
        out=out,
        cells=len(measured),
        transfers=rows,
        failures=tuple(failures),
        small=written.small,
        writes=executor.writes,
        notes=(
            *(line for one in _image_sets(work) for line in one.source.lines()),
            *_without_digest([cell.subject for cell in work.embedded]),
        ),
    )


def _without_digest(subjects: Sequence[Subject]) -> list[str]:
    """Of each encoder that nothing tells from a changed one, a word."""
    return [
        f"{name}: {NO_DIGEST}"
        for name, encoder in {one.name: one.encoder for one in subjects}.items()
        if isinstance(encoder, WrappedEncoder) and encoder.identity is None
    ]


def _write_sums(out: Path) -> None:
    tables = [path.name for kind in ("*.parquet", "*.csv") for path in out.glob(kind)]
    write_sums(out, [name for name in tables if not name.startswith(".")] + ["study.json"])


def _embed(work: Workload, executor: Executor) -> list[Failure]:
    """Embed what is missing; returns the images that could not be read, each once."""
    total = sum(cell.manifest.rows for cell in work.embedded)
    failures: dict[Failure, None] = {}
    with progress("embed", total=total, unit="view") as bar:
        # Images as they are first: an encoder that fails there is not tried on their views.
        for plain in (True, False):
            tasks = embed_tasks(work, plain=plain, workers=executor.workers)
            failures |= dict.fromkeys(executor.run(tasks, work, bar=bar))
    return list(failures)


def _measure(
    work: Workload, executor: Executor, checked: Checked
) -> tuple[list[Measured], list[tuple[Cell, Reference]]]:
    """Per-point records of every cell, from those on disk where they are there."""
    plain = [cell for cell in work.cells if cell.setting == SEMANTIC]
    wanted = [cell for cell in work.cells if work.is_measured(cell)]
    with progress("measure", total=len(plain) + len(wanted), unit="cell", compiles=True) as bar:
        for stage in ("reference", "measure"):
            executor.run(measure_tasks(work, stage=stage), work, bar=bar)
    ledger = Ledger(work=work)
    wanted = [
        cell
        for cell in wanted
        if ledger.blocked(cell) is None and ledger.find(cell, "measure") is None
    ]
    lacking = [cell.label for cell in wanted if not work.record_path(cell).exists()]
    if lacking:
        raise InputError(
            f"{work.out}: no records of {name_some(lacking, most=3)}, though they were measured; "
            "the output folder must be the same on every host"
        )
    references = [
        (cell, checked.references.get(work.reference_path(cell)) or read_reference(cell, work))
        for cell in plain
        if ledger.blocked(cell) is None
    ]
    measured = [Measured(cell=cell, records=work.record_path(cell)) for cell in wanted]
    return measured, references


def _transfer(
    work: Workload, executor: Executor, checked: Checked
) -> list[tuple[TransferCell, Outcome]]:
    """What every measure on every target found, from the disk where it is there."""
    if not work.transfers:
        return []
    tasks = transfer_tasks(work)
    with progress("transfer", total=len(tasks), unit="measure") as bar:
        executor.run(tasks, work, bar=bar)
    # Read back even when just computed: a resumed run must end with the very same digits.
    return [
        (job, checked.outcomes.get(path) or read_outcome(job, work))
        for job in work.transfers
        if (path := work.transfer_path(job)).exists()
    ]


def _image_sets(work: Workload) -> list[ImageSet]:
    """The image sets and the targets, each once."""
    sets = [*work.sources, *(target.images for target in work.targets)]
    return list({one.name: one for one in sets}.values())


def _write_tables(
    measured: Sequence[Measured],
    references: Sequence[tuple[Cell, Reference]],
    *,
    work: Workload,
    say: Callable[[str], None],
) -> Written:
    """The tables of all records; a damaged one is set aside and measured again."""
    moved = []

    def again(item: Measured) -> None:
        set_aside(item.records)
        moved.append(item.records)
        measure_again(item.cell, work)

    written = write_tables(
        measured, references, study=work.study, out=work.out, measure_again=again
    )
    say_damaged(work.out, moved, say=say)
    return written


def _left_out(references: Sequence[tuple[Cell, Reference]], written: Written) -> list[Failure]:
    """The images that encoders gave no direction to, as the results themselves say."""
    failures = {
        failure: None
        for cell, reference in references
        for failure in lost_directions(cell, reference.left_out)
    }
    return list(failures | dict.fromkeys(written.left_out))


def _failed_cells(work: Workload) -> list[Failure]:
    ledger = Ledger(work=work)
    failures = [ledger.blocked(cell) or ledger.find(cell, "measure") for cell in work.cells]
    failures += [ledger.find(cell, "embed") for cell in work.embedded[len(work.cells) :]]
    failures += [ledger.find(job, "transfer") for job in work.transfers]
    return [failure for failure in failures if failure is not None]


def _write_account(
    work: Workload,
    failures: Sequence[Failure],
    *,
    cells: int,
    small: Sequence[str],
    transfer: dict[str, object],
) -> None:
    """``study.json``: what was asked for, with what, and what could not be done."""
    study, sources = work.study, _image_sets(work)
    unread = {}
    for one in sources:
        of_set = [f for f in failures if f.is_image and f.images == one.name]
        unread[one.name] = {
            "count": len({failure.where for failure in of_set}),
            "images": len(one.source),
            "examples": [[failure.where, failure.what] for failure in of_set[:MAX_EXAMPLES]],
        }
    account = {
        "name": study.name,
        "digest": study.digest,
        "study": study.model_dump(mode="json"),
        "cells": cells,
        "small_manifolds": list(small),
        "transfer": transfer,
        "encoders": encoder_origins([cell.subject for cell in work.cells]),
        "failures": unread,
        "passed_over": {
            one.name: [dataclasses.asdict(what) for what in one.source.passed_over]
            for one in sources
        },
        "image_notes": {one.name: list(one.source.notes) for one in sources},
        "failed_cells": [[f.where, f.what] for f in failures if not f.is_image],
        # The page of a study lists it, so that tables of two versions are told apart.
        "versions": {**dict(library_versions()), "measures": str(MEASURE_VERSION)},
    }
    with whole_file(work.out / "study.json") as part:
        text = json.dumps(account, indent=2, ensure_ascii=False) + "\n"
        # The language of the machine may have no letters for the names of a study.
        part.write_text(text, encoding="utf-8")
