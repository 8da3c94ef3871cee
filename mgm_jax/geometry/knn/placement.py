"""Points on the host, placed for a scan tile by tile: no copy of all of them is ever made."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from mgm_jax.geometry.knn.distance import Metric, Points, near_unit_length
from mgm_jax.parallel.devices import pad_rows

_ROWS = 1024


class Placed(NamedTuple):
    """Queries and base in one scale, on the host.

    Attributes:
        queries: ``[n, d]`` NumPy arrays.
        targets: ``[m, d]``; the queries themselves where there is no base.
        mean: of the scaled targets, ``[d]`` float64.
    """

    queries: Points
    targets: Points
    mean: np.ndarray


def place_on_host(x: np.ndarray, base: np.ndarray | None, *, metric: Metric) -> Placed:
    """Scale queries and base alike, and find the mean of the base; float64 must be on.

    The host's counterpart of ``distance.place``, with the same scales.

    Args:
        x: queries ``[n, d]``.
        base: points ``[m, d]`` among which neighbours are sought; None for the queries.
        metric: which distance.
    """
    if metric == "cosine":
        queries, mean = _on_sphere(x)
        targets = queries
        if base is not None:
            targets, mean = _on_sphere(base)
        return Placed(queries, targets, mean)
    clouds = [x] if base is None else [x, base]
    centre = sum(np.asarray(_sum(tile)) for tile in _tiles(clouds[-1])) / len(clouds[-1])
    reach = max(
        float(_reach(tile, here, centre))
        for cloud in clouds
        for tile, here in zip(_tiles(cloud), _tiles(np.ones(len(cloud), bool)), strict=True)
    )
    scale = np.ldexp(1.0, -int(np.frexp(reach)[1]))
    placed = [Points(c, np.full(len(c), scale), np.ones(len(c))) for c in clouds]
    return Placed(placed[0], placed[-1], centre * scale)


def _on_sphere(x: np.ndarray) -> tuple[Points, np.ndarray]:
    parts = [tuple(map(np.asarray, _unit(tile))) for tile in _tiles(x)]
    scales, lengths, sums = zip(*parts, strict=True)
    points = Points(x, np.concatenate(scales)[: len(x)], np.concatenate(lengths)[: len(x)])
    return points, np.sum(sums, axis=0) / len(x)


def _tiles(x: np.ndarray) -> Iterator[jax.Array | np.ndarray]:
    """Tiles of the rows, of one shape; zeros fill the last."""
    rows = _tile_rows(len(x))
    for start in range(0, len(x), rows):
        yield pad_rows(x[start : start + rows], multiple=rows)[0]


def _tile_rows(n: int) -> int:
    # Few sizes, so that few are compiled.
    return min(_ROWS, -(-n // 256) * 256)


@jax.jit
def _unit(x: jax.Array) -> tuple[jax.Array, jax.Array, jax.Array]:
    points = near_unit_length(x)
    return points.scales, points.lengths, jnp.sum(points.values * points.scales[:, None], axis=0)


@jax.jit
def _sum(x: jax.Array) -> jax.Array:
    return jnp.sum(x.astype(jnp.float64), axis=0)


@jax.jit
def _reach(x: jax.Array, present: jax.Array, centre: jax.Array) -> jax.Array:
    return jnp.max(jnp.where(present[:, None], jnp.abs(x - centre), 0))
