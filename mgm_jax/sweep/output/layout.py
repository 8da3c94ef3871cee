"""The account of every study in an output folder: its cells and the files they own.

``studies/NAME.json`` lets others than the run itself, ``mgm status`` and ``mgm gc``, find their way
without opening images or encoders. A study that was changed and run again replaces its account;
another study has one of its own, so that several can share one folder.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from mgm_jax.errors import InputError
from mgm_jax.files.names import safe_name
from mgm_jax.files.seals import read_sealed, write_sealed
from mgm_jax.sweep.output.ledger import Ledger
from mgm_jax.sweep.plan.cells import SEMANTIC
from mgm_jax.sweep.plan.workload import Workload

FOLDER = "studies"


@dataclass(frozen=True, kw_only=True)
class CellFiles:
    """What one cell leaves; paths from the output folder, empty for what it does not have.

    Attributes:
        label: the cell in one line.
        rows: embeddings.
        chunk_rows: embeddings in one chunk.
        embeddings: folder of the embeddings.
        reference: file of the reference; of cells without augmentation only.
        records: file of the per-point records.
        failures: files that are there where a stage of it, or of its reference, failed.
    """

    label: str
    rows: int
    chunk_rows: int
    embeddings: str
    reference: str
    records: str
    failures: tuple[str, ...]

    @property
    def chunks(self) -> int:
        """Number of chunks of the embeddings."""
        return -(-self.rows // self.chunk_rows)


@dataclass(frozen=True, kw_only=True)
class StudyFiles:
    """What one study refers to.

    Attributes:
        name: title of the study.
        origin: where the study came from: its file.
        digest: of the study.
        encoders: folders of converted checkpoints.
        cells: all cells.
        canvases: files of decoded images.
        unloaded: encoders that could not be loaded: name and why.
    """

    name: str
    origin: str
    digest: str
    encoders: tuple[str, ...]
    cells: tuple[CellFiles, ...]
    canvases: tuple[str, ...] = ()
    unloaded: tuple[tuple[str, str], ...] = ()

    def paths(self) -> Iterator[str]:
        """Everything the study refers to."""
        yield from self.encoders
        yield from self.canvases
        for cell in self.cells:
            yield from filter(None, (cell.embeddings, cell.reference, cell.records))
            yield from cell.failures


def write_layout(work: Workload, *, origin: str) -> Path:
    """Write the account of a study; the last one of the same origin is replaced."""
    ledger = Ledger(work=work)
    cells = []
    measured = set(map(id, work.cells))
    for cell in work.embedded:
        has_records = id(cell) in measured and work.is_measured(cell)
        plain = id(cell) in measured and cell.setting == SEMANTIC
        reference = work.reference_of(cell)
        failures = [
            ledger.path(cell, "embed"),
            ledger.path(reference, "embed"),
            ledger.path(reference, "reference"),
            ledger.path(cell, "measure"),
        ]
        cells.append(
            CellFiles(
                label=cell.label,
                rows=cell.manifest.rows,
                chunk_rows=cell.manifest.chunk_rows,
                embeddings=_below(work, work.embeddings_path(cell)),
                reference=_below(work, work.reference_path(cell)) if plain else "",
                records=_below(work, work.record_path(cell)) if has_records else "",
                failures=tuple(dict.fromkeys(_below(work, path) for path in failures)),
            )
        )
    for job in work.transfers:
        failures = [ledger.path(job.cell, "embed"), ledger.path(job, "transfer")]
        cells.append(
            CellFiles(
                label=job.label,
                rows=0,
                chunk_rows=1,
                embeddings="",
                reference="",
                records=_below(work, work.transfer_path(job)),
                failures=tuple(_below(work, path) for path in failures),
            )
        )
    files = StudyFiles(
        name=work.study.name,
        origin=origin,
        digest=work.study.digest,
        encoders=tuple(
            dict.fromkeys(
                _below(work, path) for path in work.converted if path.is_relative_to(work.out)
            )
        ),
        cells=tuple(cells),
        canvases=tuple(_below(work, path) for path in work.canvases),
        unloaded=tuple((one.where, one.what) for one in work.unloaded),
    )
    path = work.out / FOLDER / f"{_key(origin)}.json"
    write_sealed(path, asdict(files))
    return path


def read_layouts(out: Path) -> dict[Path, StudyFiles]:
    """The accounts of all studies of an output folder.

    Raises:
        InputError: there is none, or one is damaged.
    """
    paths = sorted((out / FOLDER).glob("[!.]*.json"))
    if not paths:
        raise InputError(f"{out}: no study was run here ({FOLDER}/ has no account of one)")
    return {path: _read(path) for path in paths}


def _read(path: Path) -> StudyFiles:
    try:
        content = read_sealed(path)
        cells = tuple(
            CellFiles(**cell | {"failures": tuple(cell["failures"])}) for cell in content["cells"]
        )
        unloaded = tuple((str(name), str(what)) for name, what in content["unloaded"])
        files = StudyFiles(
            name=str(content["name"]),
            origin=str(content["origin"]),
            digest=str(content["digest"]),
            encoders=tuple(content["encoders"]),
            cells=cells,
            canvases=tuple(content["canvases"]),
            unloaded=unloaded,
        )
        # It may have come from a bucket, and others remove and copy what it names.
        if outside := [name for name in files.paths() if not _is_below(name)]:
            raise ValueError(f"it names {outside[0]!r}, outside the folder")
        return files
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(
            f"{path}: damaged, or of an earlier version ({error}); run its study again, or delete "
            "the file where the study no longer counts"
        ) from error


def _below(work: Workload, path: Path) -> str:
    return path.relative_to(work.out).as_posix()


def _is_below(name: str) -> bool:
    return not name.startswith("/") and ".." not in name.split("/")


def _key(origin: str) -> str:
    stem = safe_name(Path(origin).stem, most=60)
    return f"{stem}-{hashlib.sha256(origin.encode()).hexdigest()[:8]}"
