"""A checkpoint in several files: which there are, and the one table that they make together.

Hugging Face splits large weights into ``model-00001-of-00003.safetensors`` and writes an index
that says which tensor lies in which. The parts are read by that index, and nothing beside them.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from mgm_jax.errors import InputError, name_some

INDEX_ENDING = ".index.json"
_PART = re.compile(r"(?P<stem>.+)-\d{5}-of-(?P<of>\d{5})\.(?P<ending>safetensors|bin)")


def is_index(path: Path) -> bool:
    """Whether a file is the index of a checkpoint in parts, by its name."""
    return path.name.endswith((".safetensors" + INDEX_ENDING, ".bin" + INDEX_ENDING))


def index_of_part(path: Path) -> Path | None:
    """The index that a part belongs to, None where the file is no part."""
    match = _PART.fullmatch(path.name)
    if match is None or int(match["of"]) < 2:
        return None
    return path.with_name(f"{match['stem']}.{match['ending']}{INDEX_ENDING}")


def read_index(index: Path) -> dict[Path, list[str]]:
    """Every part and the names of its tensors, in the order of the index.

    Raises:
        InputError: no such index, parts that are missing, or names that lead elsewhere.
    """
    parts: dict[Path, list[str]] = {}
    for name, file in _weight_map(index).items():
        parts.setdefault(index.with_name(file), []).append(name)
    missing = [part.name for part in parts if not part.is_file()]
    if missing:
        raise InputError(
            f"{index}: {len(missing)} of {len(parts)} parts are missing: {name_some(missing)}; "
            "fetch them into the same folder"
        )
    return parts


def part_names(index: Path) -> list[str]:
    """Names of the parts that an index lists; they need not be there."""
    return list(dict.fromkeys(_weight_map(index).values()))


def _weight_map(index: Path) -> dict[str, str]:
    """Name of a tensor to name of its file, checked."""
    try:
        table: Any = json.loads(index.read_text(encoding="utf-8"))["weight_map"]
        if not isinstance(table, dict) or not table:
            raise TypeError("an empty table")
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise InputError(
            f"{index}: expected the index of a checkpoint in parts, a JSON object with weight_map "
            f"(name of a tensor to name of a file), got {type(error).__name__}: {error}"
        ) from error
    for file in table.values():
        if not isinstance(file, str) or Path(file).name != file:
            raise InputError(
                f"{index}: the part {file!r} is not the name of a file beside the index"
            )
    return table


def joined(parts: dict[Path, tuple[list[str], dict[str, Any]]], index: Path) -> dict[str, Any]:
    """The tensors of all parts.

    Args:
        parts: file to the names that the index gives it, and to what it holds.
        index: for messages.

    Raises:
        InputError: a part without a tensor that the index gives it.
    """
    table: dict[str, Any] = {}
    for file, (names, content) in parts.items():
        absent = [name for name in names if name not in content]
        if absent:
            raise InputError(
                f"{index}: {file.name} does not hold {name_some(absent)}, which the index says it "
                "does; index and parts are of different versions, fetch both again"
            )
        table |= {name: content[name] for name in names}
    return table
