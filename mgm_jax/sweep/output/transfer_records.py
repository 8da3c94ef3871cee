"""The table of the transfer stage, from the records of every measure on every target."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from mgm_jax.sweep.measures.transfer import ROW_COLUMNS, Outcome, TransferCell
from mgm_jax.sweep.output.tables import write_table
from mgm_jax.sweep.plan.cells import Cell
from mgm_jax.sweep.plan.given_scores import given_rows

#: Columns that say whose transfer a row is.
SUBJECT_COLUMNS = ("encoder", "family", "architecture", "paradigm", "tap", "images")

_TABLE = "transfer"
_DTYPES = dict.fromkeys(("value", "low", "high", "level", "strength"), "float64") | {
    "converged": "boolean",
    **dict.fromkeys(("n_train", "n_test", "classes"), "Int64"),
}


def write_transfer(
    outcomes: Sequence[tuple[TransferCell, Outcome]],
    *,
    out: Path,
    given: pd.DataFrame | None = None,
    cells: Sequence[Cell] = (),
) -> int:
    """Write ``transfer.parquet`` and ``transfer.csv``; returns the number of rows.

    Args:
        outcomes: what the measures found.
        out: folder of the tables.
        given: scores that the study brings ``[models, tasks]``.
        cells: of the models that these may name.
    """
    rows = [_subject_columns(job.cell) | row for job, outcome in outcomes for row in outcome.rows]
    if given is not None:
        subjects = {cell.subject.name: _subject_columns(cell) for cell in cells}
        rows += [subjects[row["encoder"]] | row for row in given_rows(given)]
    table = pd.DataFrame(rows, columns=[*SUBJECT_COLUMNS, *ROW_COLUMNS]).astype(_DTYPES)
    write_table(table, out / _TABLE)
    return len(table)


def left_out_of(outcomes: Sequence[tuple[TransferCell, Outcome]]) -> list[tuple[str, str]]:
    """What did not fit a target: its name and the reason, each once."""
    return list(
        dict.fromkeys(
            (job.images.name, reason) for job, outcome in outcomes for reason in outcome.left_out
        )
    )


def remove_transfer(out: Path) -> None:
    """Remove the table of an earlier study that asked for transfer; this one does not."""
    for suffix in (".parquet", ".csv"):
        (out / f"{_TABLE}{suffix}").unlink(missing_ok=True)


def _subject_columns(cell: Cell) -> dict[str, object]:
    return {**cell.subject.columns, "tap": cell.tap, "images": cell.images.name}
