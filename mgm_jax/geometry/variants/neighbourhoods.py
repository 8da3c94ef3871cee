"""Principal components of the differences to neighbours, and their extent, on the host in float64.

The components of a neighbourhood are those principal components of ``x_j - x_i``, j in N(i), whose
variance is at least a share of the largest. Their number is small (that of neighbours less one at
most), so bases of many features are made for a block of points at a time and thrown away.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple, TypeVar

import numpy as np

from mgm_jax.geometry.backend.workers import one_thread_a_product, threads
from mgm_jax.parallel.cpus import available_cpus

Result = TypeVar("Result")

# Differences of a block of points: 16 MiB.
_BLOCK_VALUES = 2**21
# Squared differences below this share of the squared length of a point are its rounding.
_ROUNDING = 2.0**-46


class Extent(NamedTuple):
    """Size of b neighbourhoods.

    Attributes:
        components: number of components ``[b]`` int32.
        diameter: largest distance of two neighbours ``[b]``; NaN where there are fewer than two.
    """

    components: np.ndarray
    diameter: np.ndarray


def in_blocks(
    work: Callable[[np.ndarray], Result], rows: np.ndarray, *, values_a_row: int
) -> list[Result]:
    """Call for all rows, some at a time, on all cores; results in order.

    Args:
        work: takes row numbers ``[b]``.
        rows: ``[n]``.
        values_a_row: numbers that a row needs in memory, which fixes b.
    """
    step = max(1, _BLOCK_VALUES // max(values_a_row, 1))
    parts = [rows[start : start + step] for start in range(0, rows.size, step)]
    with one_thread_a_product(), threads(available_cpus()) as pool:
        return list(pool.map(work, parts))


def extents(points: np.ndarray, neighbours: np.ndarray, *, threshold: float) -> Extent:
    """Number of components and diameter of every neighbourhood.

    Args:
        points: ``[n, d]``.
        neighbours: rows of the neighbours ``[n, k]``, -1 for none.
        threshold: share of the largest variance that counts.
    """

    def work(rows: np.ndarray) -> Extent:
        differences, mask = _differences(points, rows, neighbours[rows])
        gram = differences @ differences.transpose(0, 2, 1)
        squares = np.diagonal(gram, axis1=1, axis2=2)
        apart = np.maximum(squares[:, :, None] + squares[:, None, :] - 2 * gram, 0)
        both = mask[:, :, None] & mask[:, None, :]
        several = mask.sum(axis=1) > 1
        diameter = np.sqrt(np.where(both, apart, 0).max(axis=(1, 2), initial=0))
        values = np.linalg.eigvalsh(_centred_gram(differences, mask))[:, ::-1]
        count = _counted(values, _rounding(points[rows]), threshold=threshold)
        return Extent(count, np.where(several, diameter, np.nan))

    if not neighbours.shape[1]:
        return Extent(np.zeros(len(points), np.int32), np.full(len(points), np.nan))
    width = neighbours.shape[1] * points.shape[1]
    blocks = in_blocks(work, np.arange(len(points)), values_a_row=width)
    return Extent(*(np.concatenate(column) for column in zip(*blocks, strict=True)))


def bases(
    points: np.ndarray, rows: np.ndarray, neighbours: np.ndarray, *, threshold: float
) -> tuple[np.ndarray, np.ndarray]:
    """Orthonormal bases of the component subspaces of some points.

    Args:
        points: ``[n, d]``.
        rows: which points ``[b]``.
        neighbours: rows of their neighbours ``[b, k]``, -1 for none.
        threshold: share of the largest variance that counts.

    Returns:
        Bases ``[b, d, r]``, columns beyond the number of components 0; and these numbers ``[b]``.
    """
    differences, mask = _differences(points, rows, neighbours)
    values, vectors = np.linalg.eigh(_centred_gram(differences, mask))
    values, vectors = values[:, ::-1], vectors[:, :, ::-1]
    count = _counted(values, _rounding(points[rows]), threshold=threshold)
    most = max(int(count.max(initial=0)), 1)
    real = np.arange(most) < count[:, None]
    scale = np.where(real, 1 / np.sqrt(np.where(real, values[:, :most], 1)), 0)
    centred = _about_mean(differences, mask)
    return centred.transpose(0, 2, 1) @ (vectors[:, :, :most] * scale[:, None]), count


def compact(indices: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """The chosen neighbours of every row moved to the front, in their order, -1 behind them.

    >>> compact(np.array([[4, 5, 6]]), np.array([[False, True, True]])).tolist()
    [[5, 6]]
    """
    order = np.argsort(~mask, axis=1, kind="stable")[:, : int(mask.sum(axis=1).max(initial=0))]
    chosen = np.take_along_axis(indices, order, axis=1)
    return np.where(np.take_along_axis(mask, order, axis=1), chosen, -1)


def _differences(
    points: np.ndarray, rows: np.ndarray, neighbours: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    mask = neighbours >= 0
    differences = points[np.maximum(neighbours, 0)].astype(np.float64)
    differences -= points[rows, None].astype(np.float64)
    differences[~mask] = 0
    return differences, mask


def _about_mean(differences: np.ndarray, mask: np.ndarray) -> np.ndarray:
    number = np.maximum(mask.sum(axis=1), 1)
    mean = differences.sum(axis=1) / number[:, None]
    return np.where(mask[:, :, None], differences - mean[:, None], 0)


def _centred_gram(differences: np.ndarray, mask: np.ndarray) -> np.ndarray:
    centred = _about_mean(differences, mask)
    return centred @ centred.transpose(0, 2, 1)


def _rounding(points: np.ndarray) -> np.ndarray:
    return _ROUNDING * (points.astype(np.float64) ** 2).sum(axis=1)


def _counted(values: np.ndarray, rounding: np.ndarray, *, threshold: float) -> np.ndarray:
    largest = values[:, :1]
    enough = (values >= threshold * largest) & (largest > rounding[:, None])
    return enough.sum(axis=1).astype(np.int32)
