"""Which image a row of features belongs to: ids and labels, and agreement between models."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from mgm_jax.errors import InputError, name_some
from mgm_jax.features.files import FeatureFile
from mgm_jax.features.stated import ID_COLUMNS, LABEL_COLUMNS, called
from mgm_jax.files.numpy_files import why_not
from mgm_jax.files.text_table import read_text_table
from mgm_jax.images import ImageSource

_MAYBE_FLOAT = re.compile(r"(-?\d+(\.0)?|nan)?", re.IGNORECASE)


def feature_images(
    file: FeatureFile,
    *,
    name: str,
    labels: Path | Sequence[Any] | None = None,
    ids: Path | Sequence[Any] | None = None,
) -> ImageSource:
    """The images that features were computed from, as far as the features tell: no pixels.

    Args:
        file: the features.
        name: of the image set in the tables.
        labels: one label a row, or a file of them: ``.npy``, ``.txt`` (a line each), or ``.csv``
            or ``.parquet`` with a column ``label`` (``class``, ``target``) or a single one, which
            a column ``id`` puts in the order of the features; None takes what the file states.
        ids: one text an image, or a file of them, likewise; None takes what the file states, or
            the row numbers.

    Raises:
        InputError: numbers that differ, ids that repeat or are not those of the labels.
    """
    n = len(file)
    found_ids = file.ids if ids is None else _column(ids, ID_COLUMNS, what="ids")[0]
    if found_ids is not None and len(found_ids) != n:
        raise InputError(
            f"features: ids must be one a row: {file.path} has {n} rows, and there are "
            f"{len(found_ids)} ids."
        )
    image_ids = tuple(str(i) for i in range(n)) if found_ids is None else tuple(map(str, found_ids))
    values = file.labels
    if labels is not None:
        values, of_ids = _column(labels, LABEL_COLUMNS, what="labels")
        if of_ids is not None and found_ids is None:
            # Row numbers, however they are written: 7, 07 or, as pandas has them beside a
            # missing one, 7.0.
            numbers = [_row_number(one) for one in of_ids]
            of_ids = numbers if set(numbers) == set(image_ids) else None
        if of_ids is not None:
            value_of = _by_id(of_ids, values)
            lacking = [one for one in image_ids if one not in value_of]
            if lacking:
                raise InputError(
                    f"features: labels must name every image of {file.path}; {len(lacking)} of "
                    f"{n} are missing: {name_some(lacking)}."
                )
            values = [value_of[one] for one in image_ids]
        if len(values) > n and not any(map(_label, values[n:])):
            # Blank lines at the end of a file.
            values = values[:n]
        if len(values) != n:
            raise InputError(
                f"features: labels must be one a row: {file.path} has {n} rows, and there are "
                f"{len(values)} labels."
            )
    names = [_label(value) for value in values] if values is not None else [""] * n
    classes = tuple(sorted(set(names) - {""}))
    code_of = {one: number for number, one in enumerate(classes)}

    def no_pixels(position: int) -> np.ndarray:
        raise InputError(f"{name}: the set holds features alone, no images to look at.")

    return ImageSource(
        name=name,
        ids=image_ids,
        labels=np.array([code_of.get(one, -1) for one in names], np.int32),
        classes=classes,
        # Which images these are is all that is known; the features carry the content.
        fingerprints=tuple(hashlib.sha256(one.encode()).hexdigest()[:16] for one in image_ids),
        reader=no_pixels,
    )


def _row_number(value: Any) -> str:
    try:
        number = float(value)
    except (TypeError, ValueError):
        return str(value)
    return str(int(number)) if number.is_integer() else str(value)


def _by_id(ids: Sequence[Any], values: Sequence[Any]) -> dict[str, Any]:
    """Label of each image."""
    value_of: dict[str, Any] = {}
    for one, value in zip(map(str, ids), values, strict=True):
        if _label(value_of.setdefault(one, value)) != _label(value):
            raise InputError(
                f"features: labels must be one an image; {one!r} is there with "
                f"{_label(value_of[one])!r} and {_label(value)!r}. Keep one of the rows."
            )
    return value_of


def rows_of(file: FeatureFile, images: ImageSource, *, ids: Sequence[str] | None) -> np.ndarray:
    """Row of the features of each image, ``[n]``: models are compared on the same images.

    Args:
        file: the features of one model.
        images: the images, in the order that all models are measured in.
        ids: image of each row of the file; None where none are stated: then the rows count.

    Raises:
        InputError: other images than those, with both counts.
    """
    if ids is None:
        if len(file) != len(images):
            raise InputError(
                f"features: {file.path} has {len(file)} rows, and {images.name} has {len(images)} "
                "images; give ids where models saw different images, or leave the model out."
            )
        return np.arange(len(file))
    row_of = {one: row for row, one in enumerate(ids)}
    if len(row_of) != len(ids):
        raise InputError(f"features: ids of {file.path} must differ; some are there twice.")
    missing = [one for one in images.ids if one not in row_of]
    foreign = len(row_of) - (len(images) - len(missing))
    if missing or foreign:
        raise InputError(
            f"features: {file.path} must have the images of {images.name}; {len(missing)} of "
            f"{len(images)} are missing ({name_some(missing) or 'none'}) and {foreign} of its "
            f"{len(ids)} are others. Keep the images that all models have."
        )
    return np.array([row_of[one] for one in images.ids], np.int64)


def _column(
    source: Path | Sequence[Any], names: Sequence[str], *, what: str
) -> tuple[Sequence[Any], Sequence[Any] | None]:
    """Values of a sequence or file, and the ids beside them where there are some."""
    if not isinstance(source, Path):
        return list(source), None
    if not source.is_file():
        raise InputError(f"features: {what}: {source} is no file.")
    suffix = source.suffix.lower()
    try:
        if suffix == ".npy":
            return _npy(source), None
        if suffix == ".txt":
            with source.open(encoding="utf-8-sig") as file:
                return _as_whole_numbers([line.rstrip("\n") for line in file]), None
        if suffix in (".csv", ".tsv"):
            columns: dict[str, list[Any]] = dict(
                read_text_table(source, where=f"features: {what}: {source}")
            )
        elif suffix == ".parquet":
            import pyarrow.parquet as pq

            columns = pq.read_table(source).to_pydict()
        else:
            raise InputError(
                f"features: {what}: {source} must be .csv, .tsv, .parquet, .npy or .txt."
            )
    except (OSError, ValueError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"features: {what}: {source} cannot be read ({error}).") from error
    of_ids = called(columns, ID_COLUMNS)
    beside = None if of_ids is None else columns[of_ids]
    chosen = called(columns, names)
    if chosen is None and len(columns) == 1:
        chosen = next(iter(columns))
    if chosen is None:
        raise InputError(
            f"features: {what}: {source} must have a column {' or '.join(names[:2])}; it has "
            f"{name_some(columns)}."
        )
    values = columns[chosen]
    if suffix in (".csv", ".tsv") and chosen != of_ids:
        values = _as_whole_numbers(values)
    return values, None if chosen == of_ids else beside


def _as_whole_numbers(texts: list[str]) -> list[str]:
    """Numbers as they were before one was missing, which made 1.0 of 1 and nan of nothing."""
    known = {one: one.strip() for one in set(texts)}
    if not all(_MAYBE_FLOAT.fullmatch(one) for one in known.values()):
        return texts
    if not any(one.endswith(".0") for one in known.values()):
        return ["" if known[one].lower() == "nan" else one for one in texts]
    plain = {
        one: "" if text.lower() == "nan" else text.removesuffix(".0") for one, text in known.items()
    }
    return [plain[one] for one in texts]


def _npy(source: Path) -> list[Any]:
    """Values of an array ``[n]`` or ``[n, 1]`` in a file."""
    try:
        values = np.load(source, allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise InputError(f"features: {source} cannot be read{why_not(source, error)}") from error
    if values.ndim == 2 and values.shape[1] == 1:
        values = values[:, 0]
    if values.ndim != 1:
        raise InputError(f"features: {source} must hold one value a row; got shape {values.shape}.")
    return values.tolist()


def _label(value: Any) -> str:
    """Name of a class; empty for an image without one.

    Blanks around a name are none of it: they stand behind commas and at the ends of lines.
    """
    if value is None or value != value:
        return ""
    if isinstance(value, bytes):
        value = value.decode("utf-8", "backslashreplace")
    whole = isinstance(value, float) and value.is_integer()
    return str(int(value)) if whole else str(value).strip()
