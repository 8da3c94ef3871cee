"""Finished results in a bucket: tables, report and, where asked for, embeddings, through fsspec.

A run itself needs a file system, for its lock and for files that appear whole by a rename. What it
has left can be copied anywhere.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mgm_jax.embeddings import EmbeddingStore
from mgm_jax.errors import InputError, name_some
from mgm_jax.files import file_sha256
from mgm_jax.progress import progress
from mgm_jax.sweep.hold import hold
from mgm_jax.sweep.layout import read_layouts

#: Beside the copies: the sha256 of each. A later copy removes only what it names.
CONTENTS = "contents.json"

# Readers look at these first, so they come last.
_LAST = ("study.json", "report.html")


@dataclass(frozen=True, kw_only=True)
class Uploaded:
    """What a copy to a bucket did.

    Attributes:
        url: where the results are.
        sent: files that were copied, and their bytes.
        kept: files that were there already.
        removed: files of an earlier copy that the results no longer have.
    """

    url: str
    sent: tuple[int, int]
    kept: int
    removed: int


def upload_results(out: Path, url: str, *, embeddings: bool = False) -> Uploaded:
    """Copy finished tables and the report to a bucket; what is there already is not sent again.

    Args:
        out: folder of the results.
        url: where to, as fsspec takes it: ``s3://bucket/folder``, ``gs://bucket/folder``.
        embeddings: copy the embeddings too: zarr arrays, with their commits and manifests.

    Raises:
        InputError: no finished study in ``out``, a run that writes there, embeddings that are not
            finished, fsspec or its part for this kind of address missing, or a copy that fails.
    """
    storage, root = _open(url)
    # Without an account of a study this is no folder of results, and not to be made one.
    read_layouts(out)
    with hold(out):
        paths = [*(_stores(out) if embeddings else ()), *_results(out)]
        names = {path.relative_to(out).as_posix(): path for path in paths}
        try:
            return _copy(names, storage, root, url=url)
        except (OSError, ValueError) as error:
            raise InputError(f"{url}: cannot be written to ({error})") from error


def refuse_url(output: object) -> None:
    """Refuse the address of a bucket where a folder is needed.

    Raises:
        InputError: it is one.
    """
    if "://" in str(output):
        raise InputError(
            f"{output}: a run needs a folder that it can lock and rename files in; give -o with "
            "a local or shared folder, then `mgm upload` its results there"
        )


def _results(out: Path) -> list[Path]:
    if not (out / "summary.parquet").is_file():
        raise InputError(f"{out}: no finished study here (summary.parquet is missing)")
    tables = [
        path
        for suffix in ("parquet", "csv")
        for path in sorted(out.glob(f"*.{suffix}"))
        if not path.name.startswith(".")
    ]
    return [*tables, *(out / name for name in _LAST if (out / name).is_file())]


def _stores(out: Path) -> Iterator[Path]:
    """All files of the embeddings that the studies of a folder refer to."""
    cells = [cell for files in read_layouts(out).values() for cell in files.cells]
    folders = dict.fromkeys(out / cell.embeddings for cell in cells if cell.embeddings)
    there = [folder for folder in folders if folder.is_dir()]
    unfinished = [
        folder.relative_to(out) for folder in there if not EmbeddingStore.open(folder).complete
    ]
    if unfinished:
        raise InputError(
            f"{out}: embeddings that are not finished: {name_some(unfinished, most=3)}. "
            "Let `mgm run` finish them, or copy without --embeddings"
        )
    for folder in there:
        yield from sorted(
            path
            for path in folder.rglob("*")
            # Parts and leftovers of killed writers are nobody's results.
            if path.is_file() and path.suffix != ".part" and not path.name.startswith(".part-")
        )


def _copy(names: dict[str, Path], storage: Any, root: str, *, url: str) -> Uploaded:
    before = _contents(storage, root)
    contents = {name: file_sha256(path) for name, path in names.items()}
    new = [name for name in names if before.get(name) != contents[name]]
    # Until the end the account speaks of what is surely there alone.
    sure = {name: before[name] for name in before if contents.get(name) == before[name]}
    size = sum(names[name].stat().st_size for name in new)
    if new or before.keys() - contents.keys():
        _write(storage, root, sure)
    with progress("upload", total=len(new), unit="file") as bar:
        for name in new:
            storage.makedirs(f"{root}/{name}".rpartition("/")[0], exist_ok=True)
            storage.put_file(str(names[name]), f"{root}/{name}")
            found = storage.size(f"{root}/{name}")
            if found != names[name].stat().st_size:
                raise OSError(f"{name} arrived with {found} bytes; copy again")
            bar.advance()
    gone = sorted(before.keys() - contents.keys())
    for name in gone:
        if storage.exists(f"{root}/{name}"):
            storage.rm_file(f"{root}/{name}")
    _write(storage, root, contents)
    return Uploaded(url=url, sent=(len(new), size), kept=len(names) - len(new), removed=len(gone))


def _contents(storage: Any, root: str) -> dict[str, str]:
    try:
        said = json.loads(storage.cat_file(f"{root}/{CONTENTS}"))
        # A name that leads elsewhere is none of ours.
        return {name: str(sha) for name, sha in said.items() if ".." not in name.split("/")}
    except FileNotFoundError:
        return {}
    except (ValueError, AttributeError):
        return {}


def _write(storage: Any, root: str, contents: dict[str, str]) -> None:
    storage.makedirs(root, exist_ok=True)
    storage.pipe_file(f"{root}/{CONTENTS}", json.dumps(contents, indent=1).encode())


def _open(url: str) -> tuple[Any, str]:
    """The file system of an address, and the folder within."""
    if "://" not in url:
        raise InputError(
            f"expected the address of a bucket such as s3://bucket/folder, got {url!r}"
        )
    try:
        import fsspec

        storage, root = fsspec.core.url_to_fs(url)
    except ImportError as error:
        raise InputError(f"{url}: {error}; pip install 'mgm_jax[bucket]'") from error
    except (ValueError, OSError) as error:
        raise InputError(f"{url}: {error}") from error
    return storage, str(root).rstrip("/")
