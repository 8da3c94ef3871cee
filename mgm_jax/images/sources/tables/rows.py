"""Rows of Arrow tables as pictures: their labels, ids and further columns, whatever the file."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from mgm_jax.errors import InputError, name_some
from mgm_jax.images.image_source import ImageSource
from mgm_jax.images.sources.contents import Contents, source_of_contents
from mgm_jax.images.sources.files.layout import same_split
from mgm_jax.images.sources.files.names import visible
from mgm_jax.images.sources.options import SourceOptions
from mgm_jax.images.sources.tables.fields import (
    ID_COLUMNS,
    IMAGE_COLUMNS,
    LABEL_COLUMNS,
    SPLIT_COLUMNS,
    class_names,
    column_for,
    column_of,
    distinct_texts,
    encode_classes,
    hugging_face_features,
    named,
    numbered,
)

_BYTES, _PATH = "bytes", "path"

#: A column that only counts the rows of a table that has no other.
ROW = "\0row"


class ImageColumn(NamedTuple):
    """Where the encoded pictures of a table are.

    Attributes:
        name: of the column.
        is_struct: whether its cells are structs with ``bytes``, as Hugging Face writes them.
        has_path: whether these have a ``path``, too.
    """

    name: str
    is_struct: bool
    has_path: bool

    def content(self, cell: Any, *, title: str) -> bytes:
        """Bytes of the picture in a cell, a scalar of Arrow.

        Raises:
            InputError: there are none.
        """
        value = cell
        if self.is_struct and cell.is_valid:
            value = cell[_BYTES]
        if cell.is_valid and value.is_valid:
            return value.as_py()
        path = cell[_PATH].as_py() if self.has_path and cell.is_valid else None
        more = (
            f" but the path {visible(str(path))!r}, which is not followed; embed the images when "
            "the set is written"
            if path
            else ""
        )
        raise InputError(f"{title} holds no image{more}.")


def find_image_column(schema: Any, *, wanted: str | None, where: str) -> ImageColumn | None:
    """The column of encoded pictures of an Arrow schema; None where no column holds any.

    Raises:
        InputError: the column that is wanted holds none, or several hold some.
    """
    columns = _binary_columns(schema)
    if wanted is not None:
        if wanted not in schema.names:
            column_for(wanted, (), schema.names, what="image", where=where)
        return columns.get(wanted)
    said = hugging_face_features(schema.metadata)
    images = [one for one in columns if _is_image(said.get(one))]
    if not images:
        usual = next((one for one in IMAGE_COLUMNS if one in columns), None)
        images = list(columns) if usual is None else [usual]
    if len(images) > 1:
        raise InputError(
            f"{where} has several columns that may hold the images, {name_some(images)}; name one "
            "with image:."
        )
    return columns[images[0]] if images else None


def has_pictures(schema: Any) -> bool:
    """Whether an Arrow schema has columns of bytes."""
    return bool(_binary_columns(schema))


def _binary_columns(schema: Any) -> dict[str, ImageColumn]:
    import pyarrow as pa

    columns: dict[str, ImageColumn] = {}
    for field in schema:
        kind = getattr(field.type, "storage_type", field.type)
        if pa.types.is_struct(kind):
            inner = {kind.field(i).name: kind.field(i).type for i in range(kind.num_fields)}
            if _BYTES in inner and _is_binary(inner[_BYTES]):
                has_path = pa.types.is_string(inner.get(_PATH, kind))
                columns[field.name] = ImageColumn(field.name, True, has_path)
        elif _is_binary(kind):
            columns[field.name] = ImageColumn(field.name, False, False)
    return columns


def described(schema: Any) -> str:
    """Columns of a table and their types, in words."""
    return name_some([f"{one.name} ({one.type})" for one in schema])


def _is_binary(kind: Any) -> bool:
    import pyarrow as pa

    return pa.types.is_binary(kind) or pa.types.is_large_binary(kind)


def _is_image(feature: Any) -> bool:
    return isinstance(feature, dict) and feature.get("_type") == "Image"


def fact_columns(schema: Any, image: ImageColumn) -> list[str]:
    """Columns whose values are read at once: all but pictures and what is nested deeper."""
    import pyarrow as pa

    def is_plain(kind: Any) -> bool:
        if pa.types.is_list(kind) or pa.types.is_large_list(kind):
            kind = kind.value_type
        return not (pa.types.is_nested(kind) or _is_binary(kind))

    return [one.name for one in schema if one.name != image.name and is_plain(one.type)]


def source_of_rows(
    table: Any,
    read: Callable[[int], bytes],
    *,
    paths: Sequence[str | None] | None = None,
    split: str | None = None,
    options: SourceOptions,
    where: str,
    notes: Sequence[str] = (),
) -> ImageSource:
    """Pictures of the rows of an Arrow table, with their labels, ids and further columns.

    Args:
        table: everything but the pictures.
        read: the picture in a row.
        paths: of the pictures, where the table states them; ids, where they differ.
        split: take the rows alone whose column ``split`` says so.
        options: columns that are named, and what is said of the pictures.
        where: what an error calls the table.
        notes: what else is to be said of it.

    Raises:
        InputError: a column that is not there, labels of another kind, ids that repeat, no row of
            the split.
    """
    rows, fields = table.num_rows, options.fields
    if ROW in table.column_names:
        table = table.drop_columns([ROW])
    said, names = hugging_face_features(table.schema.metadata), table.column_names
    notes = [*notes]
    values: dict[str, list[Any]] = {}
    for name in dict.fromkeys(names):
        listed = table.column(name).to_pylist()
        known = class_names(said.get(name))
        values[name] = listed if known is None else [named(one, known) for one in listed]
    label = column_for(fields.label, LABEL_COLUMNS, names, what="label", where=where)
    several = label is not None and any(isinstance(one, list) for one in values[label])
    if several and fields.label is None:
        notes.append(
            f"the column {label!r} holds several labels an image, which are no classes; "
            f"multilabel: {label} of a target uses them"
        )
        label = None
    labels: np.ndarray = np.full(rows, -1, np.int32)
    classes: tuple[str, ...] = ()
    if label is not None:
        labels, classes = encode_classes(values[label], where=where)
    chosen = column_for(fields.id, ID_COLUMNS, names, what="id", where=where)
    ids = None if chosen is None else distinct_texts(values[chosen])
    if ids is None and fields.id is not None:
        raise InputError(f"{where}: ids must differ and be there; those of {fields.id!r} do not.")
    if ids is None:
        ids = distinct_texts(paths or ()) or numbered(rows)
    shown = tuple(map(visible, ids))
    contents = Contents(
        where=where,
        ids=shown if len(set(shown)) == len(shown) else ids,
        labels=labels,
        classes=classes,
        read=read,
        columns={name: column_of(listed) for name, listed in values.items()},
        notes=tuple(notes),
    )
    if split is not None:
        column = next(one for one in SPLIT_COLUMNS if one in names)
        contents = rows_of_split(contents, values[column], split)
    return source_of_contents(contents, options)


def rows_of_split(contents: Contents, splits: Sequence[Any], split: str) -> Contents:
    """The pictures of a split alone.

    Args:
        contents: all pictures.
        splits: the split of each.
        split: the one to take, by its name or purpose.

    Raises:
        InputError: no picture is of it.
    """
    rows = [i for i, one in enumerate(splits) if one is not None and same_split(str(one), split)]
    if not rows:
        known = name_some(sorted({str(one) for one in splits}))
        raise InputError(f"{contents.where} has no rows of the split {split!r}; it has {known}.")
    return contents.take(rows)
