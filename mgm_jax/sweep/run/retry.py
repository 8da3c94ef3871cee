"""What has to go before something that failed is tried again."""

from __future__ import annotations

from mgm_jax.embeddings import EmbeddingStore
from mgm_jax.errors import InputError
from mgm_jax.sweep.output.ledger import Ledger
from mgm_jax.sweep.plan.cells import SEMANTIC, Cell
from mgm_jax.sweep.plan.workload import Workload


def forget_failures(work: Workload) -> None:
    """Let all failed cells be tried again, and measure again where images were missing.

    Records know only which embeddings they were made from, not which of these were missing: a
    file that can be read today (a share that was away) has the digest it had before. So the
    records of cells with unread images go, and with a reference all records that refer to it.
    """
    Ledger(work=work).forget()
    stale = {cell.manifest.digest for cell in work.embedded if _has_unread(cell, work)}
    for cell in work.cells:
        reference = work.reference_of(cell).manifest.digest
        if cell.manifest.digest in stale or reference in stale:
            work.record_path(cell).unlink(missing_ok=True)
        if reference in stale and cell.setting == SEMANTIC:
            work.reference_path(cell).unlink(missing_ok=True)
    for job in work.transfers:
        if job.cell.manifest.digest in stale:
            work.transfer_path(job).unlink(missing_ok=True)


def _has_unread(cell: Cell, work: Workload) -> bool:
    try:
        store = EmbeddingStore.open(work.embeddings_path(cell), cell.manifest, create=False)
    except InputError:
        return False
    return bool(store.failures)
