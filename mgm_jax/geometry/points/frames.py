"""Frames and series of pandas that belong together: their rows are taken in the order they have.

Nothing here looks rows up by their names, so two that name the same rows in another order, as one
has been shuffled or sorted and the other not, would be joined wrongly.
"""

from __future__ import annotations

from typing import Any

from mgm_jax.errors import InputError


def refuse_other_order(first: Any, second: Any, *, names: tuple[str, str]) -> None:
    """Raise InputError where two frames or series name the same rows in different orders.

    Args:
        first: anything; what is of pandas has an index.
        second: likewise.
        names: what errors call the two.

    >>> import pandas as pd
    >>> refuse_other_order(pd.Series([1, 2]), [2, 1], names=("a", "b"))
    """
    _refuse(_labels_of(first, "index"), _labels_of(second, "index"), names=names, what="rows")


def refuse_other_columns(first: Any, second: Any, *, names: tuple[str, str]) -> None:
    """Raise InputError where two frames have the same columns in different orders."""
    _refuse(
        _labels_of(first, "columns"), _labels_of(second, "columns"), names=names, what="columns"
    )


def _labels_of(table: Any, axis: str) -> Any:
    labels = getattr(table, axis, None) if hasattr(table, "iloc") else None
    return labels if hasattr(labels, "is_unique") else None


def _refuse(first: Any, second: Any, *, names: tuple[str, str], what: str) -> None:
    if first is None or second is None or len(first) != len(second) or first.equals(second):
        return
    if not (first.is_unique and second.is_unique and first.isin(second).all()):
        return
    row = next(i for i, (a, b) in enumerate(zip(first, second, strict=True)) if a != b)
    remedy = (
        f"Take {names[1]}.loc[{names[0]}.index], or reset_index(drop=True) on both where they are "
        "in one order."
        if what == "rows"
        else "Put the columns of both into one order."
    )
    raise InputError(
        f"{names[0]} and {names[1]} must have their {what} in one order; they name the same "
        f"{len(first)} {what} in different ones, first {first[row]!s} and {second[row]!s} at "
        f"{row}. {remedy}"
    )
