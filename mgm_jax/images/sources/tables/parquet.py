"""Pictures in a column of Parquet files: bytes, or bytes and path as Hugging Face writes them."""

from __future__ import annotations

import bisect
import itertools
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from mgm_jax.errors import InputError
from mgm_jax.files.found_instead import found_instead
from mgm_jax.images.decode.limits import Limits
from mgm_jax.images.image_source import ImageSource
from mgm_jax.images.sources.files.names import visible
from mgm_jax.images.sources.options import SourceOptions
from mgm_jax.images.sources.tables.fields import SPLIT_COLUMNS
from mgm_jax.images.sources.tables.groups import RowGroups
from mgm_jax.images.sources.tables.rows import (
    ROW,
    ImageColumn,
    described,
    fact_columns,
    find_image_column,
    source_of_rows,
)
from mgm_jax.images.sources.tables.shards import shards_of_split, splits_note

# Pictures that are decoded at a time.
_ROWS = 16


def parquet_source(files: Sequence[Path], options: SourceOptions, *, where: str) -> ImageSource:
    """Source of the pictures in the rows of Parquet files.

    A picture is the content of a cell of bytes, or of a struct of ``bytes`` and ``path``. Class
    numbers that the file names (Hugging Face's ``ClassLabel``) become these names. Ids are those
    of a column ``id``, else the paths where they differ, else the numbers of the rows; images
    come in the order of the rows. Row groups are decoded one at a time.

    Args:
        files: the shards, in their order.
        options: a split is told by a column ``split`` or by the names of the files.
        where: what an error calls them.

    Raises:
        InputError: files that cannot be read, that differ in their columns, without a column of
            pictures, or that unpack too far.
    """
    import pyarrow as pa

    split, limits = options.split, options.limits
    schema = parquet_schema(files[0])
    image = find_image_column(schema, wanted=options.fields.image, where=where)
    if image is None:
        raise InputError(
            f"{where} has no column of image files (bytes, or a struct of bytes and path); its "
            f"columns are {described(schema)}. Name one with image:, or encode the pictures as "
            "PNG."
        )
    has_split = any(one in schema.names for one in SPLIT_COLUMNS)
    notes: tuple[str, ...] = ()
    if split is not None and not has_split:
        files = shards_of_split(files, split, where=where)
    elif split is None:
        notes = splits_note(files)
    tables: list[Any] = []
    groups: list[tuple[Path, int, int]] = []
    for file in files:
        rows, columns = _opened(file, schema, image, where=where, limits=limits)
        groups += [(file, group, count) for group, count in enumerate(rows)]
        tables.append(columns)
        total = sum(count for _, _, count in groups)
        limits.check("files", total, name=where, what="rows")
    # The row that each group of rows begins at.
    starts = list(itertools.accumulate((count for *_, count in groups), initial=0))
    held = RowGroups(
        lambda number: _decoded(groups[number], image, where=where, limits=limits), title=where
    )

    def read(row: int) -> bytes:
        number = bisect.bisect_right(starts, row) - 1
        return held.read(number, row - starts[number])

    table, paths = pa.concat_tables(tables), None
    if image.has_path:
        paths = [one and one["path"] for one in table.column(image.name).to_pylist()]
        table = table.drop_columns([image.name])
    return source_of_rows(
        table,
        read,
        paths=paths,
        split=split if has_split else None,
        options=options,
        where=where,
        notes=notes,
    )


def parquet_schema(file: Path) -> Any:
    """Columns of a Parquet file.

    Raises:
        InputError: it is none.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        return pq.read_schema(file)
    except (OSError, pa.ArrowException) as error:
        raise InputError(
            f"{visible(str(file))} cannot be read as Parquet: {str(error).removesuffix('.')}."
            + found_instead(file, meant="a Parquet table")
        ) from error


def _opened(
    file: Path, schema: Any, image: ImageColumn, *, where: str, limits: Limits
) -> tuple[list[int], Any]:
    """Rows of each row group, and a table of everything but the pictures."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    title = visible(str(file))
    try:
        with pq.ParquetFile(file) as opened:
            if not opened.schema_arrow.equals(schema):
                raise InputError(
                    f"{where}: {file.name} has other columns than the first file; write all files "
                    "of a set alike."
                )
            facts = opened.metadata
            limits.check("files", facts.num_rows, name=title, what="rows")
            rows = []
            for group in range(facts.num_row_groups):
                one = facts.row_group(group)
                chunks = [one.column(i) for i in range(one.num_columns)]
                unpacked = sum(chunk.total_uncompressed_size for chunk in chunks)
                stored = sum(chunk.total_compressed_size for chunk in chunks)
                named = f"{title}, row group {group},"
                limits.check("unpacked_bytes", unpacked, name=named, what="bytes when unpacked")
                limits.check_ratio(unpacked, stored, name=named)
                rows.append(one.num_rows)
            path = [f"{image.name}.path"] if image.has_path else []
            wanted = [*fact_columns(schema, image), *path]
            return rows, opened.read(columns=wanted) if wanted else _no_columns(sum(rows))
    except (OSError, pa.ArrowException, MemoryError) as error:
        raise InputError(f"{title} cannot be read as Parquet: {error}") from error


def _no_columns(rows: int) -> Any:
    import pyarrow as pa

    return pa.table({ROW: np.arange(rows)})


def _decoded(
    of: tuple[Path, int, int], image: ImageColumn, *, where: str, limits: Limits
) -> Iterator[bytes | InputError]:
    """The pictures of a row group, by file and number, a few in memory at a time."""
    file, group, _ = of
    import pyarrow as pa
    import pyarrow.parquet as pq

    stored, unpacked, row = max(file.stat().st_size, 1), 0, 0
    title = f"{where}, {visible(file.name)}"
    try:
        with pq.ParquetFile(file) as opened:
            batches = opened.iter_batches(_ROWS, row_groups=[group], columns=[image.name])
            for batch in batches:
                batch.validate(full=True)
                for cell in batch.column(0):
                    try:
                        content = image.content(cell, title=f"row {row} of group {group}")
                    except InputError as error:
                        yield error
                    else:
                        # One content that is stored once may fill many rows.
                        unpacked += len(content)
                        limits.check("unpacked_bytes", unpacked, name=title, what="bytes of images")
                        limits.check_ratio(unpacked, stored, name=title)
                        yield content
                    row += 1
    except (OSError, pa.ArrowException, MemoryError) as error:
        raise InputError(f"{title} cannot be read: {error}") from error
