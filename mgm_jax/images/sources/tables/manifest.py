"""Images in files that a table lists: CSV, TSV or Parquet with a path a row."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from mgm_jax.errors import InputError, name_some
from mgm_jax.files.found_instead import found_instead
from mgm_jax.files.text_table import read_text_table
from mgm_jax.images.decode.limits import Limits
from mgm_jax.images.decode.regular_file import read_regular
from mgm_jax.images.image_source import ImageSource
from mgm_jax.images.sources.contents import Contents, source_of_contents
from mgm_jax.images.sources.files.names import visible
from mgm_jax.images.sources.options import SourceOptions
from mgm_jax.images.sources.tables.fields import (
    ID_COLUMNS,
    LABEL_COLUMNS,
    PATH_COLUMNS,
    SPLIT_COLUMNS,
    Fields,
    column_for,
    column_of,
    distinct_texts,
    encode_classes,
    encode_text,
)
from mgm_jax.images.sources.tables.rows import rows_of_split

# A whole number with zeros before it, which is a name.
_PADDED = re.compile(r"-?0\d+$")


def manifest_source(path: Path, options: SourceOptions) -> ImageSource:
    """Source of the image files that the rows of a table name.

    Columns are found by their names (``path``, ``label``, ``split``, ``id`` and the like) or named;
    all others are kept as values of the images. Paths start at the folder of the table; absolute
    ones are taken as they are. The id of an image is that of the column ``id``, else its path;
    images come in the order of their ids, so that the digest is that of a folder with the same
    ids and labels.

    Args:
        path: the table: ``.csv``, ``.tsv`` (with a head) or ``.parquet``.
        options: a split is of the rows whose column ``split`` says so; the field of the image is
            the column of paths.

    Raises:
        InputError: no such table, no column of paths, labels or ids of another kind, ids that
            repeat, no such split. A file that is missing is an image that cannot be read.
    """
    where, split = visible(str(path)), options.split
    fields, limits = options.fields, options.limits
    table = _read(path, where, limits)
    known = list(table)
    column = column_for(fields.image, PATH_COLUMNS, known, what="image", where=where)
    if column is None:
        raise InputError(
            f"{where} has no column of paths ({', '.join(PATH_COLUMNS)}); it has "
            f"{name_some(known)}. Name one with image:."
        )
    paths = ["" if one is None else str(one) for one in table[column]]
    empty = [row for row, one in enumerate(paths) if not one]
    if empty:
        raise InputError(f"{where}: rows {name_some(empty)} (from 0) have no path in {column!r}.")
    label = column_for(fields.label, LABEL_COLUMNS, known, what="label", where=where)
    labels: np.ndarray = np.full(len(paths), -1, np.int32)
    classes: tuple[str, ...] = ()
    if label is not None:
        labels, classes = encode_classes(table[label], where=where)
    real = [_real_path(path.parent, one) for one in paths]
    ids = _ids(table, paths, real, fields, where)
    split_column = column_for(None, SPLIT_COLUMNS, known, what="split", where=where)
    notes = ()
    if split is None and split_column is not None and len(set(table[split_column])) > 1:
        splits = name_some(sorted({str(one) for one in table[split_column]}))
        notes = (f"the rows of the splits {splits} are taken as one set; split: takes one of them",)
    contents = Contents(
        where=where,
        ids=ids,
        labels=labels,
        classes=classes,
        read=lambda row: read_regular(real[row], name=visible(paths[row]), limits=limits),
        columns={one: column_of(values) for one, values in table.items()},
        notes=notes,
    )
    if split is not None:
        if split_column is None:
            raise InputError(f"{where} has no column 'split'; it has {name_some(known)}.")
        contents = rows_of_split(contents, table[split_column], split)
    order = sorted(range(len(contents.ids)), key=contents.ids.__getitem__)
    return source_of_contents(contents.take(order), options.called(visible(path.stem)))


def _real_path(folder: Path, written: str) -> str:
    """Where a file lies that a table names, which may have been written on Windows."""
    plain = os.path.join(folder, written)
    if "\\" in written and not os.path.lexists(plain):
        return os.path.join(folder, written.replace("\\", "/"))
    return plain


def _ids(
    table: Mapping[str, Sequence[Any]],
    paths: Sequence[str],
    real: Sequence[str],
    fields: Fields,
    where: str,
) -> tuple[str, ...]:
    column = column_for(fields.id, ID_COLUMNS, list(table), what="id", where=where)
    ids = None if column is None else distinct_texts(table[column])
    if ids is None and fields.id is not None:
        raise InputError(f"{where}: ids must differ and be there; those of {fields.id!r} do not.")
    if ids is not None:
        return tuple(map(visible, ids))
    shown = [visible(one) for one in paths]
    # However it is written: ./0.png is 0.png.
    files = [os.path.normpath(one) for one in real]
    if len(set(files)) < len(files) or len(set(shown)) < len(shown):
        seen: set[str] = set()
        twice = [
            one
            for one, file in zip(shown, files, strict=True)
            if not seen.isdisjoint((one, file)) or seen.update((one, file))
        ]
        raise InputError(
            f"{where} names files more than once: {name_some(twice, most=3)}. Leave the rows out, "
            "or give a column id whose values differ."
        )
    return tuple(shown)


def _read(path: Path, where: str, limits: Limits) -> dict[str, Sequence[Any]]:
    """Columns of the table, by name."""
    if path.suffix.lower() == ".parquet":
        return _read_parquet(path, where, limits)
    try:
        limits.check("file_bytes", path.stat().st_size, name=where, what="bytes")
    except OSError as error:
        raise InputError(f"{where} cannot be read as a table: {error}") from error
    texts = read_text_table(
        path,
        where=where,
        check_rows=lambda count: limits.check("files", count, name=where, what="rows"),
    )
    return {name: _typed(name, values) for name, values in texts.items()}


def _typed(name: str, values: list[str]) -> Sequence[Any]:
    """Numbers where a column holds nothing else; paths and ids are texts in any case."""
    if name in (*PATH_COLUMNS, *ID_COLUMNS):
        return values
    whole = encode_text(values)
    # As numbers, classes 01 and 1 would be one.
    padded = any(_PADDED.match(one) for one in values)
    if padded or not any(isinstance(one, str) for one in whole):
        return whole
    try:
        return [None if one == "" else float(one) for one in values]
    except ValueError:
        return whole


def _read_parquet(path: Path, where: str, limits: Limits) -> dict[str, Sequence[Any]]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        facts = pq.read_metadata(path)
        limits.check("files", facts.num_rows, name=where, what="rows")
        unpacked = sum(facts.row_group(i).total_byte_size for i in range(facts.num_row_groups))
        limits.check("file_bytes", unpacked, name=where, what="bytes when unpacked")
        limits.check_ratio(unpacked, path.stat().st_size, name=where)
        table = pq.read_table(path)
    except (OSError, pa.ArrowException, MemoryError) as error:
        raise InputError(
            f"{where} cannot be read as Parquet: {str(error).removesuffix('.')}."
            + found_instead(path, meant="a Parquet table")
        ) from error
    return {name: table.column(name).to_pylist() for name in table.column_names}
