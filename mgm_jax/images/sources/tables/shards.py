"""Sets that are cut into several files: the files of a pattern or folder, and of a split."""

from __future__ import annotations

import glob
import itertools
import os
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from mgm_jax.errors import InputError, name_some
from mgm_jax.images.decoding.formats import why_passed_over
from mgm_jax.images.sources.files.layout import split_kind

_MAX_FILES = 1_000_000
_RANGE = re.compile(r"(\d{1,12})\.\.(\d{1,12})")
_BRACE = re.compile(r"\{([^{}]*)\}")


def is_pattern(text: str) -> bool:
    """Whether a path stands for several files.

    >>> is_pattern("shards/{000..012}.tar"), is_pattern("train-*.parquet"), is_pattern("a.tar")
    (True, True, False)
    """
    return any(one in text for one in "*?{[")


def shard_files(pattern: str) -> list[Path]:
    """Files that a pattern stands for, sorted: ``*``, ``?``, ``[abc]``, ``{000..012}``, ``{a,b}``.

    Raises:
        InputError: a range that is no range or too long, or a file of one that is not there.
    """
    files: dict[Path, None] = {}
    for one in itertools.islice(_expanded(pattern), _MAX_FILES + 1):
        if len(files) > _MAX_FILES:
            raise InputError(f"{pattern} stands for more than {_MAX_FILES:,} files.")
        paths = sorted(glob.glob(one, recursive=True)) if glob.has_magic(one) else [one]
        files.update(dict.fromkeys(map(Path, paths)))
    missing = [str(file) for file in files if not file.exists()]
    if missing or not files:
        raise InputError(
            f"{pattern} stands for no file that is there"
            + (f": {name_some(missing, most=3)} missing." if missing else ".")
        )
    return list(files)


def _expanded(pattern: str) -> Iterator[str]:
    brace = _BRACE.search(pattern)
    if brace is None:
        yield pattern
        return
    span = _RANGE.fullmatch(brace[1])
    if span:
        first, last = int(span[1]), int(span[2])
        width = len(span[1]) if span[1].startswith("0") else 1
        steps: Iterator[str] = (f"{number:0{width}d}" for number in range(first, last + 1))
    elif "," in brace[1]:
        steps = iter(brace[1].split(","))
    else:
        raise InputError(f"{pattern}: {{...}} must be a range {{000..012}} or a list {{a,b}}.")
    for step in steps:
        yield from _expanded(pattern[: brace.start()] + step + pattern[brace.end() :])


def folder_of_shards(folder: Path) -> str | None:
    """The suffix of a folder that holds shards of one kind and no image; None for any other.

    A folder of images is told by the first of them, however large it is.
    """
    suffixes: set[str] = set()
    for below, folders, names in os.walk(folder):
        folders[:] = sorted(one for one in folders if not one.startswith("."))
        for name in names:
            if why_passed_over(name) is None:
                return None
            suffix = Path(name).suffix.lower()
            if suffix in (".tar", ".parquet", ".arrow") and not name.startswith("."):
                suffixes.add(suffix)
        if len(suffixes) > 1 or below.count(os.sep) > str(folder).count(os.sep) + 4:
            return None
    return suffixes.pop() if len(suffixes) == 1 else None


def files_below(folder: Path, suffix: str) -> list[Path]:
    """Shards in a folder at any depth, sorted; hidden ones are left out."""
    return sorted(
        file
        for file in folder.rglob(f"*{suffix}")
        if not any(part.startswith(".") for part in file.relative_to(folder).parts)
    )


def shards_of_split(files: Sequence[Path], split: str | None, *, where: str) -> list[Path]:
    """Files of one split, told by the words of their names or of their folder.

    Raises:
        InputError: no file of it.

    >>> files = [Path("x/train-00000-of-00002.parquet"), Path("x/validation.parquet")]
    >>> [one.name for one in shards_of_split(files, "val", where="x")]
    ['validation.parquet']
    """
    if split is None:
        return list(files)
    kind, wanted = split_kind(split), split.lower()

    def fits(file: Path) -> bool:
        words = [file.parent.name, *re.split(r"[-_.]", file.name)]
        return any(
            word.lower() == wanted or (kind is not None and split_kind(word) == kind)
            for word in words
        )

    chosen = [file for file in files if fits(file)]
    if not chosen:
        named = name_some([file.name for file in files], most=3)
        raise InputError(f"{where} has no files of the split {split!r}; it has {named}.")
    return chosen


def splits_note(files: Sequence[Path]) -> tuple[str, ...]:
    """What to say where files of several splits are taken as one set."""
    kinds = {
        kind
        for file in files
        for word in (file.parent.name, *re.split(r"[-_.]", file.name))
        if (kind := split_kind(word))
    }
    if len(kinds) < 2:
        return ()
    return (
        f"the files of {', '.join(sorted(kinds))} are taken as one set; split: takes one of them",
    )
