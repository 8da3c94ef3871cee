"""Cells that failed, on disk: named by every later run, tried again only when asked to.

A failure is kept under the digest of what was tried, so that a changed study, another encoder
of the same name or other versions of the libraries try anew by themselves.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from mgm_jax.embeddings import library_versions
from mgm_jax.files.seals import read_sealed, write_sealed
from mgm_jax.sweep.measures.transfer import TransferCell
from mgm_jax.sweep.plan.cells import Cell, Failure
from mgm_jax.sweep.plan.workload import Workload

Stage = Literal["embed", "reference", "measure", "transfer"]

#: Folder of the failures, below the study's output.
FOLDER = "failed"


@dataclass(frozen=True, kw_only=True)
class Ledger:
    """The failures of one study.

    Attributes:
        work: the study.
    """

    work: Workload

    def path(self, cell: Cell | TransferCell, stage: Stage) -> Path:
        """File of a failure; it exists only where the stage failed."""
        if isinstance(cell, TransferCell):
            digest = self.work.transfer_path(cell).stem
        elif stage == "embed":
            digest = cell.manifest.digest[:24]
        elif stage == "reference":
            digest = self.work.reference_path(cell).stem
        else:
            digest = self.work.record_path(cell).stem
        return self.work.out / FOLDER / f"{stage}-{digest}.json"

    def add(self, cell: Cell | TransferCell, stage: Stage, error: Exception) -> Failure:
        """Note that a stage of a cell failed."""
        what = str(error) or type(error).__name__
        content = {
            "cell": cell.label,
            "stage": stage,
            "error": what,
            "versions": _versions(),
            "on_error": self.work.study.on_error,
        }
        write_sealed(self.path(cell, stage), content, indent=2)
        return _failure(cell, what)

    def find(self, cell: Cell | TransferCell, stage: Stage) -> Failure | None:
        """What is known of a failed stage; None where it may be tried."""
        try:
            content = read_sealed(self.path(cell, stage))
            # Skipping what is wrong with one image may be what it takes.
            mode = content.get("on_error", "raise")
            if content["versions"] != _versions() or mode != self.work.study.on_error:
                return None
            return _failure(cell, str(content["error"]))
        except (OSError, ValueError, KeyError, TypeError):
            return None

    def blocked(self, cell: Cell) -> Failure | None:
        """Why a cell cannot be measured, if an earlier stage of it or of its reference failed."""
        reference = self.work.reference_of(cell)
        if failure := self.find(cell, "embed"):
            return failure
        for stage in ("embed", "reference"):
            failure = self.find(reference, stage)
            if failure and cell is not reference:
                what = f"not tried, as the images without augmentation failed: {failure.what}"
                return _failure(cell, what)
            if failure:
                return failure
        return None

    def forget(self) -> None:
        """Let everything that failed be tried again."""
        for cell in self.work.embedded:
            for stage in ("embed", "reference", "measure"):
                self.path(cell, stage).unlink(missing_ok=True)
        for job in self.work.transfers:
            self.path(job, "transfer").unlink(missing_ok=True)


def _failure(cell: Cell | TransferCell, what: str) -> Failure:
    return Failure(images=cell.images.name, where=cell.label, what=what, is_image=False)


def _versions() -> dict[str, str]:
    return dict(library_versions())
