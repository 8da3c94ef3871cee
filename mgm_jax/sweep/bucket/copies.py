"""Which files of an output folder go to a bucket, in which order, and the copying of them.

What others refer to goes first: chunks before the records that say they are finished, these before
the tables, the account of the bucket last. So whoever finds a name in the account finds the object
too, and a copy that is killed anywhere has done no harm.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

from mgm_jax.files.seals import SUMS, file_sha256
from mgm_jax.files.whole import DAMAGED
from mgm_jax.progress import Bar
from mgm_jax.sweep.bucket.objects import CONTENTS, LEASE, Bucket, is_name_within

#: A request is tens of milliseconds of waiting, and an output has many thousand small files.
AT_ONCE = 8

# After so many files the account is written again: a long copy may be killed too.
_FILES_AN_ACCOUNT = 500

# Folders that a run goes on from. Not its decoded images and converted checkpoints: these are
# large, and made again from the images and checkpoints that every run needs anyhow.
_FOLDERS = ("embeddings", "failed", "records", "studies")
_SUFFIXES = (".csv", ".html", ".json", ".parquet", ".yaml")

#: Readers look at these first, so they come last.
LAST = (SUMS, "study.json", "report.html")

_Signature = tuple[int, int, int]
_R = TypeVar("_R")


def is_copied(name: str) -> bool:
    """Whether a file of an output folder goes to its bucket and comes back from there.

    >>> [is_copied(name) for name in ("records/a.parquet", "canvases/a", ".lock", "records/../a")]
    [True, False, False, False]
    """
    parts = name.split("/")
    hidden = any(part.startswith(".") for part in parts) or name.endswith((".__lock", DAMAGED))
    if hidden or not is_name_within(name):
        return False
    if len(parts) > 1:
        return parts[0] in _FOLDERS
    return name == SUMS or (name.endswith(_SUFFIXES) and name not in (CONTENTS, LEASE))


def rank(name: str) -> int:
    """Place in the order of copying: 0 for what nothing is needed for, more for what refers."""
    parts = name.split("/")
    if len(parts) == 1:
        return 4 if name in LAST else 3
    if parts[0] == "embeddings" and (parts[-2] == "commits" or parts[-1] == "manifest.json"):
        return 1
    return 2 if parts[0] in ("failed", "studies") else 0


def output_files(out: Path) -> dict[str, Path]:
    """All files of an output folder that are copied, by name; a run may be writing there."""
    # A record that was there at the first look speaks of a chunk that is there at the second.
    first = {name for name in _names(out) if rank(name)}
    return {name: out / name for name in _names(out) if not rank(name) or name in first}


def _names(out: Path) -> Iterator[str]:
    for where, folders, names in os.walk(out):
        if Path(where) == out:
            folders[:] = [folder for folder in folders if folder in _FOLDERS]
        for name in names:
            full = (Path(where) / name).relative_to(out).as_posix()
            if is_copied(full):
                yield full


class Sums:
    """sha256 of files, each read again only where it has changed since."""

    def __init__(self) -> None:
        self.known: dict[str, tuple[_Signature, str]] = {}

    def of(self, name: str, path: Path) -> str | None:
        """The sum of a file; None where it is gone."""
        try:
            signature = signature_of(path)
            known = self.known.get(name)
            if known is None or known[0] != signature:
                self.known[name] = (signature, file_sha256(path))
        except FileNotFoundError:
            return None
        return self.known[name][1]


def signature_of(path: Path) -> _Signature:
    """What changes when a file is replaced: its number, size and time."""
    status = path.stat()
    return status.st_ino, status.st_size, status.st_mtime_ns


class Copies:
    """What a bucket surely holds, brought up to date with files.

    Args:
        bucket: where the copies are.
        contents: its account.
        allowed: called before anything is changed there; raises where that is not ours to do.

    Attributes:
        there: sha256 of every object that is as the account says or will say.
        sums: of the files.
    """

    def __init__(
        self,
        bucket: Bucket,
        contents: Mapping[str, str],
        *,
        allowed: Callable[[], None] = lambda: None,
    ) -> None:
        self.there = dict(contents)
        self.sums = Sums()
        self._bucket, self._allowed = bucket, allowed
        self._said = dict(contents)
        self._leave: set[str] = set()

    def send(
        self, files: Mapping[str, Path], *, gone: Iterable[str] = (), bar: Bar | None = None
    ) -> tuple[int, int]:
        """Copy what is new or changed, remove what is gone, then write the account.

        An error of the bucket is raised on; what had been copied by then is not copied again.

        Args:
            files: by name; a file that vanishes meanwhile is left out, one that changes is left
                to the next call.
            gone: names whose objects leave.
            bar: advanced by every file of ``files``.

        Returns:
            Number of files that were copied, and their bytes.
        """
        sums = {name: self.sums.of(name, path) for name, path in files.items()}
        new = [name for name, total in sums.items() if total and self.there.get(name) != total]
        new.sort(key=lambda name: (rank(name), name))
        self._leave = (self._leave | set(gone)) - files.keys()
        for name in (*new, *self._leave):
            # Until the end the account speaks of what is surely there alone.
            self.there.pop(name, None)
        if bar is not None:
            bar.advance(len(files) - len(new))
        if new or self._leave:
            self._allowed()
        self._account()
        count = size = 0
        for group in _batches(new):
            for copied in _side_by_side(lambda name: self._send(name, files[name]), group):
                count, size = count + (copied is not None), size + (copied or 0)
                if bar is not None:
                    bar.advance()
            if len(group) == _FILES_AN_ACCOUNT:
                self._account()
        self._account()
        for name in sorted(self._leave):
            self._allowed()
            self._bucket.remove(name)
            self._leave.discard(name)
        return count, size

    def _send(self, name: str, path: Path) -> int | None:
        signature, total = self.sums.known[name]
        try:
            self._bucket.send(name, path)
            if signature_of(path) != signature:
                return None
        except Exception:
            if path.exists():
                raise
            # It has done its service: a part of a chunk that is finished now.
            self._leave.add(name)
            return None
        self.there[name] = total
        return signature[1]

    def _account(self) -> None:
        if self.there != self._said:
            self._allowed()
            contents = dict(sorted(self.there.items()))
            self._bucket.write_contents(contents)
            self._said = contents


def fetch_all(
    bucket: Bucket, names: Mapping[str, str], out: Path, *, bar: Bar
) -> tuple[list[str], list[str]]:
    """Copy objects into an output folder.

    Args:
        bucket: where they are.
        names: the sha256 that each has to have.
        out: folder; each file in it is replaced whole or stays as it was.
        bar: advanced by every object.

    Returns:
        Names that came, and names that are gone there or not what they have to be.
    """
    came: list[str] = []
    unfit: list[str] = []
    ordered = sorted(names, key=lambda name: (rank(name), name))

    def fetch(name: str) -> bool:
        return bucket.fetch(name, out / name, sha256=names[name])

    for group in _batches(ordered):
        for name, fits in zip(group, _side_by_side(fetch, group), strict=True):
            (came if fits else unfit).append(name)
            bar.advance()
    return came, unfit


def _side_by_side(work: Callable[[str], _R], names: list[str]) -> Iterator[_R]:
    pool = ThreadPoolExecutor(AT_ONCE)
    try:
        yield from pool.map(work, names)
    finally:
        # After an error, what still waits would most likely meet the same.
        pool.shutdown(cancel_futures=True)


def _batches(names: list[str]) -> Iterator[list[str]]:
    """Runs of names of one rank, so that nothing overtakes what it refers to."""
    start = 0
    for end in range(1, len(names) + 1):
        full = end - start == _FILES_AN_ACCOUNT
        if end == len(names) or full or rank(names[end]) != rank(names[start]):
            yield names[start:end]
            start = end
