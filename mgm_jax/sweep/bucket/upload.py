"""Results in a bucket: tables, report and, where asked for, embeddings or all that a run needs."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from mgm_jax.embeddings import EmbeddingStore
from mgm_jax.errors import InputError, name_some
from mgm_jax.files.whole import DAMAGED, PART
from mgm_jax.progress import progress
from mgm_jax.sweep.bucket.copies import LAST, Copies, output_files
from mgm_jax.sweep.bucket.lease import Lease, LeaseLost
from mgm_jax.sweep.bucket.mirror import Say
from mgm_jax.sweep.bucket.objects import Bucket
from mgm_jax.sweep.output.hold import hold
from mgm_jax.sweep.output.layout import FOLDER as STUDIES
from mgm_jax.sweep.output.layout import read_layouts


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


def upload_results(
    out: Path,
    url: str,
    *,
    embeddings: bool = False,
    everything: bool = False,
    say: Say = lambda text: None,
) -> Uploaded:
    """Copy results to a bucket; what is there already is not sent again.

    Args:
        out: folder of the results.
        url: where to, as fsspec takes it: ``s3://bucket/folder``, ``gs://bucket/folder``.
        embeddings: copy the embeddings too: zarr arrays, with their commits and manifests.
        everything: copy all that a run in the bucket goes on from, of unfinished studies too.
        say: told what is being waited for.

    Raises:
        InputError: no finished study in ``out``, a run that writes there or in the bucket,
            embeddings that are not finished, fsspec or its part for this kind of address missing,
            a bucket that a run writes to and not ``everything``, or a copy that fails.
    """
    bucket = Bucket.open(url)
    # Without an account of a study this is no folder of results, and not to be made one.
    read_layouts(out)
    with hold(out):
        if everything:
            names = output_files(out)
        else:
            paths = [*(_stores(out) if embeddings else ()), *_results(out)]
            names = {path.relative_to(out).as_posix(): path for path in paths}
        lease = Lease(bucket, say=say)
        try:
            with lease.held():
                return _copy(names, bucket, lease, everything=everything)
        except InputError:
            raise
        except LeaseLost as error:
            raise InputError(f"{bucket.url}: {error}; copy again when it has ended") from error
        except Exception as error:
            raise InputError(f"{bucket.url}: cannot be written to ({error})") from error


def _copy(names: dict[str, Path], bucket: Bucket, lease: Lease, *, everything: bool) -> Uploaded:
    contents = bucket.contents()
    if not everything and any(name.startswith(f"{STUDIES}/") for name in contents):
        raise InputError(
            f"{bucket.url}: here is the output of a run, which tables alone would replace; copy "
            "with --all, or to another address"
        )
    gone = contents.keys() - names.keys()
    copies = Copies(bucket, contents, allowed=lease.check)
    with progress("upload", total=len(names), unit="file") as bar:
        count, size = copies.send(names, gone=gone, bar=bar)
    return Uploaded(url=bucket.url, sent=(count, size), kept=len(names) - count, removed=len(gone))


def _results(out: Path) -> list[Path]:
    if not (out / "summary.parquet").is_file():
        raise InputError(f"{out}: no finished study here (summary.parquet is missing)")
    tables = [
        path
        for suffix in ("parquet", "csv")
        for path in sorted(out.glob(f"*.{suffix}"))
        if not path.name.startswith(".")
    ]
    return [*tables, *(out / name for name in LAST if (out / name).is_file())]


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
            # Parts, leftovers of killed writers and what is damaged are nobody's results.
            if path.is_file()
            and path.suffix not in (".part", DAMAGED)
            and not path.name.startswith(PART)
        )
