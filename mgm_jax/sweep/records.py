"""Measured cells on disk: each is measured once, several side by side where the machine allows."""

from __future__ import annotations

import json
import os
import warnings
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

import jax
import numpy as np

from mgm_jax.embeddings import EmbeddingStore
from mgm_jax.errors import InputError
from mgm_jax.files import whole_file
from mgm_jax.progress import Bar, progress
from mgm_jax.study import Study
from mgm_jax.sweep.cells import SEMANTIC, Cell, Failure
from mgm_jax.sweep.measure import Reference, measure_points, measure_reference
from mgm_jax.sweep.tables import Measured

Result = TypeVar("Result")

# The small dense work of one cell keeps one core busy; more cells at once would only cost memory.
_MOST_AT_ONCE = 4


def measure_cells(
    cells: Sequence[Cell], *, study: Study, out: Path
) -> tuple[list[Measured], list[tuple[Cell, Reference]], list[Failure]]:
    """Per-point records of every cell, from those on disk where they are there.

    Returns:
        The measured cells and the references in the order of ``cells``, and what failed.
    """
    plain = [cell for cell in cells if cell.setting == SEMANTIC]
    failures: list[Failure] = []
    with (
        warnings.catch_warnings(),
        progress("measure", total=len(plain) + len(cells), unit="cell") as bar,
    ):
        # Duplicates have a column of their own; a warning a cell would bury the rest.
        warnings.filterwarnings("ignore", message=".*duplicate.*")
        references = dict(
            (_encoder_key(cell), (cell, reference))
            for cell, reference in _each(
                plain, lambda cell: _reference(cell, study=study, out=out), failures, bar
            )
        )
        wanted = [
            cell
            for cell in cells
            if _encoder_key(cell) in references and (study.semantic or cell.setting != SEMANTIC)
        ]
        measured = [
            Measured(cell=cell, records=path)
            for cell, path in _each(
                wanted,
                lambda cell: _records(cell, *references[_encoder_key(cell)], study=study, out=out),
                failures,
                bar,
            )
        ]
    return measured, list(references.values()), failures


def _encoder_key(cell: Cell) -> tuple[str, str, str]:
    return cell.subject.name, cell.images.name, cell.tap


def _each(
    cells: Sequence[Cell], work: Callable[[Cell], Result], failures: list[Failure], bar: Bar
) -> Iterator[tuple[Cell, Result]]:
    """Work on all cells; those that cannot be measured are named in ``failures``."""

    def attempt(cell: Cell) -> Result | InputError:
        try:
            return work(cell)
        except InputError as error:
            return error

    at_once = min(os.cpu_count() or 1, _MOST_AT_ONCE) if jax.default_backend() == "cpu" else 1
    pool = ThreadPoolExecutor(at_once)
    try:
        for cell, result in zip(cells, pool.map(attempt, cells), strict=True):
            bar.advance()
            if isinstance(result, InputError):
                failures.append(
                    Failure(
                        images=cell.images.name,
                        where=cell.label,
                        what=str(result),
                        is_image=False,
                    )
                )
            else:
                yield cell, result
    finally:
        # An interrupted run does not start what is still waiting.
        pool.shutdown(cancel_futures=True)


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
) -> Path:
    path = _record_path(cell, reference_cell, study=study, out=out)
    if not path.exists():
        x, rows = _good_rows(cell, out)
        table = measure_points(
            x,
            cell.groups()[rows],
            options=study.metrics,
            reference=reference,
            seed=study.seed,
            plain=None if cell.setting == SEMANTIC else _good_rows(reference_cell, out)[0],
        )
        rows = rows[table.index]
        # No names of encoders or image sets in here: renaming one must not measure it again.
        table.insert(1, "point", cell.points()[rows])
        table.insert(2, "view", cell.view_numbers()[rows])
        with whole_file(path) as part:
            table.to_parquet(part, index=False)
    return path


def _record_path(cell: Cell, reference: Cell, *, study: Study, out: Path) -> Path:
    digest = cell.measure_digest(study.metrics, seed=study.seed, reference=reference)
    return out / "records" / f"{digest}.parquet"
