"""Groups of points: codes for any labels, and batches of groups padded to a few fixed shapes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from mgm_jax.errors import InputError, name_some
from mgm_jax.geometry.points.frames import refuse_other_order
from mgm_jax.geometry.points.tensors import off_torch

_LIMIT = 2**63


@dataclass(frozen=True, kw_only=True)
class Groups:
    """A partition of n points into g groups.

    Attributes:
        codes: group of every point, ``[n]`` int32 from 0 to g - 1, in sorted order of the values.
        values: what the caller named the groups, ``[g]``, sorted.
        sizes: number of points of every group, ``[g]`` int32, all at least 1.
    """

    codes: np.ndarray
    values: np.ndarray
    sizes: np.ndarray

    def __len__(self) -> int:
        """Number of groups."""
        return int(self.sizes.size)

    def members(self) -> list[np.ndarray]:
        """Rows of every group, ascending; one array a group, in the order of the codes."""
        order = np.argsort(self.codes, kind="stable").astype(np.int32)
        return np.split(order, np.cumsum(self.sizes)[:-1])

    def refuse_smaller(self, least: int, *, need: str, remedy: str, what: str = "groups") -> None:
        """Raise InputError where a group has fewer than ``least`` points.

        Args:
            least: fewest points of a group.
            need: what is needed and what was got, to which the small groups and their sizes are
                added.
            remedy: what to do.
            what: what the groups are.
        """
        small = np.flatnonzero(self.sizes < least)
        if small.size:
            named = name_some(f"{self.values[code]!s} ({self.sizes[code]})" for code in small)
            where = f" in the {what} {named}" if len(self) > 1 else f": {self.sizes[0]}"
            raise InputError(f"{need}{where}. {remedy}")


@dataclass(frozen=True, kw_only=True)
class GroupBatch:
    """Groups of about one size, padded to one shape.

    Attributes:
        groups: code of every group, ``[G]`` int32; -1 where the batch is filled up.
        rows: rows of its points, ``[G, m]`` int32, ascending; -1 where the group is filled up.
        mask: whether an entry of ``rows`` is a point, ``[G, m]`` bool.
    """

    groups: np.ndarray
    rows: np.ndarray
    mask: np.ndarray


def encode_groups(groups: Any, n: int, *, name: str = "groups", of: Any = None) -> Groups:
    """Turn one label a point into dense codes.

    Args:
        groups: integers or strings, shape ``[n]``, as NumPy, JAX, PyTorch or pandas hold them
            (categories and types with missing values too); floats are taken where they are whole
            numbers. None puts all points into one group with value 0.
        n: number of points.
        name: what the caller names the argument, for the error message.
        of: the points as the caller got them; a frame of pandas must have the rows of a series of
            labels in the same order.

    Returns:
        The partition, with codes in the sorted order of the labels, whatever order they come in.

    Raises:
        InputError: not one label a point, missing labels (None, NaN, NaT or NA), labels that are
            no names, or numbers beside strings; the rows are named.

    Example:
        >>> encode_groups(["cat", "ant", "cat"], 3).codes.tolist()
        [1, 0, 1]
    """
    if groups is None:
        return Groups(
            codes=np.zeros(n, np.int32), values=np.zeros(1, np.int64), sizes=np.array([n], np.int32)
        )
    refuse_other_order(of, groups, names=("x", name))
    labels = _as_labels(groups, name=name)
    if labels.shape != (n,):
        got = f"shape {labels.shape}" if labels.ndim else type(groups).__name__
        raise InputError(f"{name} must hold one label for each of the {n} points; got {got}.")
    values, codes, sizes = np.unique(
        _as_names(labels, name=name), return_inverse=True, return_counts=True
    )
    return Groups(
        codes=codes.reshape(n).astype(np.int32), values=values, sizes=sizes.astype(np.int32)
    )


def column_texts(values: Any, *, name: str) -> list[str]:
    """Labels or ids as texts, whatever holds them; empty where one is missing.

    Args:
        values: as ``encode_groups`` takes them, and missing ones, or numbers beside strings.
        name: what the caller names the argument, for the error message.

    Raises:
        InputError: not one value a row.

    Example:
        >>> column_texts([2.0, None, "a", b"b"], name="labels")
        ['2', '', 'a', 'b']
    """
    given = values
    if isinstance(values, np.ma.MaskedArray):
        given = np.array(values, dtype=object)
        given[np.ma.getmaskarray(values)] = None
    column = _as_labels(given, name=name)
    if column.ndim != 1:
        got = f"shape {column.shape}" if column.ndim else type(values).__name__
        raise InputError(f"{name} must hold one value a row; got {got}.")
    return [_text(one) for one in column.tolist()]


def _text(label: Any) -> str:
    if _is_missing(label):
        return ""
    if isinstance(label, bytes):
        return label.decode("utf-8", "backslashreplace")
    if isinstance(label, str):
        return str.__str__(label)
    return str(int(label)) if isinstance(label, float) and label.is_integer() else str(label)


def _as_labels(groups: Any, *, name: str) -> np.ndarray:
    """Labels as an array that keeps what is missing, and keeps numbers and strings apart."""
    if isinstance(groups, np.ma.MaskedArray):
        _refuse_missing(np.flatnonzero(np.ma.getmaskarray(groups)), name=name)
    groups = off_torch(groups, name=name)
    try:
        labels = np.asarray(groups)
        if labels.dtype.kind in "US" and isinstance(groups, list | tuple):
            # NumPy has made strings of all that the list held, of None and NaN too.
            labels = np.array(groups, dtype=object)
    except (TypeError, ValueError, RuntimeError) as error:
        raise InputError(
            f"{name} must hold one label a point; NumPy cannot make an array of the "
            f"{type(groups).__name__} that it got: {error}"
        ) from error
    if labels.ndim == 2 and labels.shape[1] == 1:
        # A column of a table, or labels as a model of several outputs has them.
        labels = labels[:, 0]
    return labels.astype(object) if labels.dtype.kind == "T" else labels


def _as_names(labels: np.ndarray, *, name: str) -> np.ndarray:
    """Labels as an integer, boolean, string or bytes array; anything else is refused."""
    if labels.dtype.kind == "O":
        _refuse_missing([row for row, label in enumerate(labels) if _is_missing(label)], name=name)
        # Of a subclass, such as an enumeration of strings, NumPy would take what str() says.
        if all(isinstance(label, str) for label in labels):
            return np.array([str.__str__(label) for label in labels], dtype=str)
        if all(isinstance(label, bytes) for label in labels):
            return labels.astype(bytes)
        if not all(isinstance(label, int | np.integer | np.bool_) for label in labels):
            if all(isinstance(label, int | float | np.number | np.bool_) for label in labels):
                return _as_names(labels.astype(np.float64), name=name)
            raise InputError(
                f"{name} must be all integers or all strings; got {_kinds(labels)}. "
                "Convert the labels to strings."
            )
        _refuse_large(
            [row for row, label in enumerate(labels) if not -_LIMIT <= label < _LIMIT], name=name
        )
        return labels.astype(np.int64)
    if labels.dtype.kind == "f":
        _refuse_missing(np.flatnonzero(np.isnan(labels)), name=name)
        broken = np.flatnonzero((labels != np.round(labels)) | np.isinf(labels))
        if broken.size:
            raise InputError(
                f"{name} must be integers or strings; got fractions or infinity "
                f"in {broken.size} rows (rows {name_some(broken)})."
            )
        _refuse_large(np.flatnonzero(np.abs(labels.astype(np.float64)) >= _LIMIT), name=name)
        return labels.astype(np.int64)
    if labels.dtype.kind not in "biuUS":
        raise InputError(
            f"{name} must be integers or strings; got dtype {labels.dtype}. "
            "Convert the labels to strings."
        )
    return labels


def _kinds(labels: np.ndarray) -> str:
    """The types among labels, each with the rows that hold it."""
    rows: dict[str, list[int]] = {}
    for row, label in enumerate(labels):
        rows.setdefault(type(label).__name__, []).append(row)
    return "; ".join(
        f"{kind} in {len(holders)} rows (rows {name_some(holders)})"
        for kind, holders in sorted(rows.items())
    )


def _is_missing(label: object) -> bool:
    if label is None:
        return True
    try:
        return bool(label != label)
    except TypeError:
        # pandas.NA compares to nothing, not even to itself.
        return True


def _refuse_missing(rows: list[int] | np.ndarray, *, name: str) -> None:
    if len(rows):
        raise InputError(
            f"{name} must name a group for every point; got no label in {len(rows)} rows "
            f"(rows {name_some(rows)}). Leave these points out, or give them a label."
        )


def _refuse_large(rows: list[int] | np.ndarray, *, name: str) -> None:
    if len(rows):
        raise InputError(
            f"{name} must fit into 64 bits; got larger numbers in {len(rows)} rows "
            f"(rows {name_some(rows)}). Convert the labels to strings."
        )


def padded_size(size: int) -> int:
    """Smallest of a few fixed sizes that holds ``size`` points.

    Multiples of 8 up to 64, of 32 up to 256, of 128 above: the padding costs little work and
    few sizes means few compilations.

    >>> [padded_size(size) for size in (1, 60, 65, 300)]
    [8, 64, 96, 384]
    """
    step = 8 if size <= 64 else 32 if size <= 256 else 128
    return -(-size // step) * step


def group_batches(groups: Groups, *, max_points: int, workers: int = 1) -> Iterator[GroupBatch]:
    """Batch the groups so that only a few shapes occur.

    Groups are ordered by padded size, then by code. All batches of one padded size m hold the
    same number G of groups (the last is filled up with group -1), at most ``max_points // m``
    and at least 1, so each m compiles once. What a group holds does not depend on the others.

    Args:
        groups: the partition.
        max_points: most points (padding included) of one batch; a larger group is a batch alone.
        workers: who share the batches of a size; where these are more, as many for each, so that
            they end together.

    Yields:
        Batches that hold every group once.

    Raises:
        InputError: ``max_points`` below 1.

    Example:
        >>> [b.rows.shape for b in group_batches(encode_groups([0, 0, 1], 3), max_points=64)]
        [(2, 8)]
    """
    if max_points < 1:
        raise InputError(f"max_points must be at least 1; got {max_points}.")
    members = groups.members()
    padded = np.array([padded_size(int(size)) for size in groups.sizes], dtype=np.int64)
    for m in np.unique(padded).tolist():
        codes = np.flatnonzero(padded == m).astype(np.int32)
        batches = -(-codes.size // max(1, max_points // m))
        if batches > workers:
            batches = -(-batches // workers) * workers
        per_batch = -(-codes.size // batches)
        for start in range(0, codes.size, per_batch):
            chosen = codes[start : start + per_batch]
            batch_codes = np.full(per_batch, -1, np.int32)
            batch_codes[: chosen.size] = chosen
            rows = np.full((per_batch, m), -1, np.int32)
            for row, code in enumerate(chosen):
                rows[row, : members[code].size] = members[code]
            yield GroupBatch(groups=batch_codes, rows=rows, mask=rows >= 0)


def trimmed_batches(groups: Groups, batches: Iterator[GroupBatch]) -> Iterator[GroupBatch]:
    """Leave out the places that no group of a padded size fills, but for a few.

    Work grows with the third power of the places, and groups often have one size.

    >>> groups = encode_groups(np.zeros(33, int), 33)
    >>> [b.rows.shape for b in trimmed_batches(groups, group_batches(groups, max_points=64))]
    [(1, 34)]
    """
    padded = np.array([padded_size(int(size)) for size in groups.sizes])
    for batch in batches:
        most = int(groups.sizes[padded == batch.rows.shape[1]].max())
        step = 2 if most <= 64 else 8
        positions = slice(0, -(-most // step) * step)
        yield GroupBatch(
            groups=batch.groups, rows=batch.rows[:, positions], mask=batch.mask[:, positions]
        )


def points_of_batches_on_cpu(n: int, *, workers: int) -> int:
    """Most points of a batch that is the work of one core: 256 or 1024.

    Large ones take fewer calls, and small ones share a few points well among the cores.

    >>> [points_of_batches_on_cpu(n, workers=2) for n in (1000, 2000, 50000)]
    [256, 1024, 1024]
    """
    return 256 if n // workers < 768 else 1024
