"""Distances: fast bounds for all pairs, and the reported value for the few pairs that are kept.

One form serves all metrics. Every point x_i has a scale s_i and stands for ``u_i = s_i x_i``. Under
the cosine s_i is one over the length of x_i, rounded to 29 bits; otherwise it is one power of two
for all points. Both make the products ``s_i x_i`` of float32 values exact in float64.

*Scan.* ``c_i = u_i - m`` with m the mean, rounded to the type of the scan. Half a squared distance
is ``|c_i|^2/2 + |c_j|^2/2 - c_i'c_j``: one matrix product. Its error is at most
``e |c_i| |c_j| + f |c_j|^2 + f |c_i|^2``, so taking this off gives a lower bound of the distance.
Every part of e and f is derived below; how far the rounding of a point moved it is measured.
Without the mean the bound would be loose for features that share a large common part.

*Exact.* The reported distance comes from the difference ``u_j - u_i`` in float64, rounded once to
float32: the squared length, its root, or ``(|u_j - u_i|^2 - (|u_j| - |u_i|)^2) / (2 |u_i| |u_j|)``,
which is 1 - cos whatever the lengths. It depends on the two points alone, and hardly on the order
of the additions, so neither tiles nor devices change it.
"""

from __future__ import annotations

from functools import partial
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import DTypeLike

from mgm_jax.geometry.backend.row_sums import row_sums
from mgm_jax.geometry.knn.great_features import with_rests
from mgm_jax.geometry.knn.scaled import (
    Scaled,
    centre,
    in_one_scale,
    mean_unit,
    near_one_length,
    sum_error,
    total_of,
)
from mgm_jax.geometry.knn.selection import (
    INFINITY,
    NOBODY,
    merge_smallest,
    order_by_distance,
    smallest,
)

Metric = Literal["cosine", "sqeuclidean", "euclidean"]
"""``cosine`` is 1 - cos, ``sqeuclidean`` the squared and ``euclidean`` the plain length."""

METRICS: tuple[Metric, ...] = ("cosine", "sqeuclidean", "euclidean")

RAISED = 2.0**100
"""What lengths and squares in scaled units, about 1 at most, are multiplied by before they are
rounded to float32: so those of points of very different sizes find their place in it."""

_SCALE_BITS = 29
# Lengths are known to 2^-52 and differ by less than 2^-29 between scaled points: what they
# contribute to 1 - cos is known to about 2^-80, and less than this is zero for all one can tell.
COSINE_FLOOR = 2.0**-78
"""Cosine distances below this are reported as zero."""

# Values of the candidates that an accelerator gathers at once.
_GATHERED_VALUES = 2**24
# Scaled lengths are 1 only up to the rounding of the scales.
_COSINE_SLACK = 2.0**-27


class Points(NamedTuple):
    """Points and their scales: what exact distances are computed from.

    JAX arrays on the device, NumPy arrays on the host.

    Attributes:
        values: ``[n, d]`` float32 or bfloat16, as the user gave them.
        scales: ``[n]`` float64.
        lengths: ``[n]`` float64, of the scaled points; used by the cosine alone.
    """

    values: Any
    scales: Any
    lengths: Any

    def take(self, rows: jax.Array | np.ndarray | slice) -> Points:
        """Some of the points."""
        return Points(*(part[rows] for part in self))


class ScanTable(NamedTuple):
    """Centred points in the type of the scan.

    Attributes:
        points: ``[n, d]`` centred and scaled.
        half_squares: ``[n]`` half the squared lengths; infinity for places without a point.
        lengths: ``[n]``.
        moved: ``[n]`` how far rounding moved each point, relative to its length.
    """

    points: jax.Array
    half_squares: jax.Array
    lengths: jax.Array
    moved: jax.Array


@partial(jax.jit, static_argnames=("metric", "single"))
def scale_points(
    x: jax.Array,
    present: jax.Array | np.ndarray,
    base: jax.Array | None,
    base_present: jax.Array | np.ndarray | None,
    *,
    metric: Metric,
    single: bool = False,
) -> tuple[Points | Scaled, Points | Scaled, jax.Array]:
    """Scale queries and base alike, and find the mean of the base; float64 must be on.

    Args:
        x: queries ``[n, d]``.
        present: ``[n]`` bool, False where a query is padding.
        base: points ``[m, d]`` among which neighbours are sought; None for the queries.
        base_present: ``[m]`` bool, likewise; None with the base.
        metric: which distance.
        single: whether to do without float64, which gives points of ``scaled``.

    Returns:
        The queries, the base, and the mean ``[d]`` of the scaled base. Outside the cosine the
        scale is the power of two that brings the largest centred value near 1.
    """
    if single:
        return _scale_in_single(x, present, base, base_present, metric=metric)
    if metric == "cosine":
        queries = near_unit_length(x)
        targets = queries if base is None else near_unit_length(base)
    else:
        scale = _common_scale(x, present, base, base_present)
        queries = _scaled(x, scale)
        targets = queries if base is None else _scaled(base, scale)
    return queries, targets, mean_of(targets, present if base_present is None else base_present)


def _scale_in_single(
    x: jax.Array,
    present: jax.Array | np.ndarray,
    base: jax.Array | None,
    base_present: jax.Array | np.ndarray | None,
    *,
    metric: Metric,
) -> tuple[Scaled, Scaled, jax.Array]:
    mask = jnp.asarray(present if base_present is None else base_present)
    sought = x if base is None else base
    if metric == "cosine":
        targets, middle = near_one_length(sought)
        queries = targets if base is None else near_one_length(x, middle=middle)[0]
    else:
        clouds = [(sought, mask)] + ([] if base is None else [(x, jnp.asarray(present))])
        targets, *rest = in_one_scale(clouds)
        queries = rest[0] if rest else targets
    return queries, targets, mean_unit(targets, mask)


def _common_scale(
    x: jax.Array,
    present: jax.Array | np.ndarray,
    base: jax.Array | None,
    base_present: jax.Array | np.ndarray | None,
) -> jax.Array:
    clouds = [(x, present)]
    if base is not None and base_present is not None:
        clouds.append((base, base_present))
    centre = mean_of(_scaled(clouds[-1][0], jnp.float64(1)), clouds[-1][1])
    reach = [
        jnp.max(jnp.where(mask[:, None], jnp.abs(values - centre), 0)) for values, mask in clouds
    ]
    _, exponent = jnp.frexp(jnp.max(jnp.stack(reach)))
    return jnp.ldexp(jnp.float64(1), -exponent)


def _scaled(x: jax.Array, scale: jax.Array) -> Points:
    return Points(x, jnp.full(len(x), scale), jnp.ones(len(x), jnp.float64))


@jax.jit
def mean_of(points: Points | Scaled, present: jax.Array | np.ndarray) -> jax.Array:
    """Mean ``[d]`` float64 of the scaled points that are present, ``[n]`` bool.

    Float32 of points that do without float64.
    """
    if isinstance(points, Scaled):
        return mean_unit(points, jnp.asarray(present))
    scaled = jnp.where(present[:, None], points.values * points.scales[:, None], 0)
    return jnp.sum(scaled, axis=0) / jnp.maximum(jnp.sum(present), 1)


def near_unit_length(x: jax.Array) -> Points:
    """Scales that bring points ``[n, d]`` to length 1 but for the rounding of the scales; pure."""
    wide = x.astype(jnp.float64)
    return Points(x, *unit_scales(jnp.sqrt(jnp.sum(wide * wide, axis=1))))


def unit_scales(length: Any) -> tuple[Any, Any]:
    """Scales and scaled lengths of points of some lengths ``[n]`` float64; NumPy stays NumPy."""
    xp: Any = np if isinstance(length, np.ndarray) else jnp
    # Padding rows are zero; a scale of zero and a length of one keep them finite.
    mantissa, exponent = xp.frexp(1 / xp.where(length > 0, length, 1))
    rounded = xp.ldexp(xp.round(mantissa * 2.0**_SCALE_BITS), exponent - _SCALE_BITS)
    scales = xp.where(length > 0, rounded, 0)
    return scales, xp.where(length > 0, length * scales, 1)


@partial(jax.jit, static_argnames=("dtype", "of_queries"))
def scan_table(
    points: Points | Scaled,
    mean: jax.Array | np.ndarray,
    present: jax.Array | np.ndarray,
    *,
    dtype: DTypeLike,
    great: jax.Array | None = None,
    of_queries: bool = False,
) -> ScanTable:
    """Centre points and round them once to the type of the scan.

    Args:
        points: ``[n, d]`` points with scales.
        mean: ``[d]`` float64, in scaled units; float32 with points that do without float64.
        present: ``[n]`` bool, False where a row is padding.
        dtype: bfloat16, float32 or float64.
        great: ``[f]`` int, features of which the products keep what rounding takes from either
            point (``great_features``); None for none. The points get 2 f columns more.
        of_queries: which side of the products the points are on; of no matter without ``great``.
    """
    if isinstance(points, Scaled):
        return _table_in_single(
            points,
            jnp.asarray(mean),
            jnp.asarray(present),
            dtype=dtype,
            great=great,
            of_queries=of_queries,
        )
    centred = jnp.where(present[:, None], points.values * points.scales[:, None] - mean, 0)
    rounded = _rounded(centred, dtype)
    lengths = jnp.sqrt(row_sums(centred * centred))
    rest = centred - rounded
    columns, moved = rounded, jnp.sqrt(row_sums(rest**2))
    if great is not None:
        columns, moved = with_rests(rounded, rest, great, of_queries=of_queries)
    wide = _sum_dtype(dtype)
    return ScanTable(
        points=columns,
        half_squares=jnp.where(present, lengths**2 / 2, jnp.inf).astype(wide),
        lengths=lengths.astype(wide),
        moved=(moved / jnp.where(lengths > 0, lengths, 1)).astype(wide),
    )


def _rounded(centred: jax.Array, dtype: DTypeLike) -> jax.Array:
    """Values in the type of a scan; what rounding does to them is measured, so any will do."""
    if jnp.dtype(dtype) == jnp.bfloat16 and jax.default_backend() == "cpu":
        # XLA has no vector instructions for the way from float64; by float32 it is 4 times faster.
        centred = centred.astype(jnp.float32)
    return centred.astype(dtype)


def _table_in_single(
    points: Scaled,
    mean: jax.Array,
    present: jax.Array,
    *,
    dtype: DTypeLike,
    great: jax.Array | None,
    of_queries: bool,
) -> ScanTable:
    """All errors on the safe side: half squares too small, lengths and what is moved too large."""
    values, least, most, drift = centre(points, mean)
    rounded = values.astype(dtype)
    rest = values - rounded.astype(jnp.float32)
    columns, moved = rounded, jnp.sqrt(jnp.sum(rest**2, axis=1))
    if great is not None:
        columns, moved = with_rests(rounded, rest, great, of_queries=of_queries)
    moved = moved * np.float32(1 + sum_error(values.shape[1])) + drift
    return ScanTable(
        points=jnp.where(present[:, None], columns, 0),
        half_squares=jnp.where(present, least * least / 2, INFINITY),
        lengths=jnp.where(present, most, 0),
        moved=jnp.where(present, moved / jnp.where(most > 0, most, 1), 0),
    )


def _sum_dtype(dtype: DTypeLike) -> DTypeLike:
    """Type in which products of a scan are added."""
    return jnp.float64 if jnp.dtype(dtype) == jnp.float64 else jnp.float32


def _sum_errors(dtype: DTypeLike, *, features: int) -> tuple[float, float]:
    """Errors of the arithmetic of a scan, relative to ``|c_i| |c_j|`` and to a squared length.

    Adding d products in a type with unit roundoff w errs by at most ``d w |c_i| |c_j|``; it is
    taken twice, as accelerators may truncate. The 16 and the 8 cover the rounding of the stored
    lengths and squares and of the sums that make the bound.
    """
    unit = 2.0**-53 if _sum_dtype(dtype) == jnp.float64 else 2.0**-24
    return (2 * features + 16) * unit, 8 * unit


def lower_bounds(queries: ScanTable, table: ScanTable) -> jax.Array:
    """Lower bounds of half the squared distances, less the query's own half square.

    Args:
        queries: r points.
        table: c points, centred on the same mean.

    Returns:
        ``[r, c]`` float32 (float64 for a float64 table); infinity where the table is padding.
    """
    dtype = table.points.dtype
    sums, f = _sum_errors(dtype, features=table.points.shape[1])
    # Cauchy-Schwarz: points moved by shares p and q of their lengths have a product that is off
    # by at most (p + q + p q) |c_i| |c_j|.
    most_moved = jnp.max(table.moved)
    e = queries.moved + most_moved + queries.moved * most_moved + sums
    product = jax.lax.dot_general(
        queries.points,
        table.points,
        (((1,), (1,)), ((), ())),
        # On accelerators a float32 product would otherwise run in fewer bits than the bound holds.
        precision=jax.lax.Precision.HIGHEST if dtype != jnp.bfloat16 else None,
        preferred_element_type=table.half_squares.dtype,
    )
    return (1 - f) * table.half_squares - product - (e * queries.lengths)[:, None] * table.lengths


def moved_as_a_rule(table: ScanTable, *, axis: str | None = None) -> jax.Array:
    """Share of its length that rounding moves a point by, the root of the mean square.

    Args:
        table: points of a scan.
        axis: of the mesh, where they are spread.
    """
    squares = total_of(jnp.sum(table.moved * table.moved), axis)
    real = total_of(jnp.sum(table.lengths > 0, dtype=jnp.int32), axis)
    # Points that no rounding moves leave nothing to share.
    return jnp.maximum(jnp.sqrt(squares / jnp.maximum(real, 1).astype(squares.dtype)), 2.0**-20)


def column_terms(table: ScanTable, share: jax.Array) -> jax.Array:
    """What turns products into lower bounds like :func:`lower_bounds`, with :func:`row_terms`.

    The errors there are products of a number of the row and one of the column, of which each has
    a share here: for any t > 0, ``2 p |c_i| |c_j| <= p^2 |c_i|^2 / t + t |c_j|^2``, with equality
    where the lengths are alike and t is the share p that rounding moved the point. So t is what it
    moves points of the table by as a rule.

    Args:
        table: c points.
        share: t, the same for both terms.

    Returns:
        ``[c]``; half a squared distance, less the query's own half square, is at least this less
        the product less the term of the row. It is 1e30 for padding.
    """
    _, f = _sum_errors(table.points.dtype, features=table.points.shape[1])
    offset = (1 - f) * table.half_squares - table.lengths**2 / 2 * _error_share(table, share)
    return jnp.minimum(offset, 1e30)


def row_terms(queries: ScanTable, share: jax.Array) -> jax.Array:
    """``[r]``, see :func:`column_terms`."""
    return queries.lengths**2 / 2 * _error_share(queries, share)


def _error_share(points: ScanTable, share: jax.Array) -> jax.Array:
    sums, _ = _sum_errors(points.points.dtype, features=points.points.shape[1])
    squares = points.moved * points.moved
    # A little more, for what is lost on the way.
    return (share + squares * (1 / share + 1) + sums) * (1 + 2.0**-16)


@jax.jit
def half_distance_bounds(queries: ScanTable, table: ScanTable, own: jax.Array | int) -> jax.Array:
    """Lower bounds of half the squared distances, for both points of each pair.

    Args:
        queries: r points.
        table: c points, centred on the same mean.
        own: column of the table that is the first query itself, the next column the second query
            and so on; these pairs are left out. Anything outside ``-r .. c`` for none.

    Returns:
        ``[r, c]`` float32 (float64 for a float64 table), at least 0; infinity for pairs that are
        left out or padding.
    """
    _, f = _sum_errors(table.points.dtype, features=table.points.shape[1])
    bounds = lower_bounds(queries, table) + (1 - f) * queries.half_squares[:, None]
    itself = jnp.arange(bounds.shape[0])[:, None] + own == jnp.arange(bounds.shape[1])
    # A comparison also turns a negative zero, whose bits are those of a large number, into zero.
    return jnp.where(itself, jnp.inf, jnp.where(bounds > 0, bounds, 0))


def bound_slack(
    lengths: np.ndarray,
    moved: np.ndarray,
    *,
    longest: float,
    most_moved: float,
    dtype: DTypeLike,
    features: int,
) -> np.ndarray:
    """How far half a squared distance can lie above its lower bound, for each query.

    Args:
        lengths: of the centred queries, ``[r]`` float64.
        moved: shares that rounding moved them, ``[r]`` float64.
        longest: largest length of the points they are compared with.
        most_moved: largest share that rounding moved one of those.
        dtype: type of the scan.
        features: number of features.

    Returns:
        ``[r]`` float64.
    """
    sums, f = _sum_errors(dtype, features=features)
    e = moved + most_moved + moved * most_moved + sums
    return 2 * (e * lengths * longest + f * (lengths**2 + longest**2))


@partial(jax.jit, static_argnames=("count", "tile"))
def scan(
    queries: ScanTable,
    own: jax.Array | np.ndarray,
    table: ScanTable,
    *,
    count: int,
    tile: int,
) -> tuple[jax.Array, jax.Array]:
    """The ``count`` smallest lower bounds of every query, tile by tile of the table.

    Args:
        queries: r points.
        own: ``[r]`` int32, the query's own row, which is left out; -1 where it is not there.
        table: m points, m a multiple of ``tile``.
        count: candidates to keep, at most ``tile``.
        tile: columns scored at once; only memory and speed depend on it.

    Returns:
        Lower bounds ``[r, count]`` ascending, and rows ``[r, count]`` int32; infinity and -1
        where there are fewer than ``count`` points.
    """

    def scan_tile(start: jax.Array | int) -> tuple[jax.Array, jax.Array]:
        part = ScanTable(*(jax.lax.dynamic_slice_in_dim(a, start, tile) for a in table))
        columns = jnp.asarray(start, jnp.int32) + jnp.arange(tile, dtype=jnp.int32)
        scores = jnp.where(columns == own[:, None], INFINITY, lower_bounds(queries, part))
        values, chosen = smallest(scores, count=count)
        return values, columns[chosen]

    tiles = table.lengths.shape[0] // tile
    bounds, candidates = scan_tile(0)
    if tiles > 1:
        bounds, candidates = jax.lax.fori_loop(
            1,
            tiles,
            lambda t, so_far: merge_smallest(so_far, scan_tile(t * tile)),
            (bounds, candidates),
        )
    return bounds, jnp.where(jnp.isinf(bounds), -1, candidates)


def exact_distances(query: Points, rows: Points, *, metric: Metric) -> jax.Array:
    """Reported distances of one query to some rows, or of pairs, in scaled units, raised.

    Args:
        query: one point, ``[d]`` with its scale and length; or as many as there are rows.
        rows: ``[m, d]`` points.
        metric: which distance.

    Returns:
        ``[m]`` float32, each rounded once from float64.
    """
    difference = rows.values * rows.scales[:, None] - query.values * query.scales[..., None]
    squared = row_sums(difference * difference)
    return reported_distance(squared, rows.lengths, query.lengths, metric=metric)


def reported_distance(squared: Any, length: Any, other: Any, *, metric: Metric) -> Any:
    """Reported distances, float32 in scaled units, raised, from squared differences in float64.

    Args:
        squared: ``|u_j - u_i|^2``, any shape; NumPy stays NumPy.
        length: ``|u_j|``, used by the cosine alone.
        other: ``|u_i|``, likewise.
        metric: which distance.
    """
    xp: Any = np if isinstance(squared, np.ndarray) else jnp
    if metric == "cosine":
        longer = length - other
        distance = (squared - longer * longer) / (2 * length * other)
        distance = xp.where(distance < COSINE_FLOOR, 0, distance)
    else:
        distance = (squared if metric == "sqeuclidean" else xp.sqrt(squared)) * RAISED
    return distance.astype(np.float32)


@partial(jax.jit, static_argnames=("k", "metric"))
def rerank(
    queries: Points, base: Points, candidates: jax.Array, *, k: int, metric: Metric
) -> tuple[jax.Array, jax.Array]:
    """Order candidates by their exact distance and keep k.

    Args:
        queries: r points.
        base: m points.
        candidates: ``[r, c]`` int32 rows of the base; outside ``0 .. m - 1`` for nobody.
        k: how many to keep, at most c.
        metric: which distance.

    Returns:
        Distances ``[r, k]`` float32 in scaled units and indices ``[r, k]`` int32, by ascending
        distance, equal distances by index; infinity and ``NOBODY`` where there is no candidate.
    """
    m = base.values.shape[0]

    def one(row: tuple[Points, jax.Array]) -> tuple[jax.Array, jax.Array]:
        query, chosen = row
        real = (chosen >= 0) & (chosen < m)
        distances = exact_distances(query, base.take(jnp.where(real, chosen, 0)), metric=metric)
        return jnp.where(real, distances, jnp.inf), jnp.where(real, chosen, NOBODY)

    # On a CPU row by row, where a batched gather of all candidates is far slower, and large; on
    # accelerators as many rows as a moderate gather holds, for a step there costs a launch.
    together = None
    if jax.default_backend() != "cpu":
        row = max(1, candidates.shape[1] * base.values.shape[1])
        together = max(1, min(candidates.shape[0], _GATHERED_VALUES // row))
    distances, indices = jax.lax.map(one, (queries, candidates), batch_size=together)
    return order_by_distance(distances, indices, count=k)


@partial(jax.jit, static_argnames="metric")
def unseen_distance(queries: ScanTable, last: jax.Array, *, metric: Metric) -> jax.Array:
    """A distance that no point outside the candidates can fall below.

    Args:
        queries: r scanned points.
        last: ``[r]`` the largest lower bound that was kept; infinity where nothing was left out.
        metric: which distance.

    Returns:
        ``[r]`` float32 in scaled units; a row is certified where its k-th distance is below it.
    """
    _, f = _sum_errors(queries.points.dtype, features=queries.points.shape[1])
    half = last.astype(jnp.float64) + (1 - f) * queries.half_squares.astype(jnp.float64)
    return distance_above(half, metric=metric)


@partial(jax.jit, static_argnames="metric")
def unseen_distance_in_single(queries: ScanTable, last: jax.Array, *, metric: Metric) -> jax.Array:
    """:func:`unseen_distance` without float64, hardly lower: of a scan in float32 or less."""
    _, f = _sum_errors(queries.points.dtype, features=queries.points.shape[1])
    own, last = queries.half_squares.astype(jnp.float32), last.astype(jnp.float32)
    # Four roundings, taken twice; of numbers that may cancel.
    rounding = np.float32(2.0**-21) * (jnp.abs(last) + own)
    half = jnp.where(jnp.isinf(last), last, (last + np.float32(1 - f) * own) - rounding)
    squared = jnp.maximum(2 * half - np.float32(2.0**-48), 0) * np.float32(1 - 2.0**-21)
    if metric == "cosine":
        return squared / 2
    distance = squared if metric == "sqeuclidean" else jnp.sqrt(squared)
    return distance * np.float32(RAISED * (1 - 2.0**-21))


def distance_above(half: Any, *, metric: Metric) -> Any:
    """A distance, float32 in scaled units, that half squared distances of ``half`` or more have.

    Args:
        half: lower bounds of half a squared distance, any shape, float64; NumPy stays NumPy.
        metric: which distance.
    """
    xp: Any = np if isinstance(half, np.ndarray) else jnp
    # Centring rounds by 2^-53 even where points almost coincide.
    squared = xp.maximum(2 * half - 2.0**-48, 0)
    if metric == "cosine":
        return (squared * (1 - _COSINE_SLACK) / 2).astype(np.float32)
    distance = squared if metric == "sqeuclidean" else xp.sqrt(squared)
    return (distance * RAISED).astype(np.float32)
