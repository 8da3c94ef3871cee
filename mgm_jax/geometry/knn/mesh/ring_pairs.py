"""The ranking of a ring where float64 is slow: in pairs of float32 (``in_pairs``).

Every candidate is ranked when its coordinates come by. All pairs of a query and a candidate are put
in the order in which that happens, once, so that a visitor's pairs stand side by side: its turn
takes them batch by batch and writes their results where they stand. At the end all results are put
back. Rows that this leaves open fall back.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh

from mgm_jax.geometry.backend.precision import single_precision
from mgm_jax.geometry.knn.distance import Metric
from mgm_jax.geometry.knn.in_pairs.rank import (
    PAIRS,
    is_open,
    pair_parts,
    reach_of,
    report,
    rows_for_ranking,
    spread_of,
)
from mgm_jax.geometry.knn.scaled import Scaled
from mgm_jax.geometry.knn.selection import INFINITY, NOBODY, order_by_distance
from mgm_jax.parallel.devices import axis_of
from mgm_jax.parallel.ring import Blocks, Visitor, turn
from mgm_jax.parallel.spread_jit import SPREAD, WHOLE, spread_jit

# What is kept of a pair: six numbers of ``pair_parts``.
_PARTS = 6


class PairPlan(NamedTuple):
    """What fixes the shapes of the ranking.

    Attributes:
        mesh: the devices, one axis.
        metric: which distance.
        k: number of neighbours.
        features: of the points.
        blocks: how a share of the base is cut.
        kernel: of ``in_pairs.rank.pair_parts``.
    """

    mesh: Mesh
    metric: Metric
    k: int
    features: int
    blocks: Blocks
    kernel: str


class Order(NamedTuple):
    """Pairs in the order in which candidates come by; p of them on each device, and filling.

    Attributes:
        pairs: ``[p + PAIRS]`` int32, places of the candidates in the lists, row after row.
        places: ``[p + PAIRS]`` int32, rows of the candidates in their blocks.
        reach: ``[p + PAIRS]`` float32 of the queries.
        begins: ``[visitors + 1]`` int32, the first pair of each visitor of all turns.
    """

    pairs: jax.Array
    places: jax.Array
    reach: jax.Array
    begins: jax.Array


class PairPrograms(NamedTuple):
    """The compiled programs; "spread" arrays are cut by rows over the mesh.

    Attributes:
        rows: ``(points,)`` to their spread rows as they are ranked.
        spread: ``(base,)`` to what ranking must know of all of it.
        order: ``(names, lengths of queries, unseen distance, spread)`` to the :class:`Order`, the
            reach of every query and empty results.
        turn: ``(rows of queries, rows of base, spread, order, results, number of candidates, block
            number)`` to the results.
        finish: ``(rows of queries, spread, order, reach, results, names, unseen distance)`` to
            distances and names ``[n, k]`` in order, and the unseen distance, -1 where the ranking
            has left the row open.
    """

    rows: Callable[..., jax.Array]
    spread: Callable[..., tuple[jax.Array, jax.Array]]
    order: Callable[..., tuple[Order, jax.Array, tuple[jax.Array, ...]]]
    turn: Callable[..., tuple[jax.Array, ...]]
    finish: Callable[..., tuple[jax.Array, jax.Array, jax.Array]]


def pair_programs(plan: PairPlan, *, share: int, count: int) -> PairPrograms:
    """The programs for a base of ``share`` rows a device and ``count`` candidates a query."""
    compiled = partial(spread_jit, mesh=plan.mesh)
    return PairPrograms(
        rows=compiled(rows_for_ranking),
        spread=compiled(spread_of, outputs=WHOLE, axis=axis_of(plan.mesh)),
        order=compiled(_order, inputs=(SPREAD, SPREAD, SPREAD, WHOLE), plan=plan, share=share),
        turn=compiled(
            _turn,
            inputs=(SPREAD, SPREAD, WHOLE, SPREAD, SPREAD, WHOLE),
            donate=(4,),
            plan=plan,
            count=count,
        ),
        finish=compiled(
            _finish,
            inputs=(SPREAD, WHOLE, SPREAD, SPREAD, SPREAD, SPREAD, SPREAD),
            plan=plan,
        ),
    )


def _order(
    names: jax.Array,
    lengths: jax.Array,
    unseen: jax.Array,
    spread: tuple[jax.Array, jax.Array],
    *,
    plan: PairPlan,
    share: int,
) -> tuple[Order, jax.Array, tuple[jax.Array, ...]]:
    with single_precision():
        reach = reach_of(lengths, unseen, spread[1], metric=plan.metric)
        devices, (turns, size) = plan.mesh.size, plan.blocks
        visitors = turns * devices
        here = jax.lax.axis_index(axis_of(plan.mesh)).astype(jnp.int32)
        owner, local = names // np.int32(share), names % np.int32(share)
        number = local // np.int32(size)
        place = local - jnp.minimum(number * np.int32(size), np.int32(share - size))
        visit = number * np.int32(devices) + (here - owner) % np.int32(devices)
        somebody = _is_somebody(names)
        visit = jnp.where(somebody, visit, np.int32(visitors))
        place = jnp.where(somebody, place, 0)
        pairs = jnp.arange(names.size, dtype=jnp.int32)
        parts = visit.ravel(), pairs, place.ravel(), _along(reach, names).ravel()
        visit, *parts = jax.lax.sort(parts, num_keys=1, is_stable=False)
        begins = jnp.searchsorted(visit, np.arange(visitors + 1, dtype=np.int32))
        empty = tuple(jnp.zeros(names.size + PAIRS, jnp.float32) for _ in range(_PARTS))
        parts = (jnp.pad(part, (0, PAIRS)) for part in parts)
        return Order(*parts, begins.astype(jnp.int32)), reach, empty


def _is_somebody(names: jax.Array) -> jax.Array:
    return (names >= 0) & (names != NOBODY)


def _along(column: jax.Array, names: jax.Array) -> jax.Array:
    return jnp.broadcast_to(column[:, None], names.shape)


def _turn(
    queries: jax.Array,
    base: jax.Array,
    spread: tuple[jax.Array, jax.Array],
    order: Order,
    results: tuple[jax.Array, ...],
    number: jax.Array,
    *,
    plan: PairPlan,
    count: int,
) -> tuple[jax.Array, ...]:
    measure = partial(pair_parts, features=plan.features, kernel=plan.kernel)
    devices, size = plan.mesh.size, plan.blocks.size

    def visit(results: tuple[jax.Array, ...], visitor: Visitor) -> tuple[jax.Array, ...]:
        visit = number * np.int32(devices) + visitor.step
        begin, end = order.begins[visit], order.begins[visit + 1]

        def rank_batch(batch: jax.Array, results: tuple[jax.Array, ...]) -> tuple[jax.Array, ...]:
            # Beyond the last of its pairs are those of the next visitor, who writes over them.
            start = begin + batch * np.int32(PAIRS)
            pairs, places, reach = (
                jax.lax.dynamic_slice_in_dim(part, start, PAIRS) for part in order[:3]
            )
            whose, places = pairs // np.int32(count), jnp.minimum(places, np.int32(size - 1))
            fresh = measure(queries, visitor.parts, whose, places, reach, spread[0])
            return tuple(
                jax.lax.dynamic_update_slice_in_dim(part, new, start, 0)
                for part, new in zip(results, fresh, strict=True)
            )

        batches = (end - begin + np.int32(PAIRS - 1)) // np.int32(PAIRS)
        return jax.lax.fori_loop(np.int32(0), batches, rank_batch, results)

    with single_precision():
        return turn(
            base, number, results, visit, axis=axis_of(plan.mesh), devices=devices, size=size
        )


def _finish(
    queries: jax.Array,
    spread: tuple[jax.Array, jax.Array],
    order: Order,
    reach: jax.Array,
    results: tuple[jax.Array, ...],
    names: jax.Array,
    unseen: jax.Array,
    *,
    plan: PairPlan,
) -> tuple[jax.Array, jax.Array, jax.Array]:
    with single_precision():
        found = (part[: names.size] for part in (order.pairs, *results))
        _, *parts = jax.lax.sort(tuple(found), num_keys=1, is_stable=False)
        distances, could_be, beyond = report(
            tuple(part.reshape(names.shape) for part in parts),
            queries,
            reach,
            spread[0],
            features=plan.features,
            metric=plan.metric,
        )
        somebody = _is_somebody(names)
        distances = jnp.where(somebody, distances, INFINITY)
        ordered, who = order_by_distance(
            distances, jnp.where(somebody, names, NOBODY), count=plan.k
        )
        left_open = beyond | is_open(ordered, jnp.where(somebody, could_be, INFINITY))
        return ordered, who, jnp.where(left_open, np.float32(-1), unseen)


def rank_on_mesh(
    plan: PairPlan,
    queries: Scaled,
    base: Scaled,
    names: jax.Array,
    unseen: jax.Array,
    *,
    own: bool,
    after_turn: Callable[[Any], None],
) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Candidates in the order of their exact distances, k of them.

    Args:
        plan: what fixes the shapes.
        queries: n points, spread.
        base: m points, spread.
        names: ``[n, c]`` int32 rows of the base; -1 or ``NOBODY`` for nobody.
        unseen: ``[n]`` what no other point of the base can fall below.
        own: whether the queries are the base.
        after_turn: called with the results after every turn.

    Returns:
        What ``RingPrograms.finish`` returns.
    """
    share = base.high.shape[0] // plan.mesh.size
    programs = pair_programs(plan, share=share, count=names.shape[1])
    spread = programs.spread(base)
    others = programs.rows(base)
    rows = others if own else programs.rows(queries)
    order, reach, results = programs.order(names, queries.high, unseen, spread)
    for number in range(plan.blocks.count):
        results = programs.turn(rows, others, spread, order, results, np.int32(number))
        after_turn(results)
    return programs.finish(rows, spread, order, reach, results, names, unseen)
