"""What a probe asks of its train, validation and test sets, and of its strengths."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import numpy as np

from mgm_jax.devices import fetch
from mgm_jax.errors import InputError, name_some
from mgm_jax.geometry.points import check_points

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


def linear_answers(x: Any, weights: np.ndarray, intercepts: np.ndarray) -> np.ndarray:
    """``x W + b`` in the type of the weights, for features ``[n, d]``: ``[n, c]``.

    Raises:
        InputError: features of another width than in training.
    """
    points = np.asarray(x, weights.dtype)
    if points.ndim != 2 or points.shape[1] != len(weights):
        raise InputError(
            f"x must have shape [n, {len(weights)}], as in training; got {points.shape}."
        )
    return points @ weights + intercepts


def check_set(part: Any, name: str, *, several: bool = False) -> tuple[np.ndarray, np.ndarray]:
    """Features ``[n, d]`` float32 and labels of one set.

    Args:
        part: the pair that a user gave.
        name: what an error calls it.
        several: labels are 0 and 1, ``[n, c]``, instead of one a row.

    Raises:
        InputError: no pair, unusable features, or labels that do not fit them.
    """
    if not isinstance(part, tuple | list) or len(part) != 2:
        raise InputError(f"{name} must be a pair of features and labels.")
    x = np.asarray(fetch(check_points(part[0], name=f"features of {name}")), np.float32)
    labels = np.asarray(part[1])
    if several:
        if labels.ndim != 2 or len(labels) != len(x) or not np.isin(labels, (0, 1)).all():
            raise InputError(
                f"labels of {name} must be 0 or 1, [{len(x)}, c], for measure='map11'; "
                f"got shape {labels.shape}."
            )
        return x, labels.astype(np.int32)
    if labels.shape != (len(x),):
        raise InputError(f"labels of {name} must be one a row, {len(x)}; got shape {labels.shape}.")
    return x, labels


def check_fit(
    name: str,
    x: np.ndarray,
    labels: np.ndarray,
    train: np.ndarray,
    classes: np.ndarray,
    *,
    several: bool = False,
) -> None:
    """Refuse a set whose columns or labels train does not have.

    Args:
        name: what an error calls the set.
        x: its features.
        labels: its labels.
        train: features of train.
        classes: labels of train.
        several: labels are 0 and 1, ``[n, c]``.
    """
    if x.shape[1] != train.shape[1]:
        raise InputError(
            f"features of {name} must have {train.shape[1]} columns, as train; got {x.shape[1]}."
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
