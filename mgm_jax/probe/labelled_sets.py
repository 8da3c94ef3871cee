"""What a probe asks of its train, validation and test sets, and of its strengths."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any, NamedTuple

import numpy as np

from mgm_jax.errors import InputError, name_some
from mgm_jax.geometry.points.counts import whole_number
from mgm_jax.probe.features import MEMORY_LIMIT, Features, block_rows_for

_WEAKEST, _STRONGEST = -6.0, 5.0


def strengths_of(strengths: Any) -> np.ndarray:
    """Strengths as an ascending array: given, or so many from 1e-6 to 1e5.

    Raises:
        InputError: none, or values that are not above 0 and finite.

    >>> strengths_of(3).tolist() == [1e-6, 10**-0.5, 1e5]
    True
    """
    if isinstance(strengths, int | np.integer) and not isinstance(strengths, bool):
        if strengths < 1:
            raise InputError(f"strengths must be at least 1; got {strengths}.")
        return np.logspace(_WEAKEST, _STRONGEST, int(strengths))
    values = np.sort(np.asarray(strengths, np.float64).reshape(-1))
    if not values.size or not (np.isfinite(values) & (values > 0)).all():
        raise InputError("strengths must be finite and above 0; got others, or none.")
    return values


def check_options(measure: str, measures: Collection[str], level: float) -> None:
    """Refuse a measure that a probe does not have, and a level that is none.

    Raises:
        InputError: one of them.
    """
    if measure not in measures:
        raise InputError(f"measure must be one of {name_some(measures)}; got {measure!r}.")
    if not 0 < level < 1:
        raise InputError(f"level must be between 0 and 1; got {level}.")


class LabelledSet(NamedTuple):
    """Features ``[n, d]``, held or read, and labels of one set."""

    x: Features
    labels: np.ndarray

    def take(self, rows: np.ndarray) -> LabelledSet:
        """Some rows, by place or by mask."""
        return LabelledSet(self.x.take(rows), self.labels[rows])


class LabelledSets(NamedTuple):
    """The sets of a probe, which fit each other.

    Attributes:
        sets: by name; ``train`` is among them.
        classes: the labels of train, sorted; or the numbers of its columns, ``[c]``.
        block_rows: rows that are read at a time; None where all features are in memory.
    """

    sets: dict[str, LabelledSet]
    classes: np.ndarray
    block_rows: int | None


def check_sets(
    parts: Mapping[str, Any],
    *,
    several: bool = False,
    memory_limit: int = MEMORY_LIMIT,
    block_rows: int | None = None,
) -> LabelledSets:
    """Check the sets of a probe; hold their features in memory where there is room.

    Args:
        parts: pairs of features and labels by name, None for one that there is not; ``train``
            comes first.
        several: labels are 0 and 1, ``[n, c]``, instead of one a row.
        memory_limit: bytes that all features together may take as float32 to be held.
        block_rows: rows that are read at a time where they are not; None for about 64 MiB.

    Raises:
        InputError: no pair, unusable features, labels that do not fit them, fewer than two
            classes, or sets that do not fit each other.
    """
    memory_limit = whole_number(memory_limit, name="memory_limit", least=0)
    if block_rows is not None:
        block_rows = whole_number(block_rows, name="block_rows")
    sets = {
        name: _check_set(part, name, several=several)
        for name, part in parts.items()
        if part is not None
    }
    train = sets["train"]
    classes = np.arange(train.labels.shape[1]) if several else np.unique(train.labels)
    if not several and classes.size < 2:
        raise InputError("train must hold at least two classes; got one.")
    for name, one in sets.items():
        _check_fit(name, one, train, classes, several=several)
    if sum(one.x.nbytes for one in sets.values()) > memory_limit:
        return LabelledSets(sets, classes, block_rows or block_rows_for(train.x.shape[1]))
    held = {
        name: one._replace(x=Features.of(one.x.whole(), name=f"features of {name}"))
        for name, one in sets.items()
    }
    return LabelledSets(held, classes, None)


def _check_set(part: Any, name: str, *, several: bool) -> LabelledSet:
    if not isinstance(part, tuple | list) or len(part) != 2:
        raise InputError(f"{name} must be a pair of features and labels.")
    x = Features.of(part[0], name=f"features of {name}")
    labels, n = np.asarray(part[1]), x.shape[0]
    if several:
        if labels.ndim != 2 or len(labels) != n or not np.isin(labels, (0, 1)).all():
            raise InputError(
                f"labels of {name} must be 0 or 1, [{n}, c], for measure='map11'; "
                f"got shape {labels.shape}."
            )
        return LabelledSet(x, labels.astype(np.int32))
    if labels.shape != (n,):
        raise InputError(f"labels of {name} must be one a row, {n}; got shape {labels.shape}.")
    return LabelledSet(x, labels)


def _check_fit(
    name: str, one: LabelledSet, train: LabelledSet, classes: np.ndarray, *, several: bool
) -> None:
    """Refuse a set whose columns or labels train does not have."""
    width, labels = train.x.shape[1], one.labels
    if one.x.shape[1] != width:
        raise InputError(
            f"features of {name} must have {width} columns, as train; got {one.x.shape[1]}."
        )
    if several:
        if labels.shape[1] != classes.size:
            raise InputError(
                f"labels of {name} must have {classes.size} columns, as train; "
                f"got {labels.shape[1]}."
            )
        return
    new = np.setdiff1d(labels, classes)
    if new.size:
        raise InputError(
            f"labels of {name} must be among those of train; got also {name_some(new)}. "
            "Leave these rows out."
        )
