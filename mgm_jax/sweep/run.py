"""Run a study: every stage picks up what an earlier, interrupted run has finished.

Embeddings are committed chunk by chunk, records cell by cell, tables at the end. Nothing that
decides a number depends on what was there before, so a run that was stopped anywhere and started
again ends with the same tables as one that was not.
"""

from __future__ import annotations

import fcntl
import itertools
import json
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from mgm_jax.embeddings import EmbeddingStore, ViewPlan, embed, library_versions, manifest_for
from mgm_jax.errors import InputError
from mgm_jax.files import whole_file
from mgm_jax.images import Setting, find_setting, open_source, setting_from_config
from mgm_jax.progress import progress
from mgm_jax.study import Study
from mgm_jax.sweep.cells import SEMANTIC, Cell, ImageSet, settings_of, spread_over_classes
from mgm_jax.sweep.measure import Reference, measure_points, measure_reference
from mgm_jax.sweep.subjects import Convert, Subject, load_subjects
from mgm_jax.sweep.tables import Measured, write_tables

Stage = Literal["embed", "measure"]

#: Embeddings in one chunk: what an interruption loses at most.
CHUNK_ROWS = 512

#: Unreadable images that ``study.json`` names, for each image set; all are counted.
MOST_EXAMPLES = 50


@dataclass(frozen=True, kw_only=True)
class Failure:
    """A part of a study that could not be done; the rest goes on.

    Attributes:
        images: the image set.
        where: the image that could not be read, or the cell that could not be measured.
        what: the error.
        is_image: whether it is an image.
    """

    images: str
    where: str
    what: str
    is_image: bool


@dataclass(frozen=True, kw_only=True)
class StudyResult:
    """What a run has left.

    Attributes:
        out: folder of the tables.
        cells: number of cells measured.
        failures: what could not be done, by name.
    """

    out: Path
    cells: int
    failures: tuple[Failure, ...]


def run_study(
    study: Study,
    out: str | Path,
    *,
    base: str | Path = ".",
    convert: Convert | None = None,
    until: Stage = "measure",
) -> StudyResult:
    """Embed and measure everything that ``study`` names.

    Args:
        study: what to do.
        out: folder of the results; made where it is missing, continued where it is not.
        base: folder that relative paths of the study start from.
        convert: turns a checkpoint into a folder of Flax weights.
        until: ``embed`` stops after the embeddings.

    Raises:
        InputError: something the study names does not exist, or another run holds ``out``.
    """
    out, base = Path(out), Path(base)
    with _held(out):
        sources = _open_images(study, base=base)
        subjects = load_subjects(study.encoders, base=base, cache=out / "encoders", convert=convert)
        cells = [cell for images in sources for cell in _cells(study, subjects, images)]
        failures = _embed(cells, study=study, out=out)
        measured: list[Measured] = []
        if until == "measure":
            measured, references, more = _measure(cells, study=study, out=out)
            failures += more
            write_tables(measured, references, study=study, out=out)
        _write_account(study, sources, failures, cells=len(measured), out=out)
    return StudyResult(out=out, cells=len(measured), failures=tuple(failures))


def _open_images(study: Study, *, base: Path) -> tuple[ImageSet, ...]:
    sets = []
    for entry in study.images:
        path = base / Path(entry.source).expanduser()
        source = open_source(path if path.exists() else entry.source)
        if entry.per_class or entry.count:
            source = source.take(per_class=entry.per_class, count=entry.count, seed=entry.seed)
        sets.append(ImageSet(name=entry.name or source.name, source=source))
    names = [one.name for one in sets]
    if len(set(names)) < len(names):
        raise InputError(f"images: names must differ, got {', '.join(names)}; give each a name")
    return tuple(sets)


def _cells(study: Study, subjects: Sequence[Subject], images: ImageSet) -> Iterator[Cell]:
    """All cells on one image set, those without augmentation first: the others refer to them."""
    source = images.source
    everything = ViewPlan(
        indices=tuple(range(len(source))),
        setting=find_setting(SEMANTIC),
        chunk_images=CHUNK_ROWS,
    )
    plans = [everything]
    chosen: tuple[int, ...] = ()
    if study.augmentation is not None:
        count = min(study.augmentation.images, len(source))
        chosen = tuple(int(i) for i in spread_over_classes(source, count, seed=study.seed))
    for name, strength in settings_of(study.augmentation):
        views = study.augmentation.views if study.augmentation else 1
        plans.append(
            ViewPlan(
                indices=chosen,
                setting=_setting(study, name),
                strength=strength,
                seed=study.seed,
                views=views,
                chunk_images=max(1, CHUNK_ROWS // views),
            )
        )
    for plan, subject in itertools.product(plans, subjects):
        for tap in subject.taps:
            yield Cell(
                subject=subject,
                tap=tap,
                images=images,
                plan=plan,
                manifest=manifest_for(subject.encoder, source, plan, tap=tap, dtype=study.dtype),
            )


def _setting(study: Study, name: str) -> Setting:
    if name in study.custom_settings:
        return setting_from_config(name, study.custom_settings[name])
    return find_setting(name)


def _embed(cells: Sequence[Cell], *, study: Study, out: Path) -> list[Failure]:
    """Embed what is missing; cells that share their views are done together."""
    failures: dict[Failure, None] = {}
    total = sum(cell.manifest.rows for cell in cells)
    with progress("embed", total=total, unit="view") as bar:
        for _, together in itertools.groupby(cells, key=lambda cell: (cell.images, cell.plan)):
            batch = list(together)
            report = embed(
                [cell.subject.encoder for cell in batch],
                batch[0].images.source,
                batch[0].plan,
                [EmbeddingStore.open(cell.embeddings_folder(out), cell.manifest) for cell in batch],
                taps=[cell.tap for cell in batch],
                on_error=study.on_error,
                bar=bar,
            )
            for where, what in report.failures:
                failure = Failure(
                    images=batch[0].images.name, where=where, what=what, is_image=True
                )
                failures[failure] = None
    return list(failures)


def _measure(
    cells: Sequence[Cell], *, study: Study, out: Path
) -> tuple[list[Measured], list[tuple[Cell, Reference]], list[Failure]]:
    """Per-point records of every cell, from the records on disk where they are there."""
    references: dict[tuple[str, str, str], tuple[Cell, Reference]] = {}
    measured, failures = [], []
    with progress("measure", total=len(cells), unit="cell") as bar:
        for cell in cells:
            key = (cell.subject.name, cell.images.name, cell.tap)
            try:
                if cell.setting == SEMANTIC:
                    references[key] = (cell, _reference(cell, study=study, out=out))
                if key in references and (study.semantic or cell.setting != SEMANTIC):
                    measured.append(_records(cell, *references[key], study=study, out=out))
            except InputError as error:
                failures.append(
                    Failure(
                        images=cell.images.name,
                        where=cell.label,
                        what=str(error),
                        is_image=False,
                    )
                )
            bar.advance()
    return measured, list(references.values()), failures


def _good_rows(cell: Cell, out: Path) -> tuple[np.ndarray, np.ndarray]:
    """Embeddings of the images that could be read, and which rows they are."""
    store = EmbeddingStore.open(cell.embeddings_folder(out), cell.manifest, create=False)
    rows = np.flatnonzero(~store.failed_rows)
    return store.read()[rows], rows


def _reference(cell: Cell, *, study: Study, out: Path) -> Reference:
    path = _record_path(cell, cell, study=study, out=out).with_suffix(".json")
    if not path.exists():
        x, rows = _good_rows(cell, out)
        reference = measure_reference(x, cell.labels()[rows], seed=study.seed)
        with whole_file(path) as part:
            part.write_text(json.dumps(reference.to_json()))
    # Read back even when just computed: a resumed run must start from the very same digits.
    return Reference.from_json(json.loads(path.read_text()))


def _records(
    cell: Cell, reference_cell: Cell, reference: Reference, *, study: Study, out: Path
) -> Measured:
    path = _record_path(cell, reference_cell, study=study, out=out)
    if not path.exists():
        x, rows = _good_rows(cell, out)
        with warnings.catch_warnings():
            # Duplicates have a column of their own; a warning a cell would bury the rest.
            warnings.filterwarnings("ignore", message=".*duplicate.*")
            table = measure_points(
                x,
                cell.groups()[rows],
                options=study.metrics,
                reference=reference,
                seed=study.seed,
            )
        rows = rows[table.index]
        # No names of encoders or image sets in here: renaming one must not measure it again.
        table.insert(1, "point", cell.points()[rows])
        table.insert(2, "view", cell.view_numbers()[rows])
        with whole_file(path) as part:
            table.to_parquet(part, index=False)
    return Measured(cell=cell, records=path)


def _record_path(cell: Cell, reference: Cell, *, study: Study, out: Path) -> Path:
    digest = cell.measure_digest(study.metrics, seed=study.seed, reference=reference)
    return out / "records" / f"{digest}.parquet"


def _write_account(
    study: Study,
    sources: Sequence[ImageSet],
    failures: Sequence[Failure],
    *,
    cells: int,
    out: Path,
) -> None:
    """``study.json``: what was asked for, with what, and what could not be done."""
    unread = {}
    for one in sources:
        of_set = [f for f in failures if f.is_image and f.images == one.name]
        unread[one.name] = {
            "count": len({failure.where for failure in of_set}),
            "images": len(one.source),
            "examples": [[failure.where, failure.what] for failure in of_set[:MOST_EXAMPLES]],
        }
    account = {
        "name": study.name,
        "digest": study.digest,
        "study": study.model_dump(mode="json"),
        "cells": cells,
        "failures": unread,
        "failed_cells": [[f.where, f.what] for f in failures if not f.is_image],
        "versions": dict(library_versions()),
    }
    with whole_file(out / "study.json") as part:
        part.write_text(json.dumps(account, indent=2, ensure_ascii=False) + "\n")


@contextmanager
def _held(out: Path) -> Iterator[None]:
    """Hold the output folder for this process; the lock dies with it."""
    out.mkdir(parents=True, exist_ok=True)
    with (out / ".lock").open("a+") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise InputError(
                f"{out}: another run is writing here; wait for it, or give another folder"
            ) from error
        yield
