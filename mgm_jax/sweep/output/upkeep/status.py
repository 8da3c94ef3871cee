"""What a study has done, from the files it has left; opens no image and no encoder."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from enum import Enum
from pathlib import Path

from mgm_jax.files.seals import read_sealed
from mgm_jax.sweep.output.hold import holder
from mgm_jax.sweep.output.layout import CellFiles, StudyFiles, read_layouts

# Results that a rate looks back on: enough to even out bursts, few enough to follow a change.
_RECENT = 50


class State(Enum):
    """How far a cell is."""

    DONE = "done"
    RUNNING = "running"
    WAITING = "waiting"
    FAILED = "failed"


@dataclass(frozen=True, kw_only=True)
class StudyStatus:
    """How far one study is.

    Attributes:
        files: the account of the study.
        holder: the process that writes into the folder now; None where there is none.
        states: of each cell.
        errors: of each failed cell: its label and what was wrong.
        embed_left: seconds of embedding left, at the rate of the last results; None where there
            are too few to tell.
        measure_left: seconds of measuring left, alike.
    """

    files: StudyFiles
    holder: str | None
    states: tuple[State, ...]
    errors: tuple[tuple[str, str], ...]
    embed_left: float | None
    measure_left: float | None

    def count(self, state: State) -> int:
        """How many cells are in a state."""
        return self.states.count(state)

    def lines(self) -> list[str]:
        """The status in words."""
        who = f"running: {self.holder}" if self.holder else "not running"
        total = len(self.states)
        lines = [
            f"{self.files.name} ({self.files.origin})",
            f"  {who}",
            f"  {total} cells: " + ", ".join(f"{self.count(one)} {one.value}" for one in State),
        ]
        if self.count(State.RUNNING) + self.count(State.WAITING):
            lines.append(
                f"  left: embedding {_words(self.embed_left)}, "
                f"measuring {_words(self.measure_left)}"
            )
            if not self.holder:
                lines.append("  `mgm run` with the same study goes on from here")
        if lost := self.files.unloaded:
            lines.append(f"  {len(lost)} encoder(s) not among them, as they could not be loaded:")
            # What a converter says may run over lines; the report has all of them.
            lines += [f"  {name}: {what.splitlines()[0]}" for name, what in lost]
        lines += [f"  failed: {label}: {what}" for label, what in self.errors]
        if self.errors:
            lines.append("  `mgm run --retry-failed` with the same study tries these again")
        return lines


def study_status(out: Path, *, who: str | None = None) -> list[StudyStatus]:
    """How far every study of an output folder is.

    Cells are done when their records are there (or their embeddings, where no records are
    wanted); running when a run holds the folder and some of their chunks are there.

    Args:
        out: the output folder.
        who: whoever writes, where the folder itself does not tell.

    Raises:
        InputError: no study was run in ``out``.
    """
    who = who or holder(out)
    return [_status(files, out, who) for files in read_layouts(out).values()]


def _status(files: StudyFiles, out: Path, who: str | None) -> StudyStatus:
    states, errors = [], []
    chunks: list[tuple[float, int]] = []
    records: list[tuple[float, int]] = []
    rows_left = cells_left = 0
    for cell in files.cells:
        folder = out / cell.embeddings / "commits"
        # A measure on a target has no embeddings of its own.
        committed = [path.stat().st_mtime for path in folder.glob("[0-9]*.json") if cell.embeddings]
        chunks += [(time, cell.chunk_rows) for time in committed]
        error = _error(out, cell)
        record = _modified(out / cell.records) if cell.records else None
        if record is not None:
            records.append((record, 1))
        is_done = record is not None if cell.records else len(committed) >= cell.chunks
        if error is not None:
            states.append(State.FAILED)
            errors.append((cell.label, error))
            continue
        if is_done:
            states.append(State.DONE)
            continue
        states.append(State.RUNNING if who and committed else State.WAITING)
        rows_left += max(0, cell.chunks - len(committed)) * cell.chunk_rows
        cells_left += bool(cell.records)
    return StudyStatus(
        files=files,
        holder=who,
        states=tuple(states),
        errors=tuple(errors),
        embed_left=_left(chunks, rows_left),
        measure_left=_left(records, cells_left),
    )


def _error(out: Path, cell: CellFiles) -> str | None:
    for name in cell.failures:
        try:
            failure = read_sealed(out / name)
            where, what = str(failure["cell"]), str(failure["error"])
            return what if where == cell.label else f"not tried, as {where} failed: {what}"
        except FileNotFoundError:
            continue
        except (OSError, ValueError, KeyError, TypeError):
            return "unknown (its account is damaged)"
    return None


def _modified(path: Path) -> float | None:
    try:
        return path.stat().st_mtime
    except OSError:
        return None


def _left(results: Iterable[tuple[float, int]], units: int) -> float | None:
    """Seconds that ``units`` take at the rate of the newest results (time, units)."""
    if not units:
        return 0.0
    recent: Sequence[tuple[float, int]] = sorted(results)[-_RECENT:]
    # Times of results against each other, never against the clock, which may have been set.
    span = recent[-1][0] - recent[0][0] if recent else 0.0
    done = sum(count for _, count in recent[1:])
    return units * span / done if span > 0 and done else None


def _words(seconds: float | None) -> str:
    if seconds is None:
        return "unknown yet"
    return "none" if seconds == 0 else str(timedelta(seconds=max(1, round(seconds))))
