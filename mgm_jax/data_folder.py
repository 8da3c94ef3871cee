"""Sources of a study that lie in the user's folder of data, ``data:NAME``, and what stands in.

A study that is handed on cannot name the folders of whoever runs it. It says ``data:caltech101``,
and the command line (``--data DIR``) or ``MGM_JAX_DATA`` says where such sets lie.
"""

from __future__ import annotations

import glob
import os
from collections.abc import Iterator
from pathlib import Path
from typing import TypeVar

from mgm_jax.errors import InputError, name_some
from mgm_jax.study import EncoderEntry, ImagesEntry, Study

#: Environment variable that names the folder of data.
VARIABLE = "MGM_JAX_DATA"

_PREFIX = "data:"

# What may stand before it: how the file or folder is read.
_KINDS = ("", "rows:", "onnx:", "torch:hf/")

Entry = TypeVar("Entry", EncoderEntry, ImagesEntry)


def with_data(study: Study, folder: str | Path | None = None) -> tuple[Study, list[str]]:
    """The study with paths in the place of ``data:`` sources, and what stands in for which.

    Args:
        study: as it was read.
        folder: of data; None takes ``MGM_JAX_DATA``.

    Returns:
        The study, and a line for each ``fallback`` that was taken: for which sources, and why.

    Raises:
        InputError: a source that is not there and has no fallback.

    Example:
        >>> from mgm_jax.study import make_study
        >>> images = [{"source": "data:absent", "fallback": "digits"}]
        >>> study = make_study({"encoders": [{"source": "pixels"}], "images": images})
        >>> with_data(study, "nowhere")[0].images[0].source
        'digits'
    """
    root = folder or os.environ.get(VARIABLE) or None
    path = None if root is None else Path(root).expanduser().resolve()
    absent: dict[tuple[str, str], list[str]] = {}
    changes: dict[str, object] = {
        "encoders": tuple(_each(study.encoders, path, "encoders", absent)),
        "images": tuple(_each(study.images, path, "images", absent)),
    }
    if study.transfer is not None:
        targets = tuple(_each(study.transfer.targets, path, "targets", absent))
        changes["transfer"] = study.transfer.model_copy(update={"targets": targets})
    notes = [
        f"{key}: {name_some(sources)} {'is' if len(sources) == 1 else 'are'} not there; "
        f"{fallback} STANDS IN FOR {'IT' if len(sources) == 1 else 'THEM'}, and the results are "
        f"of {fallback}. {_missing(sources, path)}"
        for (key, fallback), sources in absent.items()
    ]
    return study.model_copy(update=changes), notes


def _each(
    entries: tuple[Entry, ...],
    folder: Path | None,
    key: str,
    absent: dict[tuple[str, str], list[str]],
) -> Iterator[Entry]:
    """Entries with their paths; the sources whose fallback is taken go to ``absent``."""
    taken: set[tuple[str, str | None]] = set()
    for entry in entries:
        source = _resolved(entry.source, folder)
        if source is not None:
            test = getattr(entry, "test", None)
            more = {} if test is None else {"test": _resolved(test, folder) or test}
            yield entry.model_copy(update={"source": source, "fallback": None, **more})
            continue
        if entry.fallback is None:
            raise InputError(f"{key}: {_missing([entry.source], folder)}")
        absent.setdefault((key, entry.fallback), []).append(entry.source)
        if isinstance(entry, EncoderEntry):
            name = None
        else:
            # It is said in every table.
            name = f"{entry.name or Path(entry.source).name} ({entry.fallback} instead)"
        # What was said of the one does not fit the other.
        stand_in = type(entry)(source=entry.fallback, name=name)
        if (stand_in.source, stand_in.name) not in taken:
            taken.add((stand_in.source, stand_in.name))
            yield stand_in


def _resolved(source: str, folder: Path | None) -> str | None:
    """The source with its path; None where it is in the folder of data and not there."""
    kind, prefix, name = source.rpartition(_PREFIX)
    if not prefix or kind not in _KINDS:
        return source
    if folder is None:
        return None
    path = folder / name
    exists = bool(glob.glob(str(path))) if glob.has_magic(name) else path.exists()
    return f"{kind}{path}" if exists else None


def _missing(sources: list[str], folder: Path | None) -> str:
    """What should be where, once for all of them."""
    names = [source.rpartition(_PREFIX)[2] for source in sources]
    if folder is None:
        one = len(sources) == 1
        return (
            f"{name_some(sources)} {'lies' if one else 'lie'} in your folder of data: say where "
            f"with --data DIR or {VARIABLE} (it should hold {name_some(names)}; docs/data.md says "
            "how to get the public sets)."
        )
    expected = name_some(folder / name for name in names)
    return f"Expected {expected}; docs/data.md says how to get the public sets."
