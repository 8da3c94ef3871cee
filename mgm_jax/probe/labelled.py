"""What every probe and score asks of features and labels: labels come in by this door alone."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from mgm_jax.errors import InputError, name_some
from mgm_jax.geometry.points.checks import check_points
from mgm_jax.geometry.points.frames import refuse_other_order
from mgm_jax.geometry.points.groups import Groups, encode_groups


class Labelled(NamedTuple):
    """Features and the class of each row.

    Attributes:
        x: ``[n, d]`` float64, columns that are constant taken out (``d`` may be 0).
        codes: class of every row, ``[n]`` int, from 0.
        classes: the labels, sorted, ``[c]``.
        sizes: rows of each class, ``[c]``.
    """

    x: np.ndarray
    codes: np.ndarray
    classes: np.ndarray
    sizes: np.ndarray


def check_labelled(x: Any, labels: Any, *, least: int = 1) -> Labelled:
    """Return features and labels in one form, or say what is wrong with them.

    A column that never changes says nothing about a class and is left out, so that a score of
    constant features is that of no features.

    Args:
        x: features ``[n, d]``, NumPy or JAX.
        labels: one integer or string a row, in any numbering.
        least: fewest rows of a class.

    Raises:
        InputError: unusable features or labels, fewer than two classes, or classes of too few
            rows, which are named.

    Example:
        >>> check_labelled([[1.0, 0.0], [1.0, 2.0]], ["b", "a"]).codes.tolist()
        [1, 0]
    """
    points = np.asarray(check_points(x, name="x"), np.float64)
    groups = encode_labels(labels, len(points), of=x)
    refuse_one_class(groups)
    groups.refuse_smaller(
        least,
        need=f"labels must have at least {least} rows of every class; got too few",
        remedy="Leave these classes out.",
        what="classes",
    )
    moving = (points != points[0]).any(axis=0)
    return Labelled(points[:, moving], groups.codes, groups.values, groups.sizes)


def check_pair(part: Any, name: str) -> tuple[Any, Any]:
    """Features and labels of one set of a probe, or InputError where it is no pair."""
    if not isinstance(part, tuple | list) or len(part) != 2:
        got = "None" if part is None else type(part).__name__
        raise InputError(f"{name} must be a pair of features and labels; got {got}.")
    refuse_other_order(*part, names=(f"features of {name}", f"labels of {name}"))
    return part[0], part[1]


def encode_labels(labels: Any, n: int, *, name: str = "labels", of: Any = None) -> Groups:
    """Classes of n rows.

    Args:
        labels: one integer or string a row, as ``encode_groups`` takes them.
        n: rows.
        name: what errors call them.
        of: the features as the caller got them.

    Raises:
        InputError: no labels, not one a row, missing ones or such that are no names; the rows are
            named.
    """
    if labels is None:
        raise InputError(f"{name} must hold one label for each of the {n} points; got None.")
    return encode_groups(labels, n, name=name, of=of)


def refuse_one_class(groups: Groups, *, name: str = "labels") -> None:
    """Raise InputError where all rows are of one class."""
    if len(groups) < 2:
        raise InputError(
            f"{name} must name at least two classes; got only {groups.values[0]!s}. "
            "Probes and scores compare classes."
        )


def codes_among(groups: Groups, classes: np.ndarray, *, name: str) -> np.ndarray:
    """Class of every row as its place among the classes of train, ``[n]`` int.

    Args:
        groups: classes of the rows of another set, which may lack some.
        classes: of train, sorted.
        name: what errors call the other set.

    Raises:
        InputError: strings where train has numbers or the other way round, or classes that train
            lacks; the rows are named.
    """
    kinds = [
        {"U": "strings", "S": "bytes"}.get(values.dtype.kind, "numbers")
        for values in (groups.values, classes)
    ]
    if kinds[0] != kinds[1]:
        raise InputError(
            f"labels of {name} must be of the kind of those of train; got {kinds[0]} where train "
            f"has {kinds[1]}. Convert one of them."
        )
    new = ~np.isin(groups.values, classes)
    if new.any():
        rows = np.flatnonzero(new[groups.codes])
        raise InputError(
            f"labels of {name} must be among those of train; got also "
            f"{name_some(groups.values[new])} in {rows.size} rows (rows {name_some(rows)}). "
            "Leave these rows out."
        )
    return np.searchsorted(classes, groups.values)[groups.codes]


def class_means(values: np.ndarray, data: Labelled) -> np.ndarray:
    """Mean of rows ``[n, d]`` over every class, ``[c, d]``."""
    sums = np.zeros((len(data.classes), values.shape[1]))
    np.add.at(sums, data.codes, values)
    return sums / data.sizes[:, None]
