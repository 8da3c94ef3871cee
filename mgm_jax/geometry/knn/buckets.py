"""The scan of accelerators: one pass of product, selection and bound, without a sort of scores.

The columns are dealt into buckets, column j into bucket j modulo :data:`BUCKETS`, and each bucket
keeps its best :data:`KEPT`. Whatever a bucket has dropped is no better than the last it keeps, so
the best of those last ones, over the buckets, bounds everything dropped; a second bound comes from
the choice of the best among all that was kept. A row is lost to the fallback only where one bucket
holds :data:`KEPT` or more of its nearest: with random buckets 0.02 % of rows for 50 neighbours.

A score and the place of its column within the bucket share 32 bits, so that keeping the best is a
chain of maxima and minima: eight vector operations a score, which on a TPU run beside the product.
There the kernel is Pallas, where it was compiled for them; other TPUs and GPUs get the same steps
in plain XLA.

Reference:
    F. Chern et al., "TPU-KNN: K nearest neighbor search at peak FLOP/s", NeurIPS 2022, for one
    kept in each bucket, without a proof of the row.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import cache, partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from mgm_jax.geometry.backend.precision import single_precision
from mgm_jax.geometry.knn.distance import ScanTable, column_terms, moved_as_a_rule, row_terms
from mgm_jax.geometry.knn.great_features import FEATURES

BUCKETS, KEPT = 1024, 4
"""Buckets of a chunk of columns, and how many each keeps."""

COLUMNS = 2048
"""Columns of a table come in multiples of this."""

# The low bits of a score name its column: the place within the bucket, so many buckets full make a
# chunk; and which of the buckets that share a lane it is in.
_PLACE_BITS, _FOLD_BITS = 7, 3
_NAME_BITS = _PLACE_BITS + _FOLD_BITS
CHUNK = BUCKETS << _PLACE_BITS
"""Columns that buckets take before they are full: so many have names."""
# What these bits change of a score, relative to it, and rounding.
_PACKED = 2.0**-12
_ROWS, _EXTRACT_ROWS, _LANES = 512, 64, 128
# How many of its scores a lane keeps for the choice of the best among all.
_KEPT_BY_LANE = 7
WIDEST = 4096 + 2 * FEATURES
"""The widest points whose blocks fit the vector memory of TPUs, with the rests of great features;
others take the scan in tiles."""
MOST = _LANES - 2
"""Most candidates of a row: with itself, and one more, they fill the lanes."""
# Scores of places without a point, and what is certainly none of a point.
_NOTHING, _MIN_SCORE = -1e30, -1e29

_log = logging.getLogger(__name__)


def fits(table: ScanTable, *, count: int) -> bool:
    """Whether a table can be scanned this way: in bfloat16, wide enough for the buckets."""
    columns, width = table.points.shape
    whole = columns % COLUMNS == 0 and columns >= 4 * COLUMNS and width <= WIDEST
    return whole and table.points.dtype == jnp.bfloat16 and count < _LANES


class Lists(NamedTuple):
    """The best of every row so far.

    Attributes:
        scores: ``[r, c]`` float32, falling.
        columns: ``[r, c]`` int32, -1 for nobody.
        last: ``[r]`` what no score is above that is not among these.
    """

    scores: jax.Array
    columns: jax.Array
    last: jax.Array

    @classmethod
    def empty(cls, rows: int, *, count: int) -> Lists:
        """Lists of nobody, of which nothing was left out."""
        nothing = jnp.full((rows, count), _NOTHING, jnp.float32)
        return cls(nothing, jnp.full((rows, count), -1, jnp.int32), nothing[:, 0])


@partial(jax.jit, static_argnames=("count", "kernel"))
def scan_in_buckets(
    queries: ScanTable,
    own: jax.Array,
    table: ScanTable,
    *,
    count: int,
    kernel: str,
) -> tuple[jax.Array, jax.Array]:
    """Candidates of every query, and a bound of all other columns.

    Args:
        queries: r points.
        own: ``[r]`` int32, the query's own column, which is left out; -1 where it is not there.
        table: m points, for which :func:`fits` holds.
        count: candidates to keep.
        kernel: ``"pallas"`` on a TPU, ``"interpret"`` for the same on a CPU, ``"xla"`` elsewhere
            (:func:`kernel_here`).

    Returns:
        Columns ``[r, count]`` int32, -1 for nobody, and ``[r]`` float32, below which no half
        squared distance of any other column lies, less the query's own half square.
    """
    with single_precision():
        share = moved_as_a_rule(table)
        offset, slack = column_terms(table, share), row_terms(queries, share)
        rows = queries.lengths.shape[0]
        more = -rows % _ROWS
        points = jnp.pad(queries.points, ((0, more), (0, 0)))
        lists: Lists | None = None
        for start in range(0, table.lengths.shape[0], CHUNK):
            part = slice(start, start + CHUNK)
            kept = keep(points, table.points[part], offset[part], kernel=kernel)[:rows]
            # One place more than wanted, because the query's own column may take one.
            fresh = best_of(kept, partial(_column, start=start), count=count + 1, kernel=kernel)
            lists = fresh if lists is None else merged(lists, fresh)
        assert lists is not None
        return without_own(lists, own, slack)


def _column(place: jax.Array, bucket: jax.Array, *, start: int) -> jax.Array:
    return place * np.int32(BUCKETS) + bucket + np.int32(start)


def best_of(
    kept: jax.Array, name: Callable[[jax.Array, jax.Array], jax.Array], *, count: int, kernel: str
) -> Lists:
    """The best of what the buckets of every row have kept.

    Args:
        kept: ``[r, KEPT * BUCKETS]`` of :func:`keep`.
        name: column of a place within a bucket, and the bucket; int32.
        count: how many to keep.
        kernel: as in :func:`scan_in_buckets`.
    """
    scores, lanes, dropped = _best(kept, count=count, kernel=kernel)
    bits = lax.bitcast_convert_type(scores, jnp.int32) & np.int32(2**_NAME_BITS - 1)
    # Of the bits, place and fold; with the lane they are the column but for its order.
    fold = bits & np.int32(2**_FOLD_BITS - 1)
    names = name(bits >> _FOLD_BITS, fold * np.int32(_LANES) + lanes)
    columns = jnp.where(scores > _MIN_SCORE, names, -1)
    return Lists(scores, columns, jnp.maximum(dropped, scores[:, -1]))


def merged(first: Lists, second: Lists) -> Lists:
    """The best of two lists, as many as the first holds."""
    scores, columns = (
        jnp.concatenate(both, axis=1) for both in zip(first[:2], second[:2], strict=True)
    )
    # Columns go along: to look them up by place would take TPUs far longer than the sort.
    ordered = lax.sort((-scores, columns), dimension=1, num_keys=1, is_stable=False)
    scores, columns = (part[:, : first.scores.shape[1]] for part in (-ordered[0], ordered[1]))
    return Lists(scores, columns, jnp.maximum(jnp.maximum(first.last, second.last), scores[:, -1]))


def without_own(lists: Lists, own: jax.Array, slack: jax.Array) -> tuple[jax.Array, jax.Array]:
    """What :func:`scan_in_buckets` returns, of lists of one candidate more than wanted.

    Args:
        lists: of r queries.
        own: ``[r]`` int32, the query's own column, or -1.
        slack: ``[r]``, :func:`row_terms` of the queries.
    """
    columns, last = lists.columns, lists.last
    count = columns.shape[1] - 1
    # The list loses the own column, or its last place.
    positions = jnp.arange(count + 1, dtype=jnp.int32)
    first = jnp.min(jnp.where(columns == own[:, None], positions, count), axis=1, keepdims=True)
    columns = jnp.where(positions[:count] < first, columns[:, :count], columns[:, 1:])
    # Where nothing was left out, nothing is unseen.
    unseen = jnp.where(last > _MIN_SCORE, -last - _PACKED * jnp.abs(last) - slack, jnp.inf)
    return columns, unseen


def kernel_here(width: int) -> str:
    """The kernels of the search that fit the device: Pallas on TPUs whose compiler takes it.

    Args:
        width: number of features.

    >>> kernel_here(2048)
    'xla'
    """
    return kernel_for(jax.devices()[0], width)


def kernel_for(device: Any, width: int, *, carries: bool = False) -> str:
    """The same for some device, perhaps with buckets that are carried on."""
    if device.platform != "tpu":
        return "xla"
    compiles = _compiles_carrying if carries else _compiles_for
    return "pallas" if compiles(device, width) else "xla"


@cache
def _compiles_for(device: Any, width: int) -> bool:
    """Whether the compiler of a TPU takes the Pallas kernels for points of some width."""
    from mgm_jax.geometry.knn.in_pairs.rank import compile_for

    array = partial(_described, jax.sharding.SingleDeviceSharding(device))

    def table(rows: int) -> ScanTable:
        points = array(rows, width, dtype=jnp.bfloat16)
        return ScanTable(points, array(rows), array(rows), array(rows))

    def compile_all() -> None:
        own = array(_ROWS, dtype=jnp.int32)
        lowered = scan_in_buckets.lower(
            table(_ROWS), own, table(4 * COLUMNS), count=MOST, kernel="pallas"
        )
        lowered.compile()
        compile_for(array, width=width)

    return _compiles(compile_all, device)


@cache
def _compiles_carrying(device: Any, width: int) -> bool:
    """Whether it takes the kernels of a ring: buckets that are carried on, and pairs."""
    from mgm_jax.geometry.knn.in_pairs.rank import compile_pairs_for

    array = partial(_described, jax.sharding.SingleDeviceSharding(device))

    def carry(
        points: jax.Array, base: jax.Array, offset: jax.Array, kept: jax.Array, number: jax.Array
    ) -> Lists:
        kept = keep(points, base, offset, (kept, number), kernel="pallas")
        return best_of(kept, partial(_column, start=0), count=MOST + 1, kernel="pallas")

    def compile_all() -> None:
        with single_precision():
            jax.jit(carry).lower(
                array(_ROWS, width, dtype=jnp.bfloat16),
                array(COLUMNS, width, dtype=jnp.bfloat16),
                array(COLUMNS),
                array(_ROWS, KEPT * BUCKETS),
                array(dtype=jnp.int32),
            ).compile()
        compile_pairs_for(array, width=width)

    return _compiles(compile_all, device)


def _described(sharding: Any, *shape: int, dtype: Any = jnp.float32) -> Any:
    return jax.ShapeDtypeStruct(shape, dtype, sharding=sharding)


def _compiles(compile_all: Callable[[], None], device: Any) -> bool:
    try:
        compile_all()
    except Exception as error:  # whatever a compiler may raise: it says no
        _log.info("the Pallas kernels of k-NN do not compile for %s: %s", device, error)
        return False
    return True


def keep(
    points: jax.Array,
    base: jax.Array,
    offset: jax.Array,
    carried: tuple[jax.Array, jax.Array] | None = None,
    *,
    kernel: str,
) -> jax.Array:
    """Best scores of every bucket ``[r, KEPT * BUCKETS]``, the best of all buckets first.

    Args:
        points: ``[r, w]`` of queries; r a multiple of 512 for Pallas.
        base: ``[c, w]`` of the columns, c a multiple of :data:`BUCKETS`.
        offset: ``[c]``, what is taken off their products.
        carried: what earlier columns have left, and how many there were, over :data:`BUCKETS`;
            int32. None to begin.
        kernel: as in :func:`scan_in_buckets`.
    """
    if kernel == "xla":
        return _keep_in_xla(points, base, offset, carried)
    from jax.experimental import pallas as pl
    from jax.experimental.pallas import tpu as pltpu

    rows, width = points.shape
    step = _step(base.shape[0])
    wide = pl.BlockSpec((_ROWS, KEPT * BUCKETS), lambda i, j: (i, jnp.int32(0)))
    before, specs, arguments = [], [], ()
    if carried is not None:
        kept, number = carried
        before, specs = [wide], [pl.BlockSpec(memory_space=pltpu.SMEM)]
        arguments = (kept, number.reshape(1))
    return pl.pallas_call(
        partial(_keep_kernel, carries=carried is not None),
        grid=(rows // _ROWS, base.shape[0] // step),
        in_specs=[
            *before,
            *specs,
            pl.BlockSpec((_ROWS, width), lambda i, j: (i, jnp.int32(0))),
            pl.BlockSpec((step, width), lambda i, j: (j, jnp.int32(0))),
            pl.BlockSpec((1, step), lambda i, j: (jnp.int32(0), j)),
        ],
        out_specs=wide,
        out_shape=jax.ShapeDtypeStruct((rows, KEPT * BUCKETS), jnp.float32),
        input_output_aliases={} if carried is None else {0: 0},
        interpret=kernel == "interpret",
        compiler_params=pltpu.CompilerParams(
            dimension_semantics=("parallel", "arbitrary"), vmem_limit_bytes=100 * 2**20
        ),
    )(*arguments, points, base, offset[None])


def nothing_kept(rows: int) -> jax.Array:
    """What :func:`keep` begins with, to be carried on."""
    return jnp.full((rows, KEPT * BUCKETS), _NOTHING, jnp.float32)


def _step(columns: int) -> int:
    """Columns whose scores exist at once."""
    return BUCKETS if columns % COLUMNS else COLUMNS


def _keep_kernel(*parts: Any, carries: bool) -> None:
    from jax.experimental import pallas as pl

    *before, points, base, offset, kept = parts
    number, first = pl.program_id(1), before[1][0] if carries else np.int32(0)

    @pl.when(number == 0)
    def _() -> None:
        nothing = jnp.full(kept.shape, _NOTHING, jnp.float32)
        kept[...] = before[0][...] if carries else nothing

    scores = _products(points[...], base[...])
    best = tuple(kept[:, t * BUCKETS : (t + 1) * BUCKETS] for t in range(KEPT))
    fills = base.shape[0] // BUCKETS
    for fill in range(fills):
        part = slice(fill * BUCKETS, (fill + 1) * BUCKETS)
        position = first + number * np.int32(fills) + np.int32(fill)
        best = _insert(best, scores[:, part] - offset[:, part], position)
    for t in range(KEPT):
        kept[:, t * BUCKETS : (t + 1) * BUCKETS] = best[t]


def _keep_in_xla(
    points: jax.Array,
    base: jax.Array,
    offset: jax.Array,
    carried: tuple[jax.Array, jax.Array] | None,
) -> jax.Array:
    kept, first = (nothing_kept(points.shape[0]), np.int32(0)) if carried is None else carried
    step = _step(base.shape[0])
    fills = step // BUCKETS

    def visit(number: jax.Array, best: tuple[jax.Array, ...]) -> tuple[jax.Array, ...]:
        part = lax.dynamic_slice_in_dim(base, number * step, step)
        own = lax.dynamic_slice_in_dim(offset, number * step, step)
        scores = _products(points, part) - own
        for fill in range(fills):
            subset = scores[:, fill * BUCKETS : (fill + 1) * BUCKETS]
            best = _insert(best, subset, first + number * fills + fill)
        return best

    steps = np.int32(base.shape[0] // step)
    best = tuple(jnp.split(kept, KEPT, axis=1))
    return jnp.concatenate(lax.fori_loop(np.int32(0), steps, visit, best), axis=1)


def _products(points: jax.Array, base: jax.Array) -> jax.Array:
    return lax.dot_general(
        points, base, (((1,), (1,)), ((), ())), preferred_element_type=jnp.float32
    )


def _insert(
    best: tuple[jax.Array, ...], scores: jax.Array, position: jax.Array
) -> tuple[jax.Array, ...]:
    """Put one score a bucket where it belongs among the best, which fall."""
    bits = lax.bitcast_convert_type(scores, jnp.int32) & np.int32(-(2**_NAME_BITS))
    name = position.astype(jnp.int32) << _FOLD_BITS
    return _inserted(best, lax.bitcast_convert_type(bits | name, jnp.float32))[0]


def _inserted(
    best: tuple[jax.Array, ...], scores: jax.Array
) -> tuple[tuple[jax.Array, ...], jax.Array]:
    """The best with one more score each, and what fell out."""
    result = []
    for kept in best:
        result.append(jnp.maximum(kept, scores))
        scores = jnp.minimum(kept, scores)
    return tuple(result), scores


def _folded(kept: jax.Array, fold: int, level: int) -> jax.Array:
    """Scores of one level of the buckets that are this fold of their lanes, named so."""
    start = level * BUCKETS + fold * _LANES
    bits = lax.bitcast_convert_type(kept[:, start : start + _LANES], jnp.int32)
    return lax.bitcast_convert_type(bits | np.int32(fold), jnp.float32)


def _best(kept: jax.Array, *, count: int, kernel: str) -> tuple[jax.Array, jax.Array, jax.Array]:
    """The best of all that was kept.

    Returns:
        Scores ``[r, count]``, falling, with full names in their low bits; the lanes they were in,
        ``[r, count]``; and ``[r]`` what no score is above that is not in ``kept``, or left out
        here before the choice.
    """
    if kernel == "xla":
        folds = BUCKETS // _LANES
        parts = [_folded(kept, fold, level) for level in range(KEPT) for fold in range(folds)]
        scores, positions = lax.top_k(jnp.concatenate(parts, axis=1), count)
        return scores, positions % np.int32(_LANES), jnp.max(kept[:, -BUCKETS:], axis=1)
    from jax.experimental import pallas as pl

    more = -kept.shape[0] % _EXTRACT_ROWS
    padded = jnp.pad(kept, ((0, more), (0, 0)))
    wide = pl.BlockSpec((_EXTRACT_ROWS, KEPT * BUCKETS), lambda i: (i, jnp.int32(0)))
    out = pl.BlockSpec((_EXTRACT_ROWS, _LANES), lambda i: (i, jnp.int32(0)))
    shape = (padded.shape[0], _LANES)
    scores, lanes, dropped = pl.pallas_call(
        partial(_best_kernel, count=count),
        grid=(padded.shape[0] // _EXTRACT_ROWS,),
        in_specs=[wide],
        out_specs=[out, out, out],
        out_shape=[
            jax.ShapeDtypeStruct(shape, jnp.float32),
            jax.ShapeDtypeStruct(shape, jnp.int32),
            jax.ShapeDtypeStruct(shape, jnp.float32),
        ],
        interpret=kernel == "interpret",
    )(padded)
    rows = slice(kept.shape[0])
    return scores[rows, :count], lanes[rows, :count], jnp.max(dropped[rows], axis=1)


def _best_kernel(kept: Any, scores: Any, lanes: Any, dropped: Any, *, count: int) -> None:
    """Let each lane keep the best of its buckets, then take the best lane ``count`` times."""
    shape = (_EXTRACT_ROWS, _LANES)
    folds = BUCKETS // _LANES
    nothing = jnp.full(shape, _NOTHING, jnp.float32)
    best, lost = (nothing,) * _KEPT_BY_LANE, nothing
    for level in range(KEPT):
        for fold in range(folds):
            best, fallen = _inserted(best, _folded(kept, fold, level))
            lost = jnp.maximum(lost, fallen)
            if level == KEPT - 1:
                # What the bucket has dropped is no better than the last it keeps.
                start = level * BUCKETS + fold * _LANES
                lost = jnp.maximum(lost, kept[:, start : start + _LANES])
    dropped[...] = lost
    lane = lax.broadcasted_iota(jnp.int32, shape, 1)
    order = lane.astype(jnp.float32)

    def take(number: jax.Array, state: tuple) -> tuple:
        *best, result, where = state
        top = jnp.max(best[0], axis=1, keepdims=True)
        # Lanes are few enough for float32, in which all TPUs find minima of lanes.
        first = jnp.where(best[0] == top, order, np.float32(_LANES))
        first = jnp.min(first, axis=1, keepdims=True)
        hit = order == first
        below = (*best[1:], nothing)
        best = [jnp.where(hit, b, a) for a, b in zip(best, below, strict=True)]
        result = jnp.where(lane == number, top, result)
        return *best, result, jnp.where(lane == number, first, where)

    start = (*best, nothing, jnp.zeros(shape, jnp.float32))
    *_, result, where = lax.fori_loop(np.int32(0), np.int32(count), take, start)
    scores[...] = result
    lanes[...] = where.astype(jnp.int32)
