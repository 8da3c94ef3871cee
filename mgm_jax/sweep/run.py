"""Run a study: every stage picks up what an earlier, interrupted run has finished.

Embeddings are committed chunk by chunk, records cell by cell, tables at the end. Nothing that
decides a number depends on what was there before, so a run that was stopped anywhere and started
again ends with the same tables as one that was not.
"""

from __future__ import annotations

import fcntl
import itertools
import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from mgm_jax.embeddings import EmbeddingStore, ViewPlan, embed, library_versions, manifest_for
from mgm_jax.errors import InputError
from mgm_jax.files import whole_file
from mgm_jax.images import ImageSource, Setting, find_setting, setting_from_config
from mgm_jax.progress import progress
from mgm_jax.study import Study
from mgm_jax.sweep.cells import (
    SEMANTIC,
    Cell,
    Failure,
    ImageSet,
    settings_of,
    spread_over_classes,
)
from mgm_jax.sweep.records import measure_cells
from mgm_jax.sweep.subjects import Convert, Subject, load_subjects
from mgm_jax.sweep.tables import Measured, write_tables
from mgm_jax.sweep.targets import open_images, open_targets
from mgm_jax.sweep.transfer_records import measure_transfer, remove_transfer

Stage = Literal["embed", "measure", "probe"]

#: Embeddings in one chunk: what an interruption loses at most.
CHUNK_ROWS = 512

#: Unreadable images that ``study.json`` names, for each image set; all are counted.
MOST_EXAMPLES = 50


@dataclass(frozen=True, kw_only=True)
class StudyResult:
    """What a run has left.

    Attributes:
        out: folder of the tables.
        cells: number of cells measured.
        transfers: rows of the transfer table.
        failures: what could not be done, by name.
    """

    out: Path
    cells: int
    transfers: int
    failures: tuple[Failure, ...]


def run_study(
    study: Study,
    out: str | Path,
    *,
    base: str | Path = ".",
    convert: Convert | None = None,
    until: Stage = "probe",
) -> StudyResult:
    """Embed, measure and probe everything that ``study`` names.

    Args:
        study: what to do.
        out: folder of the results; made where it is missing, continued where it is not.
        base: folder that relative paths of the study start from.
        convert: turns a checkpoint into a folder of Flax weights.
        until: ``embed`` stops after the embeddings, ``measure`` before the probes.

    Raises:
        InputError: something the study names does not exist, or another run holds ``out``.
    """
    out, base = Path(out), Path(base)
    with _held(out):
        sources = _open_images(study, base=base)
        subjects = load_subjects(study.encoders, base=base, cache=out / "encoders", convert=convert)
        targets = () if study.transfer is None else open_targets(study.transfer, sources, base=base)
        cells = [cell for images in sources for cell in _cells(study, subjects, images)]
        transfers = [
            (cell, target)
            for target in targets
            for cell in _plain_cells(study, subjects, target.images)
        ]
        failures = _embed([*cells, *(cell for cell, _ in transfers)], study=study, out=out)
        measured: list[Measured] = []
        if until != "embed":
            measured, references, more = measure_cells(cells, study=study, out=out)
            failures += more
            write_tables(measured, references, study=study, out=out)
        rows, left_out = 0, []
        if until == "probe" and study.transfer is not None:
            rows, left_out, more = measure_transfer(transfers, study=study, out=out)
            failures += more
        elif study.transfer is None:
            remove_transfer(out)
        _write_account(
            study,
            [*sources, *(target.images for target in targets)],
            failures,
            cells=len(measured),
            transfer={"rows": rows, "left_out": left_out},
            out=out,
        )
    return StudyResult(out=out, cells=len(measured), transfers=rows, failures=tuple(failures))


def _open_images(study: Study, *, base: Path) -> tuple[ImageSet, ...]:
    sets = [open_images(entry, base=base) for entry in study.images]
    names = [one.name for one in sets]
    if len(set(names)) < len(names):
        raise InputError(f"images: names must differ, got {', '.join(names)}; give each a name")
    return tuple(sets)


def _cells(study: Study, subjects: Sequence[Subject], images: ImageSet) -> Iterator[Cell]:
    """All cells on one image set, those without augmentation first: the others refer to them."""
    source = images.source
    plans = [_everything(source)]
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
            yield _cell(study, subject, tap, images, plan)


def _plain_cells(study: Study, subjects: Sequence[Subject], images: ImageSet) -> Iterator[Cell]:
    """The default feature of every encoder on all images as they are."""
    plan = _everything(images.source)
    for subject in subjects:
        yield _cell(study, subject, subject.encoder.default_tap, images, plan)


def _everything(source: ImageSource) -> ViewPlan:
    return ViewPlan(
        indices=tuple(range(len(source))),
        setting=find_setting(SEMANTIC),
        chunk_images=CHUNK_ROWS,
    )


def _cell(study: Study, subject: Subject, tap: str, images: ImageSet, plan: ViewPlan) -> Cell:
    manifest = manifest_for(subject.encoder, images.source, plan, tap=tap, dtype=study.dtype)
    return Cell(subject=subject, tap=tap, images=images, plan=plan, manifest=manifest)


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


def _write_account(
    study: Study,
    sources: Sequence[ImageSet],
    failures: Sequence[Failure],
    *,
    cells: int,
    transfer: dict[str, object],
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
        "transfer": transfer,
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
