"""Data sets that Hugging Face datasets saved to a folder, and Arrow files, mapped to the memory."""

from __future__ import annotations

import bisect
import itertools
import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from mgm_jax.errors import InputError, name_some
from mgm_jax.files.found_instead import found_instead
from mgm_jax.images.image_source import ImageSource
from mgm_jax.images.sources.files.layout import same_split
from mgm_jax.images.sources.files.names import visible
from mgm_jax.images.sources.options import SourceOptions
from mgm_jax.images.sources.tables.fields import SPLIT_COLUMNS
from mgm_jax.images.sources.tables.rows import (
    ROW,
    described,
    fact_columns,
    find_image_column,
    source_of_rows,
)
from mgm_jax.images.sources.tables.shards import shards_of_split, splits_note

_STATE, _SPLITS = "state.json", "dataset_dict.json"
# Bytes of the JSON files beside the shards.
_JSON_BYTES = 2**26


def is_saved_data_set(folder: Path) -> bool:
    """Whether ``save_to_disk`` of Hugging Face datasets wrote a folder."""
    return (folder / _STATE).is_file() or (folder / _SPLITS).is_file()


def saved_data_set_source(folder: Path, options: SourceOptions) -> ImageSource:
    """Source of the images of a data set, or of the splits of one, that was saved to a folder.

    The shards are read as ``state.json`` lists them; nothing outside of the folder is. See
    :func:`arrow_source`.

    Args:
        folder: that ``save_to_disk`` wrote.
        options: a split is one that the folder lists.

    Raises:
        InputError: a damaged folder, no such split, or what :func:`arrow_source` refuses.
    """
    where = visible(str(folder))
    if (folder / _STATE).is_file():
        return arrow_source(_shards(folder), options, where=where)
    split, splits = options.split, _json(folder / _SPLITS).get("splits")
    if not isinstance(splits, list) or not splits or not all(map(_is_plain_name, splits)):
        raise InputError(f"{where}/{_SPLITS} must list the splits by the names of their folders.")
    chosen = splits if split is None else [one for one in splits if same_split(one, split)]
    exact = [one for one in chosen if one == split]
    if not chosen or (split is not None and len(chosen) > 1 and not exact):
        raise InputError(f"{where} has no one split {split!r}; it has {name_some(splits)}.")
    chosen = exact or chosen
    return arrow_source(
        [file for one in chosen for file in _shards(folder / one)],
        replace(options, split=None),
        where=where,
        notes=splits_note([folder / one / "x" for one in chosen]),
    )


def arrow_source(
    files: Sequence[Path],
    options: SourceOptions,
    *,
    where: str,
    notes: tuple[str, ...] = (),
) -> ImageSource:
    """Source of the pictures in the rows of Arrow files, which stay on disk.

    As of Parquet (:func:`~mgm_jax.images.sources.tables.parquet.parquet_source`): bytes, or a
    struct of ``bytes`` and ``path``; class numbers become the names that the file has for them.

    Args:
        files: the shards, in their order: streams or files of Arrow IPC, not compressed.
        options: a split is told by a column ``split`` or by the names of the files.
        where: what an error calls them.
        notes: what else is to be said of the files.

    Raises:
        InputError: files that cannot be read, are compressed, differ in their columns, or have no
            column of pictures.
    """
    import pyarrow as pa

    split, limits = options.split, options.limits
    if not files:
        raise InputError(f"{where} holds no Arrow files.")
    schema = _open_file(files[0])[0]
    has_split = any(one in schema.names for one in SPLIT_COLUMNS)
    if split is not None and not has_split:
        files = shards_of_split(files, split, where=where)
    image = find_image_column(schema, wanted=options.fields.image, where=where)
    if image is None:
        raise InputError(
            f"{where} has no column of image files (bytes, or a struct of bytes and path); its "
            f"columns are {described(schema)}. Name one with image:."
        )
    batches: list[Any] = []
    for file in files:
        own, more = _open_file(file)
        if not own.equals(schema):
            raise InputError(f"{where}: {file.name} has other columns than the first file.")
        batches += more
        rows = sum(batch.num_rows for batch in batches)
        limits.check("files", rows, name=where, what="rows")
    columns = [batch.column(schema.get_field_index(image.name)) for batch in batches]
    starts = list(itertools.accumulate((len(one) for one in columns), initial=0))

    def read(row: int) -> bytes:
        number = bisect.bisect_right(starts, row) - 1
        title = f"row {row}"
        content = image.content(columns[number][row - starts[number]], title=title)
        limits.check("file_bytes", len(content), name=title, what="bytes")
        return content

    table = pa.Table.from_batches(batches, schema).select(fact_columns(schema, image))
    paths = None
    if image.has_path:
        paths = [path for part in columns for path in part.field("path").to_pylist()]
    return source_of_rows(
        table if table.num_columns else pa.table({ROW: np.arange(starts[-1])}),
        read,
        paths=paths,
        split=split if has_split else None,
        options=options,
        where=where,
        notes=notes,
    )


def _open_file(file: Path) -> tuple[Any, list[Any]]:
    """Columns and batches of a file, mapped to the memory and checked."""
    import pyarrow as pa

    title = visible(str(file))
    try:
        mapped = pa.memory_map(str(file))
        size, head = mapped.size(), mapped.read(6)
        mapped.seek(0)
        if head == b"ARROW1":
            reader = pa.ipc.open_file(mapped)
            recorded = (reader.get_batch(i) for i in range(reader.num_record_batches))
        else:
            reader = pa.ipc.open_stream(mapped)
            recorded = iter(reader)
        batches, held = [], 0
        for batch in recorded:
            # What is mapped takes no more than the file; what is compressed would be in memory.
            held += batch.nbytes
            if held > size:
                raise InputError(
                    f"{title} is compressed, or says one content several times; write it without "
                    "compression, as save_to_disk does, or as Parquet."
                )
            batch.validate(full=True)
            batches.append(batch)
        return reader.schema, batches
    except (OSError, pa.ArrowException, MemoryError) as error:
        raise InputError(
            f"{title} cannot be read as Arrow: {str(error).removesuffix('.')}."
            + found_instead(file, meant="an Arrow table")
        ) from error


def _shards(folder: Path) -> list[Path]:
    """Shards of a saved data set, as its state lists them."""
    state, where = _json(folder / _STATE), visible(str(folder))
    if state.get("_indices_data_files"):
        raise InputError(
            f"{where} holds a choice of rows beside the rows; call flatten_indices() and save the "
            "data set again."
        )
    listed = state.get("_data_files")
    if not isinstance(listed, list) or not all(isinstance(one, dict) for one in listed):
        raise InputError(f"{where}/{_STATE} must list the files of the data set.")
    names = [str(one.get("filename")) for one in listed]
    if not all(map(_is_plain_name, names)):
        raise InputError(f"{where}/{_STATE} lists files outside of its folder.")
    return [folder / one for one in names]


def _is_plain_name(name: object) -> bool:
    return (
        isinstance(name, str) and name not in ("", ".", "..") and PurePosixPath(name).name == name
    )


def _json(file: Path) -> dict[str, Any]:
    try:
        if file.stat().st_size > _JSON_BYTES:
            raise InputError(f"{visible(str(file))} is larger than {_JSON_BYTES:,} bytes.")
        content = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"{visible(str(file))} cannot be read: {error}") from error
    return content if isinstance(content, dict) else {}
