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

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from mgm_jax.geometry.backend.precision import single_precision
from mgm_jax.geometry.knn.distance import ScanTable, bucket_terms

BUCKETS, KEPT = 1024, 4
"""Buckets of a chunk of columns, and how many each keeps."""

COLUMNS = 2048
"""Columns of a table come in multiples of this."""

# Place within the bucket, in the low bits of a score: so many buckets full make a chunk.
_PLACE_BITS = 7
_CHUNK = BUCKETS << _PLACE_BITS
# What these bits change of a score, relative to it, and rounding.
_PACKED = 2.0**-15
_ROWS, _EXTRACT_ROWS, _LANES = 512, 64, 128
# TPUs whose compiler has taken the Pallas kernel (benchmarks/compile_only), and the widest points
# whose blocks fit their vector memory; others get plain XLA, or the scan in tiles.
_PALLAS_DEVICES = ("TPU v5 lite", "TPU v5e")
_WIDEST = 4096
# Scores of places without a point, and what is certainly none of a point.
_NOTHING, _LEAST = -1e30, -1e29


def fits(table: ScanTable, *, count: int) -> bool:
    """Whether a table can be scanned this way: in bfloat16, wide enough for the buckets."""
    columns, width = table.points.shape
    whole = columns % COLUMNS == 0 and columns >= 4 * COLUMNS and width <= _WIDEST
    return whole and table.points.dtype == jnp.bfloat16 and count < _LANES


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
        offset, slack = bucket_terms(queries, table)
        rows = queries.lengths.shape[0]
        more = -rows % _ROWS
        points = jnp.pad(queries.points, ((0, more), (0, 0)))
        # Arrays from the first part on, of which there is one at least.
        best: Any = None
        columns: Any = None
        last: Any = None
        for start in range(0, table.lengths.shape[0], _CHUNK):
            part = slice(start, start + _CHUNK)
            kept = _keep(points, table.points[part], offset[part], kernel=kernel)[:rows]
            dropped = jnp.max(kept[:, -BUCKETS:], axis=1)
            scores, places = _best(kept, count=count + 1, kernel=kernel)
            bits = lax.bitcast_convert_type(scores, jnp.int32) & np.int32(2**_PLACE_BITS - 1)
            names = bits * np.int32(BUCKETS) + places % np.int32(BUCKETS) + np.int32(start)
            names = jnp.where(scores > _LEAST, names, -1)
            # One place more than wanted, because the query's own column may take one.
            bound = jnp.maximum(dropped, scores[:, -1])
            if best is None:
                best, columns, last = scores, names, bound
            else:
                both = jnp.concatenate([best, scores], axis=1)
                best, chosen = lax.top_k(both, count + 1)
                columns = jnp.concatenate([columns, names], axis=1)
                columns = jnp.take_along_axis(columns, chosen, axis=1)
                last = jnp.maximum(jnp.maximum(last, bound), best[:, -1])
        itself = columns == own[:, None]
        # The own column goes last, and the list loses its last place.
        order = jnp.where(itself, jnp.int32(count + 1), jnp.arange(count + 1, dtype=jnp.int32))
        _, columns = lax.sort((order, jnp.where(itself, -1, columns)), dimension=1, num_keys=1)
        # Where nothing was left out, nothing is unseen.
        unseen = jnp.where(last > _LEAST, -last - _PACKED * jnp.abs(last) - slack, jnp.inf)
        return columns[:, :count], unseen


def kernel_here() -> str:
    """The kernel of the scan that fits the device: Pallas where its compiler has taken it.

    >>> kernel_here()
    'xla'
    """
    return "pallas" if jax.devices()[0].device_kind in _PALLAS_DEVICES else "xla"


def _keep(points: jax.Array, base: jax.Array, offset: jax.Array, *, kernel: str) -> jax.Array:
    """Best scores of every bucket ``[r, KEPT * BUCKETS]``, the best of all buckets first."""
    if kernel == "xla":
        return _keep_in_xla(points, base, offset)
    from jax.experimental import pallas as pl
    from jax.experimental.pallas import tpu as pltpu

    rows, width = points.shape
    return pl.pallas_call(
        _keep_kernel,
        grid=(rows // _ROWS, base.shape[0] // COLUMNS),
        in_specs=[
            pl.BlockSpec((_ROWS, width), lambda i, j: (i, jnp.int32(0))),
            pl.BlockSpec((COLUMNS, width), lambda i, j: (j, jnp.int32(0))),
            pl.BlockSpec((1, COLUMNS), lambda i, j: (jnp.int32(0), j)),
        ],
        out_specs=pl.BlockSpec((_ROWS, KEPT * BUCKETS), lambda i, j: (i, jnp.int32(0))),
        out_shape=jax.ShapeDtypeStruct((rows, KEPT * BUCKETS), jnp.float32),
        interpret=kernel == "interpret",
        compiler_params=pltpu.CompilerParams(
            dimension_semantics=("parallel", "arbitrary"), vmem_limit_bytes=100 * 2**20
        ),
    )(points, base, offset[None])


def _keep_kernel(points: Any, base: Any, offset: Any, kept: Any) -> None:
    from jax.experimental import pallas as pl

    number = pl.program_id(1)

    @pl.when(number == 0)
    def _() -> None:
        kept[...] = jnp.full(kept.shape, _NOTHING, jnp.float32)

    scores = _products(points[...], base[...])
    best = tuple(kept[:, t * BUCKETS : (t + 1) * BUCKETS] for t in range(KEPT))
    fills = COLUMNS // BUCKETS
    for fill in range(fills):
        part = slice(fill * BUCKETS, (fill + 1) * BUCKETS)
        best = _insert(best, scores[:, part] - offset[:, part], number * fills + fill)
    for t in range(KEPT):
        kept[:, t * BUCKETS : (t + 1) * BUCKETS] = best[t]


def _keep_in_xla(points: jax.Array, base: jax.Array, offset: jax.Array) -> jax.Array:
    fills = COLUMNS // BUCKETS

    def visit(number: jax.Array, best: tuple[jax.Array, ...]) -> tuple[jax.Array, ...]:
        part = lax.dynamic_slice_in_dim(base, number * COLUMNS, COLUMNS)
        own = lax.dynamic_slice_in_dim(offset, number * COLUMNS, COLUMNS)
        scores = _products(points, part) - own
        for fill in range(fills):
            some = scores[:, fill * BUCKETS : (fill + 1) * BUCKETS]
            best = _insert(best, some, number * fills + fill)
        return best

    empty = jnp.full((points.shape[0], BUCKETS), _NOTHING, jnp.float32)
    steps = np.int32(base.shape[0] // COLUMNS)
    return jnp.concatenate(lax.fori_loop(np.int32(0), steps, visit, (empty,) * KEPT), axis=1)


def _products(points: jax.Array, base: jax.Array) -> jax.Array:
    return lax.dot_general(
        points, base, (((1,), (1,)), ((), ())), preferred_element_type=jnp.float32
    )


def _insert(
    best: tuple[jax.Array, ...], scores: jax.Array, place: jax.Array
) -> tuple[jax.Array, ...]:
    """Put one score a bucket where it belongs among the best, which fall."""
    bits = lax.bitcast_convert_type(scores, jnp.int32) & np.int32(-(2**_PLACE_BITS))
    scores = lax.bitcast_convert_type(bits | place.astype(jnp.int32), jnp.float32)
    found = []
    for kept in best:
        found.append(jnp.maximum(kept, scores))
        scores = jnp.minimum(kept, scores)
    return tuple(found)


def _best(kept: jax.Array, *, count: int, kernel: str) -> tuple[jax.Array, jax.Array]:
    """The best of all that was kept, falling, and their places in the row, ``[r, count]`` each."""
    if kernel == "xla":
        return lax.top_k(kept, count)
    from jax.experimental import pallas as pl

    more = -kept.shape[0] % _EXTRACT_ROWS
    padded = jnp.pad(kept, ((0, more), (0, 0)))
    wide = pl.BlockSpec((_EXTRACT_ROWS, KEPT * BUCKETS), lambda i: (i, jnp.int32(0)))
    out = pl.BlockSpec((_EXTRACT_ROWS, _LANES), lambda i: (i, jnp.int32(0)))
    scores, places = pl.pallas_call(
        partial(_best_kernel, count=count),
        grid=(padded.shape[0] // _EXTRACT_ROWS,),
        in_specs=[wide],
        out_specs=[out, out],
        out_shape=[
            jax.ShapeDtypeStruct((padded.shape[0], _LANES), jnp.float32),
            jax.ShapeDtypeStruct((padded.shape[0], _LANES), jnp.int32),
        ],
        interpret=kernel == "interpret",
    )(padded)
    return scores[: kept.shape[0], :count], places[: kept.shape[0], :count]


def _best_kernel(kept: Any, scores: Any, places: Any, *, count: int) -> None:
    """Take the best bucket of each row, ``count`` times, and let its next one move up."""
    shape = (_EXTRACT_ROWS, BUCKETS)
    buckets = lax.broadcasted_iota(jnp.int32, shape, 1)
    out = lax.broadcasted_iota(jnp.int32, (_EXTRACT_ROWS, _LANES), 1)

    def take(number: jax.Array, state: tuple) -> tuple:
        *best, found, where = state
        top = jnp.max(best[0], axis=1, keepdims=True)
        first = jnp.where(best[0] == top, buckets, np.int32(BUCKETS))
        # Lanes are few enough for float32, in which all TPUs find minima of lanes.
        bucket = jnp.min(first.astype(jnp.float32), axis=1, keepdims=True).astype(jnp.int32)
        hit = buckets == bucket
        below = (*best[1:], jnp.full(shape, _NOTHING, jnp.float32))
        best = [jnp.where(hit, b, a) for a, b in zip(best, below, strict=True)]
        found = jnp.where(out == number, top, found)
        return *best, found, jnp.where(out == number, bucket, where)

    start = tuple(kept[:, t * BUCKETS : (t + 1) * BUCKETS] for t in range(KEPT))
    lanes = (_EXTRACT_ROWS, _LANES)
    empty = jnp.full(lanes, _NOTHING, jnp.float32), jnp.zeros(lanes, jnp.int32)
    *_, found, where = lax.fori_loop(np.int32(0), np.int32(count), take, (*start, *empty))
    scores[...] = found
    places[...] = where
