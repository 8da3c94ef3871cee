"""Before a run: what is damaged of its output is named, moved out of the way and made again."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from mgm_jax.embeddings import set_aside_damaged
from mgm_jax.errors import name_some
from mgm_jax.files import set_aside
from mgm_jax.sweep.output.records import check_record
from mgm_jax.sweep.plan.workload import Workload

# Reading and hashing release the interpreter lock; more threads than this wait for the disk.
_CHECK_THREADS = 4


def set_aside_all_damaged(work: Workload, *, say: Callable[[str], None]) -> None:
    """Move every damaged record, manifest and array header of a study out of the way.

    Chunks of embeddings need none of this: they are checked when the embeddings are asked for.

    Args:
        work: the study.
        say: told what was damaged.
    """
    records = [path for path in dict.fromkeys(_records(work)) if path.exists()]
    with ThreadPoolExecutor(_CHECK_THREADS) as pool:
        wrong = list(pool.map(check_record, records))
    moved = []
    for path, what in zip(records, wrong, strict=True):
        if what is not None:
            set_aside(path)
            moved.append(path)
    for cell in work.embedded:
        moved += set_aside_damaged(work.embeddings_path(cell), cell.manifest)
    if moved:
        named = name_some((path.relative_to(work.out) for path in moved), most=5)
        say(f"{work.out}: damaged, set aside and computed again: {named}")


def _records(work: Workload) -> Iterator[Path]:
    for cell in work.cells:
        yield work.reference_path(cell)
        if work.is_measured(cell):
            yield work.record_path(cell)
    for job in work.transfers:
        yield work.transfer_path(job)
