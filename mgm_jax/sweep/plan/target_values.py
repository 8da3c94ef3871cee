"""What a target asks of every image beside one class: several labels, or real values."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from mgm_jax.errors import InputError, name_some
from mgm_jax.images import ImageSource
from mgm_jax.study import TargetEntry

#: What a target of a kind is measured by; the rest asks for one class an image.
MEASURES_OF: dict[str, tuple[str, ...]] = {
    "several labels": ("linear", "ridge"),
    "real values": ("ridge",),
}

# What stands between the labels of one image in a text.
_SEPARATORS = ("|", ";", ",", " ")
# A list that a program wrote into a text, and the names in it.
_WRITTEN_LIST = re.compile(r"\s*(\[.*\]|\(.*\)|\{.*\})\s*", re.DOTALL)
_QUOTED = re.compile(r"\"([^\"]*)\"|'([^']*)'")


@dataclass(frozen=True, kw_only=True, eq=False)
class TargetValues:
    """Columns of a target, for every image of its source.

    Attributes:
        kind: what they are.
        names: of the columns, ``[c]``.
        values: float64 ``[n, c]``; 0 and 1 of labels. A row with NaN is of no use.
    """

    kind: Literal["several labels", "real values"]
    names: tuple[str, ...]
    values: np.ndarray


def values_of_target(source: ImageSource, entry: TargetEntry) -> TargetValues | None:
    """Columns that a target names; None for a target of classes.

    Raises:
        InputError: a column that the source does not have, values that are no labels or numbers,
            or a label that all images or none have.
    """
    wanted = entry.multilabel if entry.regression is None else entry.regression
    if wanted is None:
        return None
    names = (wanted,) if isinstance(wanted, str) else wanted
    where = f"transfer: {source.name}"
    for name in names:
        if name not in source.columns:
            raise InputError(
                f"{where} has no column {name!r}; it has {name_some(source.columns) or 'none'}. "
                "Manifests, Parquet, webdataset and HDF5 have columns."
            )
    given = {name: _switches(source.columns[name]) for name in names}
    if entry.regression is not None:
        columns = [_numbers(given[name], name, where) for name in names]
        return TargetValues(kind="real values", names=names, values=np.column_stack(columns))
    if isinstance(wanted, str) and _are_lists(given[wanted]):
        names, values = _of_lists(given[wanted], where)
    else:
        values = np.column_stack([_numbers(given[name], name, where) for name in names])
        if values.shape[1] != len(names):
            names = tuple(f"{names[0]}.{column}" for column in range(values.shape[1]))
    known = values[~np.isnan(values).any(axis=1)]
    if not np.isin(known, (0, 1)).all():
        raise InputError(f"{where}: labels must be 0 or 1, or lists of names, in {wanted!r}.")
    return TargetValues(kind="several labels", names=names, values=values)


def _switches(column: np.ndarray) -> np.ndarray:
    """True and False of a text table as 1 and 0; any other column as it is."""
    if column.dtype != object or not all(one is None or isinstance(one, str) for one in column):
        return column
    texts = ["" if one is None else one.strip().lower() for one in column]
    if not set(texts) <= {"true", "false", ""} or set(texts) == {""}:
        return column
    value_of = {"true": 1.0, "false": 0.0, "": np.nan}
    return np.array([value_of[one] for one in texts])


def _are_lists(column: np.ndarray) -> bool:
    return column.dtype == object and any(isinstance(one, str | list | tuple) for one in column)


def _of_lists(column: np.ndarray, where: str) -> tuple[tuple[str, ...], np.ndarray]:
    """Names of the labels, and 0 or 1 ``[n, c]``; texts are taken apart at the first separator.

    Lists that a program wrote into a text, ``['a', 'b']`` or ``["a", "b"]``, are read as such.
    """
    texts = [one for one in column if isinstance(one, str)]
    if texts and all(_WRITTEN_LIST.fullmatch(one) for one in texts):
        column = np.fromiter(
            (_items(one) if isinstance(one, str) else one for one in column), object, len(column)
        )
    mark = next((one for one in _SEPARATORS if any(one in text for text in texts)), None)

    def labels(one: Any) -> list[str] | None:
        if isinstance(one, str):
            return [part.strip() for part in one.split(mark) if part.strip()]
        return None if one is None else [str(part) for part in one if part is not None]

    listed = [labels(one) for one in column]
    names = tuple(sorted({name for one in listed for name in one or ()}))
    if not names:
        raise InputError(f"{where}: no image has a label.")
    index = {name: position for position, name in enumerate(names)}
    values = np.zeros((len(listed), len(names)))
    for row, one in zip(values, listed, strict=True):
        row[:] = np.nan if one is None else 0
        row[[index[name] for name in one or ()]] = 1
    return names, values


def _items(text: str) -> list[str]:
    """The items of a list as JSON, Python or NumPy writes it; the last puts no commas between.

    >>> _items("['a' 'b']"), _items('["a", "b c"]'), _items("[3, 1]"), _items("[]")
    (['a', 'b'], ['a', 'b c'], ['3', '1'], [])
    """
    quoted = [first or second for first, second in _QUOTED.findall(text)]
    return quoted or [one for one in re.split(r"[,\s]+", text.strip()[1:-1]) if one]


def _numbers(column: np.ndarray, name: str, where: str) -> np.ndarray:
    if column.dtype.kind in "iufb" and column.ndim in (1, 2):
        return column.astype(np.float64)
    raise InputError(f"{where}: column {name!r} must hold numbers; it holds {_kinds(column)}.")


def _kinds(column: Sequence[Any] | np.ndarray) -> str:
    return name_some(sorted({type(one).__name__ for one in column}))
