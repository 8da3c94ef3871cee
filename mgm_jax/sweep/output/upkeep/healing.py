"""Before a run: what is damaged of its output is named, moved out of the way and made again.

Per-point records, the large ones, are not among it: they are checked where the tables read them,
once.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from mgm_jax.embeddings import set_aside_damaged
from mgm_jax.errors import name_some
from mgm_jax.files.seals import DamagedError, read_sealed
from mgm_jax.files.whole import set_aside
from mgm_jax.sweep.measures.measure import Reference
from mgm_jax.sweep.measures.transfer import Outcome
from mgm_jax.sweep.plan.cells import SEMANTIC
from mgm_jax.sweep.plan.workload import Workload

# Reading and hashing release the interpreter lock; more threads than this wait for the disk.
_CHECK_THREADS = 4


Record = TypeVar("Record")


@dataclass(frozen=True, kw_only=True)
class Checked:
    """The small records that were whole at the start, so that none is read twice.

    Attributes:
        references: by their file.
        outcomes: what measures on targets found, by their file.
    """

    references: dict[Path, Reference]
    outcomes: dict[Path, Outcome]


def set_aside_all_damaged(work: Workload, *, say: Callable[[str], None]) -> Checked:
    """Move every damaged small record, manifest and array header of a study out of the way.

    Chunks of embeddings need none of this: they are checked when the embeddings are asked for.

    Args:
        work: the study.
        say: told what was damaged.

    Returns:
        The records that are whole.
    """
    plain = [work.reference_path(cell) for cell in work.cells if cell.setting == SEMANTIC]
    jobs = [work.transfer_path(job) for job in work.transfers]
    references, moved = _checked(plain, Reference.from_json)
    outcomes, more = _checked(jobs, lambda content: Outcome(**content))
    moved += more
    for path in moved:
        set_aside(path)
    for cell in work.embedded:
        moved += set_aside_damaged(work.embeddings_path(cell), cell.manifest)
    say_damaged(work.out, moved, say=say)
    return Checked(references=references, outcomes=outcomes)


def say_damaged(out: Path, moved: Sequence[Path], *, say: Callable[[str], None]) -> None:
    """Name what was set aside of an output folder, where there is any."""
    if moved:
        named = name_some((path.relative_to(out) for path in moved), most=5)
        say(f"{out}: damaged, set aside and computed again: {named}")


def _checked(
    paths: Sequence[Path], parse: Callable[[dict[str, Any]], Record]
) -> tuple[dict[Path, Record], list[Path]]:
    """The records of some files, those that are there and whole, and the damaged ones."""

    def read(path: Path) -> Record | None:
        try:
            return parse(read_sealed(path))
        except FileNotFoundError:
            return None
        except (DamagedError, OSError, TypeError, KeyError):
            damaged.append(path)
            return None

    damaged: list[Path] = []
    paths = list(dict.fromkeys(paths))
    with ThreadPoolExecutor(_CHECK_THREADS) as pool:
        results = list(pool.map(read, paths))
    whole = {path: one for path, one in zip(paths, results, strict=True) if one is not None}
    return whole, sorted(damaged)
