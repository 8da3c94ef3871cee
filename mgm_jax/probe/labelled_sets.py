"""What a probe asks of its train, validation and test sets, and of its L2 penalties."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import Any, NamedTuple

import numpy as np

from mgm_jax.errors import InputError, name_some, note_old_name
from mgm_jax.geometry.points.frames import refuse_other_columns
from mgm_jax.geometry.points.tensors import off_torch
from mgm_jax.intervals import check_level
from mgm_jax.probe.features import MEMORY_LIMIT, Features, block_rows_for
from mgm_jax.probe.labelled import check_pair, codes_among, encode_labels, refuse_one_class
from mgm_jax.whole_numbers import whole_number

_WEAKEST, _STRONGEST = -6.0, 5.0


def penalties_of(l2_penalties: Any, *, strengths: Any = None) -> np.ndarray:
    """L2 penalties as an ascending array: given, or so many from 1e-6 to 1e5.

    Args:
        l2_penalties: how many, or themselves.
        strengths: the same under the name it had, to the caller of a probe; None where it is not
            used.

    Raises:
        InputError: none, or values that are not above 0 and finite.

    >>> penalties_of(3).tolist() == [1e-6, 10**-0.5, 1e5]
    True
    """
    if strengths is not None:
        note_old_name("strengths", "l2_penalties", stacklevel=4)
        l2_penalties = strengths
    if isinstance(l2_penalties, int | np.integer) and not isinstance(l2_penalties, bool):
        if l2_penalties < 1:
            raise InputError(f"l2_penalties must be at least 1; got {l2_penalties}.")
        return np.logspace(_WEAKEST, _STRONGEST, int(l2_penalties))
    try:
        values = np.sort(np.asarray(l2_penalties, np.float64).reshape(-1))
    except (TypeError, ValueError) as error:
        raise InputError(
            f"l2_penalties must be a whole number, how many, or numbers above 0; got "
            f"{l2_penalties!r}."
        ) from error
    if not values.size or not (np.isfinite(values) & (values > 0)).all():
        raise InputError("l2_penalties must be finite and above 0; got others, or none.")
    return values


def check_options(measure: str, measures: Collection[str], level: float) -> None:
    """Refuse a measure that a probe does not have, and a level that is none.

    Raises:
        InputError: one of them.
    """
    if measure not in measures:
        raise InputError(f"measure must be one of {name_some(measures)}; got {measure!r}.")
    check_level(level)


class LabelledSet(NamedTuple):
    """Features ``[n, d]``, held or read, and classes of one set.

    Attributes:
        x: the features.
        codes: place of each row's class among those of train, ``[n]`` int; or 0 and 1, or real
            values, ``[n, c]``.
    """

    x: Features
    codes: np.ndarray

    def take(self, rows: np.ndarray) -> LabelledSet:
        """Some rows, by place or by mask."""
        return LabelledSet(self.x.take(rows), self.codes[rows])


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
    values: bool = False,
    memory_limit: int = MEMORY_LIMIT,
    block_rows: int | None = None,
) -> LabelledSets:
    """Check the sets of a probe; hold their features in memory where there is room.

    Args:
        parts: pairs of features and labels by name, ``train`` first; ``validation`` may be None.
        several: labels are 0 and 1, ``[n, c]``, instead of one a row.
        values: they are real values, ``[n]`` or ``[n, c]``.
        memory_limit: bytes that all features together may take as float32 to be held.
        block_rows: rows that are read at a time where they are not; None for about 64 MiB.

    Raises:
        InputError: no pair, unusable features, labels that do not fit them, fewer than two
            classes, or sets that do not fit each other.
    """
    memory_limit = whole_number(memory_limit, name="memory_limit", least=0)
    if block_rows is not None:
        block_rows = whole_number(block_rows, name="block_rows")
    pairs = {
        name: check_pair(part, name)
        for name, part in parts.items()
        if part is not None or name != "validation"
    }
    features = {name: Features.of(x, name=f"features of {name}") for name, (x, _) in pairs.items()}
    for name, (x, _) in pairs.items():
        names = ("features of train", f"features of {name}")
        refuse_other_columns(pairs["train"][0], x, names=names)
    width = features["train"].shape[1]
    for name, x in features.items():
        if x.shape[1] != width:
            raise InputError(
                f"features of {name} must have {width} columns, as train; got {x.shape[1]}."
            )
    labels = {name: (given, features[name].shape[0]) for name, (_, given) in pairs.items()}
    if several or values:
        classes, codes = _of_columns(labels, _real_values if values else _zeros_and_ones)
    else:
        classes, codes = _of_one(labels)
    sets = {name: LabelledSet(x, codes[name]) for name, x in features.items()}
    if sum(one.x.nbytes for one in sets.values()) > memory_limit:
        return LabelledSets(sets, classes, block_rows or block_rows_for(width))
    held = {
        name: one._replace(x=Features.of(one.x.whole(), name=f"features of {name}"))
        for name, one in sets.items()
    }
    return LabelledSets(held, classes, None)


def _of_one(labels: Mapping[str, tuple[Any, int]]) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """Classes of train, and the codes of every set, of one label a row."""
    groups = {
        name: encode_labels(given, n, name=f"labels of {name}")
        for name, (given, n) in labels.items()
    }
    refuse_one_class(groups["train"], name="labels of train")
    classes = groups["train"].values
    return classes, {name: codes_among(one, classes, name=name) for name, one in groups.items()}


def _of_columns(
    labels: Mapping[str, tuple[Any, int]], checked: Callable[[Any, int, str], np.ndarray]
) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """Numbers of the columns, and these ``[n, c]`` of every set."""
    codes = {name: checked(given, n, name) for name, (given, n) in labels.items()}
    count = codes["train"].shape[1]
    for name, one in codes.items():
        if one.shape[1] != count:
            raise InputError(
                f"labels of {name} must have {count} columns, as train; got {one.shape[1]}."
            )
    return np.arange(count), codes


def _real_values(given: Any, n: int, name: str) -> np.ndarray:
    values = _numbers(given)
    if values.ndim == 1:
        values = values[:, None]
    if values.ndim != 2 or len(values) != n or not values.shape[1]:
        raise InputError(
            f"labels of {name} must be real values, [{n}] or [{n}, c], for measure='r2'; "
            f"got shape {values.shape}."
        )
    bad = np.flatnonzero(~np.isfinite(values).all(axis=1))
    if bad.size:
        raise InputError(
            f"labels of {name} must be finite for measure='r2'; got others in {bad.size} rows "
            f"(rows {name_some(bad)}). Leave these rows out."
        )
    return values.astype(np.float64)


def _zeros_and_ones(given: Any, n: int, name: str) -> np.ndarray:
    values = _numbers(given)
    if values.ndim != 2 or len(values) != n:
        raise InputError(
            f"labels of {name} must be 0 or 1, [{n}, c], for measure='map11' or 'map'; "
            f"got shape {values.shape}."
        )
    bad = np.flatnonzero(~np.isin(values, (0, 1)).all(axis=1))
    if bad.size:
        raise InputError(
            f"labels of {name} must be 0 or 1, [{n}, c], for measure='map11' or 'map'; got "
            f"others in {bad.size} rows (rows {name_some(bad)})."
        )
    return values.astype(np.int32)


def _numbers(given: Any) -> np.ndarray:
    """Numbers of any shape, NaN for what is none; of no shape where it is no array."""
    try:
        values = np.asarray(off_torch(given))
    except (TypeError, ValueError, RuntimeError):
        values = np.asarray(None)
    if values.dtype.kind not in "biuf" and values.size:
        values = np.vectorize(_number_or_nan, otypes=[float])(values.astype(object))
    return values


def _number_or_nan(value: Any) -> float:
    return float(value) if isinstance(value, int | float | np.number | np.bool_) else np.nan
