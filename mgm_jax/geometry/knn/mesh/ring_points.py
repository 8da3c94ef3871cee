"""Points spread over a mesh: scaled, and rounded for the scan, tile by tile.

The float64 steps of a whole share would take eight bytes a value; those of a tile take little.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.sharding import Mesh

from mgm_jax.geometry.knn.distance import Metric, Points, ScanTable, scale_points, scan_table
from mgm_jax.geometry.knn.scaled import Scaled, in_one_scale, mean_unit, near_one_length
from mgm_jax.parallel.ring import cut, over_blocks
from mgm_jax.parallel.spread_jit import SPREAD, WHOLE, spread_jit

FLOAT64_TILE = 512
"""Rows worked on at once in float64."""


class SpreadRows(NamedTuple):
    """Rows spread over a mesh.

    Attributes:
        values: ``[n, d]``, filled up to equal shares.
        present: ``[n]`` bool, False where a row is filling.
        rows: how many are not.
    """

    values: jax.Array
    present: jax.Array
    rows: int


class SpreadSearch(NamedTuple):
    """A search over a mesh: the arrays that are spread over it.

    Attributes:
        queries: n points.
        base: m points to choose from.
        present: ``[m]`` bool, False where a row is filling.
        mean: ``[d]`` float64, about the mean of the scaled base, on every device; float32 with
            points that do without float64.
        own: whether the queries are the base.
    """

    queries: Points | Scaled
    base: Points | Scaled
    present: jax.Array
    mean: jax.Array
    own: bool


def scale_on_mesh(
    queries: SpreadRows, base: SpreadRows | None, mesh: Mesh, *, metric: Metric, single: bool
) -> tuple[Points | Scaled, Points | Scaled, jax.Array]:
    """What ``distance.scale_points`` returns, of points that stay spread; float64 must be on.

    Args:
        queries: n points.
        base: m points; None for the queries.
        mesh: the devices.
        metric: which distance.
        single: whether to do without float64.

    Returns:
        The queries and the base, spread, and the mean ``[d]`` of the scaled base on every device.
    """
    clouds = (queries,) if base is None else (base, queries)
    program = place_program(mesh, metric, single=single)
    placed, mean = program([(cloud.values, cloud.present) for cloud in clouds])
    kind = Scaled if single else Points
    points = [kind(cloud.values, *part) for cloud, part in zip(clouds, placed, strict=True)]
    return points[-1], points[0], mean


def place_program(mesh: Mesh, metric: Metric, *, single: bool) -> Callable[..., Any]:
    """The program for one or two clouds; the mean is that of the first."""
    if single:
        function = _near_one_length if metric == "cosine" else _in_one_power
    else:
        function = _near_unit_length if metric == "cosine" else _in_one_scale
    return spread_jit(function, mesh, outputs=(SPREAD, WHOLE), axis=mesh.axis_names[0])


Cloud = tuple[jax.Array, jax.Array]


def _near_one_length(clouds: list[Cloud], *, axis: str) -> tuple[list[Any], jax.Array]:
    (values, present), *others = clouds
    base, middle = near_one_length(values, axis=axis)
    scaled = [base] + [near_one_length(other, middle=middle)[0] for other, _ in others]
    return [one[1:] for one in scaled], mean_unit(base, present, axis=axis)


def _in_one_power(clouds: list[Cloud], *, axis: str) -> tuple[list[Any], jax.Array]:
    scaled = in_one_scale(clouds, axis=axis)
    return [one[1:] for one in scaled], mean_unit(scaled[0], clouds[0][1], axis=axis)


def _near_unit_length(clouds: list[Cloud], *, axis: str) -> tuple[list[Cloud], jax.Array]:
    placed, means = [], []
    for values, present in clouds:
        share, width = values.shape

        def one_tile(values: jax.Array, mask: jax.Array, start: jax.Array, so_far: tuple) -> tuple:
            points, _, mean = scale_points(values, mask, None, None, metric="cosine")
            *columns, total = so_far
            new = (points.scales, points.lengths)
            return *write_rows(tuple(columns), new, start), total + mean * jnp.sum(mask)

        empty = jnp.zeros(share, jnp.float64), jnp.zeros(share, jnp.float64)
        *columns, total = _over_tiles(
            one_tile, values, present, (*empty, jnp.zeros(width, jnp.float64))
        )
        placed.append(tuple(columns))
        means.append(_mean(total, present, axis))
    return placed, means[0]


def _in_one_scale(clouds: list[Cloud], *, axis: str) -> tuple[list[Cloud], jax.Array]:
    def add(values: jax.Array, mask: jax.Array, start: jax.Array, total: jax.Array) -> jax.Array:
        return total + jnp.sum(jnp.where(mask[:, None], values.astype(jnp.float64), 0), axis=0)

    values, present = clouds[0]
    total = _over_tiles(add, values, present, jnp.zeros(values.shape[1], jnp.float64))
    mean = _mean(total, present, axis)

    def stretch(
        values: jax.Array, mask: jax.Array, start: jax.Array, largest: jax.Array
    ) -> jax.Array:
        reach = jnp.where(mask[:, None], jnp.abs(values.astype(jnp.float64) - mean), 0)
        return jnp.maximum(largest, jnp.max(reach))

    largest = jnp.zeros((), jnp.float64)
    for values, present in clouds:
        largest = _over_tiles(stretch, values, present, largest)
    _, exponent = jnp.frexp(jax.lax.pmax(largest, axis))
    scale = jnp.ldexp(jnp.float64(1), -exponent)
    ones = [jnp.ones(present.shape, jnp.float64) for _, present in clouds]
    return [(scale * one, one) for one in ones], mean * scale


def _mean(total: jax.Array, present: jax.Array, axis: str) -> jax.Array:
    count = jax.lax.psum(jnp.sum(present), axis)
    return jax.lax.psum(total, axis) / jnp.maximum(count, 1)


def tabulate(
    points: Points | Scaled,
    mean: jax.Array,
    present: jax.Array,
    *,
    dtype: str,
    great: jax.Array | None = None,
    of_queries: bool = False,
) -> ScanTable:
    """``scan_table`` of one device's share, for use under ``shard_map``."""
    make = partial(scan_table, dtype=dtype, great=great, of_queries=of_queries)

    def one_tile(
        points: Points | Scaled, mask: jax.Array, start: jax.Array, table: ScanTable
    ) -> ScanTable:
        return write_rows(table, make(points, mean, mask), start)

    form = jax.eval_shape(make, points, mean, present)
    empty = jax.tree.map(lambda part: jnp.zeros(part.shape, part.dtype), form)
    return _over_tiles(one_tile, points, present, empty, fresh_only=False)


def _over_tiles(
    function: Callable[..., Any],
    parts: Any,
    present: jax.Array,
    state: Any,
    *,
    fresh_only: bool = True,
) -> Any:
    """:func:`over_blocks` of a size that float64 has room for."""
    tiles = cut(present.shape[0], most=FLOAT64_TILE)
    return over_blocks(function, parts, present, state, blocks=tiles, fresh_only=fresh_only)


def write_rows(whole: Any, parts: Any, start: jax.Array) -> Any:
    """A tree of arrays with rows from ``start`` on replaced by those of a smaller tree."""
    return jax.tree.map(
        lambda old, new: jax.lax.dynamic_update_slice_in_dim(old, new, start, 0), whole, parts
    )
