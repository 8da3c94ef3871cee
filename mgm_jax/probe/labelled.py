"""What every probe and score asks of features and labels."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from mgm_jax.errors import InputError, name_some
from mgm_jax.geometry.points.checks import check_points
from mgm_jax.geometry.points.groups import encode_groups


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
    groups = encode_groups(labels, len(points))
    if len(groups) < 2:
        raise InputError(
            f"labels must name at least two classes; got only {groups.values[0]!s}. "
            "Scores compare classes."
        )
    small = np.flatnonzero(groups.sizes < least)
    if small.size:
        raise InputError(
            f"labels must have at least {least} rows of every class; "
            f"got fewer of {name_some(groups.values[small])}. Leave these classes out."
        )
    moving = (points != points[0]).any(axis=0)
    return Labelled(points[:, moving], groups.codes, groups.values, groups.sizes)


def class_means(values: np.ndarray, data: Labelled) -> np.ndarray:
    """Mean of rows ``[n, d]`` over every class, ``[c, d]``."""
    sums = np.zeros((len(data.classes), values.shape[1]))
    np.add.at(sums, data.codes, values)
    return sums / data.sizes[:, None]
