"""The transfer stage: every encoder on every target, measured once, then one table."""

from __future__ import annotations

import json
import warnings
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from mgm_jax.files import whole_file
from mgm_jax.progress import progress
from mgm_jax.study import Study
from mgm_jax.sweep.cells import Cell, Failure
from mgm_jax.sweep.records import each_side_by_side, good_rows
from mgm_jax.sweep.tables import write_table
from mgm_jax.sweep.targets import Target
from mgm_jax.sweep.transfer import ROW_COLUMNS, Outcome, TransferCell

#: Columns that say whose transfer a row is.
SUBJECT_COLUMNS = ("encoder", "family", "architecture", "paradigm", "tap", "images")

_TABLE = "transfer"
_DTYPES = dict.fromkeys(("value", "low", "high", "level", "strength"), "float64") | {
    "converged": "boolean",
    **dict.fromkeys(("n_train", "n_test", "classes"), "Int64"),
}


def measure_transfer(
    cells: Sequence[tuple[Cell, Target]], *, study: Study, out: Path
) -> tuple[int, list[tuple[str, str]], list[Failure]]:
    """Measure what is missing and write ``transfer.parquet`` and ``transfer.csv``.

    Args:
        cells: un-augmented embeddings of each encoder on each target.
        study: what to measure; its ``transfer`` is set.
        out: folder of the results.

    Returns:
        The number of rows, what was left out (target and reason, each once), and what failed.
    """
    transfer = study.transfer
    if transfer is None:
        return 0, [], []
    jobs = [
        TransferCell(cell=cell, target=target, measure=measure)
        for cell, target in cells
        for measure in (*transfer.probes, *transfer.scores)
    ]
    failures: list[Failure] = []
    rows: list[dict[str, object]] = []
    left_out: dict[tuple[str, str], None] = {}
    with (
        warnings.catch_warnings(),
        progress("transfer", total=len(jobs), unit="measure") as bar,
    ):
        # Equal images are common in collections; a warning a cell would bury the rest.
        warnings.filterwarnings("ignore", message=".*duplicate.*")
        for job, outcome in each_side_by_side(
            jobs, lambda job: _outcome(job, study=study, out=out), failures, bar
        ):
            rows += [_subject_columns(job.cell) | row for row in outcome.rows]
            left_out |= {(job.cell.images.name, reason): None for reason in outcome.left_out}
    table = pd.DataFrame(rows, columns=[*SUBJECT_COLUMNS, *ROW_COLUMNS]).astype(_DTYPES)
    write_table(table, out / _TABLE)
    return len(table), list(left_out), failures


def remove_transfer(out: Path) -> None:
    """Remove the table of an earlier study that asked for transfer; this one does not."""
    for suffix in (".parquet", ".csv"):
        (out / f"{_TABLE}{suffix}").unlink(missing_ok=True)


def _outcome(job: TransferCell, *, study: Study, out: Path) -> Outcome:
    transfer = study.transfer
    if transfer is None:
        raise ValueError("study.transfer must be set")
    path = out / "records" / f"{job.digest(transfer, seed=study.seed)}.json"
    if not path.exists():
        x, rows = good_rows(job.cell, out)
        found = job.run(x, rows, transfer, seed=study.seed)
        # No names of encoders or image sets in here: renaming one must not measure it again.
        with whole_file(path) as part:
            part.write_text(json.dumps(found._asdict()))
    # Read back even when just computed: a resumed run must end with the very same digits.
    return Outcome(**json.loads(path.read_text()))


def _subject_columns(cell: Cell) -> dict[str, object]:
    subject = cell.subject
    return {
        "encoder": subject.name,
        "family": subject.family,
        "architecture": subject.architecture,
        "paradigm": subject.paradigm,
        "tap": cell.tap,
        "images": cell.images.name,
    }
