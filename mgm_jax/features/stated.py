"""What a file of features states beside them: names of the images and their labels."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from mgm_jax.errors import InputError
from mgm_jax.geometry.points.groups import column_texts
from mgm_jax.images.sources.tables.fields import usual_one

ID_COLUMNS = (
    *("id", "image", "path", "file", "filename", "file_name"),
    *("ids", "image_id", "image_ids", "paths", "files", "filenames"),
)
"""What columns and arrays are called that say which image a row belongs to."""

LABEL_COLUMNS = ("label", "class", "target", "labels", "cls", "targets", "y")
"""What they are called that say what it shows."""


def called(names: Iterable[str], usual: Sequence[str]) -> str | None:
    """The first of some names that is usual for a thing, in the order of the usual ones.

    Args:
        names: as a file has them, in upper or lower case, behind any folder.
        usual: in lower case.

    >>> called(["x", "Label", "ID"], LABEL_COLUMNS), called(["x"], ID_COLUMNS)
    ('Label', None)
    """
    bare = {name.rpartition("/")[2]: name for name in reversed(list(names))}
    found = usual_one(list(bare)[::-1], usual)
    return None if found is None else bare[found]


def stated_beside(
    path: Path,
    shapes: dict[str, tuple[int, ...]],
    read: Callable[[str], Any],
    *,
    rows: int,
) -> dict[str, tuple[Any, ...] | None]:
    """Ids and labels among the arrays beside features, ``ids`` and ``labels`` of their file.

    A single value, or one for something else than the rows, is no statement about them, and
    numbers with fractions are no classes.

    Args:
        path: the file, for an error message.
        shapes: of the arrays beside the features, by name.
        read: from a name to its array.
        rows: of the features.

    Raises:
        InputError: several labels a row.
    """
    found: dict[str, tuple[Any, ...] | None] = {}
    for what, usual in (("ids", ID_COLUMNS), ("labels", LABEL_COLUMNS)):
        fitting = [
            name
            for name, shape in shapes.items()
            if shape[:1] == (rows,) and (len(shape) <= 2 or what == "labels")
        ]
        name = called(fitting, usual)
        shape = shapes[name][1:] if name is not None else ()
        if name is not None and shape not in ((), (1,)):
            if what == "ids":
                name = None
            else:
                raise InputError(
                    f"features: {path}: {name} must hold one label a row; got shape "
                    f"{shapes[name]}. Save {name}.argmax(axis=1) where these are one-hot, or "
                    "under another name where they are no labels."
                )
        if name is None:
            found[what] = None
        else:
            values = np.asarray(read(name)).reshape(rows)
            # An id that is a number is one whether or not it was stored as a floating-point one.
            found[what] = (
                tuple(column_texts(values, name=name))
                if what == "ids"
                else as_classes(path, name, values.tolist())
            )
    return found


def as_classes(path: Path, name: str, values: Sequence[Any]) -> tuple[Any, ...] | None:
    """Labels of rows, or None and a warning where they are a quantity, as of a regression.

    Args:
        path: the file, for the warning.
        name: what the labels are called there.
        values: one a row.
    """
    if any(isinstance(one, float) and math.isfinite(one) and one % 1 for one in values):
        warnings.warn(
            f"features: {path}: {name} holds numbers with fractions, so it is taken for no labels, "
            "and all rows for one cloud. Give labels to measure classes.",
            stacklevel=2,
        )
        return None
    return tuple(values)
