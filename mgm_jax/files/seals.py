"""Digests of files that are read again: what has changed on the disk is noticed, not believed.

A JSON file carries the sha256 of its own content. The tables of a folder, which others read as
well, are told by a file ``SHA256SUMS`` beside them, which ``sha256sum -c`` reads too.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from mgm_jax.errors import InputError
from mgm_jax.files.whole import whole_file

#: Beside tables: the sha256 of each.
SUMS = "SHA256SUMS"

_KEY = "sha256"


class DamagedError(ValueError):
    """A file does not hold what was written."""


def sealed(content: Mapping[str, Any]) -> dict[str, Any]:
    """The same content with its sha256 as one more entry.

    >>> unsealed(sealed({"a": 1}))
    {'a': 1}
    """
    return {**content, _KEY: digest_of(content)}


def unsealed(content: Any) -> dict[str, Any]:
    """The content that was sealed.

    Raises:
        DamagedError: it is another one, or was never sealed.
    """
    if not isinstance(content, dict):
        raise DamagedError(f"expected entries by name, got {type(content).__name__}")
    inner = {name: value for name, value in content.items() if name != _KEY}
    if content.get(_KEY) != digest_of(inner):
        raise DamagedError("its content does not have the sha256 that stands in it")
    return inner


def write_sealed(
    path: Path, content: Mapping[str, Any], *, indent: int | None = None, ascii_only: bool = True
) -> None:
    """Write a JSON file that carries its digest; it is there whole or not at all."""
    text = json.dumps(sealed(content), indent=indent, ensure_ascii=ascii_only) + "\n"
    with whole_file(path) as part:
        part.write_text(text, encoding="utf-8")


def read_sealed(path: Path) -> dict[str, Any]:
    """The content of a file of :func:`write_sealed`.

    Raises:
        FileNotFoundError: there is none.
        DamagedError: it is damaged.
    """
    try:
        return unsealed(json.loads(path.read_bytes()))
    except (ValueError, RecursionError) as error:
        raise DamagedError(str(error)) from error


def write_sums(folder: Path, names: Iterable[str]) -> None:
    """Write ``SHA256SUMS`` of files of a folder."""
    lines = [f"{file_sha256(folder / name)}  {name}\n" for name in sorted(names)]
    with whole_file(folder / SUMS) as part:
        part.write_text("".join(lines), encoding="utf-8")


def check_sum(path: Path) -> None:
    """Check a file against the ``SHA256SUMS`` beside it; one that it does not name passes.

    Raises:
        InputError: the file is not what was written.
    """
    try:
        lines = (path.parent / SUMS).read_text(encoding="utf-8", errors="replace").splitlines()
    except FileNotFoundError:
        return
    said = {name: total for total, _, name in (line.partition("  ") for line in lines)}
    if path.name in said and said[path.name] != file_sha256(path):
        raise InputError(
            f"{path}: is not the file that {SUMS} beside it tells of: damaged, changed, or left by "
            "a run that was stopped while it wrote the tables; `mgm run` with the same study "
            "writes it again"
        )


def digest_of(content: Mapping[str, Any]) -> str:
    """SHA-256 of what JSON can say, whatever the order of its keys."""
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def file_sha256(path: str | Path) -> str:
    """sha256 of a file's bytes, hexadecimal."""
    with Path(path).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
