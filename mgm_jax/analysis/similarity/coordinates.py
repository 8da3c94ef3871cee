"""Points of a model as measures of similarity need them: centred, scaled, no wider than many.

All of these measures ask inner products of centred points alone, up to scale. So points of more
features than images are replaced by as many coordinates as there are images, with the same inner
products; what is summed over images then never takes more memory than the points themselves.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from mgm_jax.geometry.cloud.moments import row_blocks


@dataclass(frozen=True, kw_only=True, eq=False)
class Coordinates:
    """Centred points, widened to float64 block by block.

    Attributes:
        points: ``[n, r]``, r at most n.
        mean: of the points, ``[r]`` float64.
        scale: the largest absolute value of a centred point, so that no square overflows.
    """

    points: np.ndarray
    mean: np.ndarray
    scale: float

    @property
    def n(self) -> int:
        """Number of images."""
        return len(self.points)

    def rows(self, part: slice) -> np.ndarray:
        """Some centred and scaled points, float64."""
        return (self.points[part].astype(np.float64) - self.mean) / self.scale

    def squared_lengths(self) -> np.ndarray:
        """``|x_i|^2``, ``[n]``."""
        return np.concatenate([np.sum(rows * rows, axis=1) for _, rows in self.blocks()])

    def blocks(self) -> Iterator[tuple[slice, np.ndarray]]:
        """All points, some at a time."""
        for part in row_blocks(self.n):
            yield part, self.rows(part)


def coordinates_of(x: np.ndarray) -> Coordinates:
    """Coordinates of points ``[n, d]``, float32 or bfloat16 as ``check_points`` returns them.

    >>> coordinates_of(np.eye(3, 50, dtype=np.float32)).points.shape
    (3, 3)
    """
    mean = x.mean(axis=0, dtype=np.float64)
    n, d = x.shape
    if d > n:
        centred = x.astype(np.float64) - mean
        values, vectors = np.linalg.eigh(centred @ centred.T)
        x = vectors * np.sqrt(np.maximum(values, 0))
        mean = np.zeros(n)
    largest = max(float(np.abs(x[part].astype(np.float64) - mean).max()) for part in row_blocks(n))
    # Points that are all alike have no scale.
    return Coordinates(points=x, mean=mean, scale=max(largest, float(np.finfo(np.float32).tiny)))


def cross_products(first: Coordinates, second: Coordinates) -> np.ndarray:
    """``sum_i x_i y_i'`` of two models, ``[r, s]`` float64."""
    total = np.zeros((first.points.shape[1], second.points.shape[1]))
    for part, rows in first.blocks():
        total += rows.T @ second.rows(part)
    return total
