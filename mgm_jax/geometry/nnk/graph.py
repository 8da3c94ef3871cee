# pyright: strict, reportMissingTypeStubs=false, reportUnknownMemberType=false
# pyright: reportUnknownVariableType=false, reportUnknownArgumentType=false
"""The NNK graph: what users call, and what they get."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.sharding import Mesh

from mgm_jax.geometry.backend.precision import double_precision
from mgm_jax.geometry.backend.wide import wide_arithmetic
from mgm_jax.geometry.backend.workers import in_order, one_thread_a_product, workers_for
from mgm_jax.geometry.nnk.bandwidth import BandwidthRule, bandwidths, tell_of_narrow_kernel
from mgm_jax.geometry.nnk.candidates import (
    GRAM_LIMIT,
    ROWS_AT_ONCE,
    candidates_of,
    check_group_sizes,
    check_policy,
    nearest_in_cloud_of,
    row_batches,
    tell_about_repeats,
)
from mgm_jax.geometry.nnk.grams_from_cloud import cloud_gram_if_worth
from mgm_jax.geometry.nnk.grams_on_host import unit_grams_on_host
from mgm_jax.geometry.nnk.in_pairs.settle import settled_groups, settled_rows
from mgm_jax.geometry.nnk.kernel import KernelName, check_kernel
from mgm_jax.geometry.nnk.left_out import solve_groups_left_out, suits_left_out
from mgm_jax.geometry.nnk.neighbourhood import (
    are_resolved,
    differences_in_group,
    gathered_gram,
    group_gram,
    nearest_in_group,
    regress,
)
from mgm_jax.geometry.nnk.settle import settle_groups, settle_rows
from mgm_jax.geometry.nnk.solve import SUPPORT_WEIGHT
from mgm_jax.geometry.points.checks import DuplicatePolicy, as_array, check_points, common_offset
from mgm_jax.geometry.points.duplicates import distinct_rows
from mgm_jax.geometry.points.frames import refuse_other_order
from mgm_jax.geometry.points.groups import (
    GroupBatch,
    Groups,
    encode_groups,
    group_batches,
    points_of_batches_on_cpu,
    trimmed_batches,
)
from mgm_jax.parallel.devices import fetch, mesh_of
from mgm_jax.parallel.processes import complete, own_share
from mgm_jax.parallel.spread_calls import call_on_groups, call_on_rows
from mgm_jax.progress import progress
from mgm_jax.shown.result import Result
from mgm_jax.whole_numbers import whole_number

if TYPE_CHECKING:
    import pandas as pd

# Bounds of a batch: its points, and the kernel matrices of its points, in a few MiB. On a CPU a
# batch is the work of one core, and all cores get as many.
_BATCH_VALUES = 2**21
_BATCH_POINTS = 2**10


@dataclass(frozen=True, kw_only=True)
class NnkGraph(Result):
    """Non-negative kernel regression weights of n points on their candidates, exact.

    Attributes:
        indices: rows of the candidates, ``[n, k]`` int32, nearest first; -1 where the group of
            the point holds fewer than k others.
        weights: their weights, ``[n, k]`` float64, 0 where a candidate is no neighbour.
        residual: squared distance, in kernel space, from the point to its reproduction, ``[n]``,
            0 to 1.
        kkt: largest violation of the optimality conditions, ``[n]``.
        k_effective: number of candidates, ``[n]`` int32.
        resolved: whether the points say enough for the weights, ``[n]`` bool. False under a
            Gaussian where candidates are closer than 2^-23 of their length, and so count as one,
            or where rounding blurs their distances, and the bandwidth is so small that kernel
            values change by more than 1e-6. Subtract the mean of the points, or raise it.
        kernel: ``"cosine"`` or ``"gaussian"``.
    """

    indices: np.ndarray
    weights: np.ndarray
    residual: np.ndarray
    kkt: np.ndarray
    k_effective: np.ndarray
    resolved: np.ndarray
    kernel: KernelName

    @property
    def degree(self) -> np.ndarray:
        """Number of neighbours of every point, ``[n]``: candidates with weight above 1e-6."""
        return (self.weights > 0).sum(axis=1)

    def to_pandas(self) -> pd.DataFrame:
        """One row an edge (candidates of weight 0 are left out): source, target, weight."""
        import pandas as pd

        source, column = np.nonzero(self.weights)
        return pd.DataFrame(
            {
                "source": source.astype(np.int32),
                "target": self.indices[source, column],
                "weight": self.weights[source, column],
            }
        )

    def __repr__(self) -> str:
        """Size, kernel, mean degree and certificate in one line."""
        points, k = self.indices.shape
        lost = int((~self.resolved).sum())
        return (
            f"NnkGraph({points} points, k={k}, {self.kernel}, mean degree "
            f"{self.degree.mean():.1f}, KKT violation at most {self.kkt.max():.1e}"
            + (f", {lost} points not resolved by float32)" if lost else ")")
        )

    def _picture(self) -> str:
        from mgm_jax.shown.histogram import histogram_svg

        return histogram_svg(self.degree)

    def _shown_table(self) -> pd.DataFrame:
        return self.to_pandas().head(10)


class _Rows(NamedTuple):
    indices: np.ndarray
    weights: np.ndarray
    residual: np.ndarray
    kkt: np.ndarray
    k_effective: np.ndarray
    resolved: np.ndarray


def nnk_graph(
    x: Any,
    *,
    k: int | None = None,
    kernel: KernelName = "cosine",
    bandwidth: float | np.ndarray | BandwidthRule | None = None,
    groups: Any = None,
    duplicates: DuplicatePolicy = "warn",
    devices: Mesh | None = None,
) -> NnkGraph:
    """Exact NNK graph: every point as a non-negative combination of its nearest neighbours.

    ``theta_i = argmin over theta >= 0 of 1/2 theta' K_SS theta - theta' k_Si``, S the k nearest
    other points of the group. Weights up to 1e-6 are set to 0.

    Args:
        x: points ``[n, d]``, NumPy or JAX, float32 or bfloat16 (other real types become float32).
        k: candidates of a point; None takes 50, or all other members of a smaller group.
        kernel: ``"cosine"``, (1 + cos) / 2 of the directions of the points; or ``"gaussian"`` of
            their distances as they are.
        bandwidth: of the Gaussian, one number or one a point; None takes the distance of each
            point to its farthest candidate, ``"hurtado"`` one for the group, by the rule of
            arXiv 2210.17475 (:func:`mgm_jax.geometry.nnk.bandwidth.hurtado_bandwidth`).
        groups: one integer or string a point; neighbours are sought within the group alone.
        duplicates: equal rows of one group: ``"warn"`` keeps them (a repeated point has its copy
            as only neighbour), ``"drop"`` lets only the first be a neighbour and gives repeats
            its neighbours, ``"raise"`` refuses them.
        devices: mesh of one axis, of one or many processes, to spread groups or the rows of a
            large one over; None follows x.

    Returns:
        An ``NnkGraph`` on the host.

    Raises:
        InputError: unusable points (see ``check_points``), groups of one point or (for an
            explicit k) of k points or fewer, an unknown or impossible option.

    Reference:
        S. Shekkizhar and A. Ortega, "Graph construction from data by non-negative kernel
        regression", ICASSP 2020, equation 8.

    Example:
        >>> graph = nnk_graph(np.eye(3), k=2)
        >>> graph.weights.round(3)[0].tolist()
        [0.333, 0.333]
    """
    check_kernel(kernel)
    check_policy(duplicates)
    k = None if k is None else whole_number(k, name="k")
    mesh = mesh_of(x) if devices is None else devices
    refuse_other_order(x, groups, names=("x", "groups"))
    x = as_array(x)
    offset = None if kernel == "cosine" else common_offset(x)
    points = check_points(x, cosine=kernel == "cosine", offset=offset)
    points = np.asarray(fetch(points), np.float32)
    partition = encode_groups(groups, len(points))
    check_group_sizes(partition, k)
    widths = bandwidths(points, partition, bandwidth, kernel=kernel)
    distinct = distinct_rows(points, partition)
    if distinct is not None:
        tell_about_repeats(distinct, partition, duplicates, stacklevel=2)
    if distinct is None or duplicates != "drop":
        results = _solve_groups(points, partition, widths, mesh, k=k, kernel=kernel)
    else:
        rows = distinct.rows
        check_group_sizes(distinct.groups, k, least=1, distinct=True)
        part = None if widths is None else widths[rows]
        results = _solve_groups(points[rows], distinct.groups, part, mesh, k=k, kernel=kernel)
        results = _Rows(*(column[distinct.codes] for column in results))
        named = np.where(results.indices < 0, -1, rows[results.indices]).astype(np.int32)
        results = results._replace(indices=named)
    tell_of_narrow_kernel((results.weights > 0).sum(axis=1), widths)
    return NnkGraph(**results._asdict(), kernel=kernel)


def _solve_groups(
    points: np.ndarray,
    groups: Groups,
    bandwidth: np.ndarray | None,
    mesh: Mesh | None,
    *,
    k: int | None,
    kernel: KernelName,
) -> _Rows:
    n, width = points.shape
    columns = max(candidates_of(int(groups.sizes.max()), k), 1)
    results = _Rows(
        np.full((n, columns), -1, np.int32),
        np.zeros((n, columns)),
        np.zeros(n),
        np.zeros(n),
        np.array([candidates_of(int(size), k) for size in groups.sizes], np.int32)[groups.codes],
        np.ones(n, bool),
    )
    on_cpu = mesh is None and jax.default_backend() == "cpu"
    small, large = [], []
    workers = workers_for(None) if on_cpu else 1
    most = points_of_batches_on_cpu(n, workers=workers) if on_cpu else _BATCH_POINTS
    most = min(most, max(1, _BATCH_VALUES // width))
    batches = group_batches(groups, max_points=most, workers=workers)
    # Beside devices that compile for long, a few sizes are worth more than the work.
    trimmed = jax.default_backend() == "cpu"
    for batch in trimmed_batches(groups, batches) if trimmed else batches:
        (small if batch.rows.shape[1] <= GRAM_LIMIT else large).append(batch)

    def solve(batch: GroupBatch) -> tuple[np.ndarray, ...]:
        rows = np.maximum(batch.rows, 0)
        inputs = batch.mask, results.k_effective[rows[:, 0]]
        widths = None if bandwidth is None else bandwidth[rows]
        options: dict[str, Any] = {"k": min(columns, batch.rows.shape[1] - 1), "kernel": kernel}
        others = np.maximum(batch.mask.sum(axis=1) - 1, 0)
        if suits_left_out(kernel) and (inputs[1] >= others).all():
            alone = partial(_group_weights, fallback=True, **options)
            parts = _left_out_weights(points, rows, *inputs, mesh, alone=alone, k=options["k"])
        elif wide_arithmetic() == "pairs":
            whole = _in_full(_group_weights)
            parts = settled_groups(whole, points[rows], *inputs, widths, mesh=mesh, **options)
        else:
            call = partial(call_on_groups, _group_weights, mesh=mesh, **options)
            with double_precision():
                parts = settle_groups(call, batch.mask, points[rows], *inputs, widths)
        positions, *others = (part[batch.mask] for part in parts)
        groups_of = np.broadcast_to(rows[:, None, :], (*rows.shape, rows.shape[1]))[batch.mask]
        chosen = np.take_along_axis(groups_of, np.maximum(positions, 0), axis=1)
        return np.where(positions < 0, -1, chosen), *others

    with progress("NNK graph", total=n, unit="point", compiles=True) as bar:
        calls = [partial(solve, batch) for batch in small]
        # Processes must call their common devices in one order.
        workers = workers_for(None) if mesh is None else 1
        with one_thread_a_product() if small else nullcontext():
            for batch, parts in zip(small, in_order(calls, workers=workers), strict=True):
                _write(results, batch.rows[batch.mask], *parts)
                bar.advance(int(batch.mask.sum()))
        for batch in large:
            for rows, mask in zip(batch.rows, batch.mask, strict=True):
                if mask.any():
                    _solve_cloud(results, points, rows[mask], bandwidth, mesh, kernel=kernel)
                    bar.advance(int(mask.sum()))
    return results


def _left_out_weights(
    points: np.ndarray,
    rows: np.ndarray,
    mask: np.ndarray,
    wanted: np.ndarray,
    mesh: Mesh | None,
    *,
    alone: Callable[..., tuple[Any, ...]],
    k: int,
) -> tuple[np.ndarray, ...]:
    """What :func:`_group_weights` returns of groups whose points have all others as candidates.

    Args:
        points: ``[n, d]``.
        rows: of the points of each group ``[g, m]`` int.
        mask: which of them count ``[g, m]`` bool.
        wanted: candidates of every point ``[g]`` int.
        mesh: devices to spread the groups over; None for one.
        alone: :func:`_group_weights` with the fallback, for groups that ask for more.
        k: columns of the candidates.
    """
    grams = unit_grams_on_host(points, rows, mask)
    distance, solution, settled = solve_groups_left_out(grams, np.ones(mask.shape), mask, mesh)
    positions = _by_distance(distance, mask)[:, :, :k]
    weights = np.take_along_axis(solution.theta, np.maximum(positions, 0), axis=2)
    weights[(positions < 0) | (weights <= SUPPORT_WEIGHT)] = 0
    resolved = np.ones(mask.shape, bool)
    # Copies, to be written to.
    parts = positions, weights, solution.residual.copy(), solution.kkt.copy(), resolved
    for group in np.flatnonzero(~settled & mask.any(axis=1)):
        one = slice(group, group + 1)
        with double_precision():
            *again, _ = alone(points[rows[one]], mask[one], wanted[one], None)
        for part, new in zip(parts, again, strict=True):
            part[group] = np.asarray(new)[0]
    return parts


def _by_distance(distance: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """Other members of every member of groups by rising distance, -1 for none, ``[g, m, m]``.

    Distances are compared in float32, and equal ones left in the order of the members, as in
    :func:`nearest_in_group`.
    """
    m = mask.shape[1]
    others = mask[:, :, None] & mask[:, None, :] & ~np.eye(m, dtype=bool)
    keys = np.where(others, distance, np.inf).astype(np.float32)
    order = np.argsort(keys, axis=2).astype(np.int32)
    sorted_keys = np.take_along_axis(keys, order, axis=2)
    equal = (sorted_keys[:, :, 1:] == sorted_keys[:, :, :-1]) & np.isfinite(sorted_keys[:, :, 1:])
    tied = equal.any(axis=2)
    if tied.any():
        order[tied] = np.argsort(keys[tied], axis=1, kind="stable")
    order[~np.isfinite(sorted_keys)] = -1
    return order


def _in_full(program: Callable[..., tuple[Any, ...]]) -> Callable[..., tuple[Any, ...]]:
    """A program with the fallback at once, without the flags that say who needed it."""
    return lambda *inputs, **options: program(*inputs, fallback=True, **options)[:-1]


def _write(
    results: _Rows,
    rows: np.ndarray,
    indices: np.ndarray,
    weights: np.ndarray,
    residual: np.ndarray,
    kkt: np.ndarray,
    resolved: np.ndarray,
) -> None:
    k = indices.shape[1]
    results.indices[rows, :k] = indices
    results.weights[rows, :k] = weights
    results.residual[rows] = residual
    results.kkt[rows] = kkt
    results.resolved[rows] = resolved


def _solve_cloud(
    results: _Rows,
    points: np.ndarray,
    members: np.ndarray,
    bandwidth: np.ndarray | None,
    mesh: Mesh | None,
    *,
    kernel: KernelName,
) -> None:
    k = int(results.k_effective[members[0]])
    cloud = points[members]
    # Under a Gaussian the differences keep the digits that a small bandwidth asks for.
    cosine = kernel == "cosine"
    gram = cloud_gram_if_worth(cloud, k=k, metric="cosine") if cosine else None
    candidates = nearest_in_cloud_of(cloud, k=k, on_sphere=cosine, mesh=mesh, gram=gram)
    if wide_arithmetic() == "pairs":
        width = None if bandwidth is None else bandwidth[members]
        for positions, parts in settled_rows(
            _in_full(_row_weights), points[members], candidates, width, mesh=mesh, kernel=kernel
        ):
            _write(results, members[positions], members[candidates[positions]], *parts)
        return
    if mesh is not None and jax.default_backend() != "cpu":
        with double_precision():
            for positions, parts in call_on_rows(
                _row_weights,
                points[members],
                candidates,
                None if bandwidth is None else bandwidth[members],
                mesh=mesh,
                at_once=ROWS_AT_ONCE,
                kernel=kernel,
            ):
                _write(results, members[positions], members[candidates[positions]], *parts[:-1])
        return
    batches = own_share(row_batches(members.size), mesh)
    settled = settle_rows(
        partial(_weights_of_rows, kernel=kernel),
        points[members],
        candidates,
        None if bandwidth is None else bandwidth[members],
        batches,
        normalize=kernel == "cosine",
        workers=workers_for(None),
        gram=gram,
    )
    for positions, parts in zip(batches, settled, strict=True):
        _write(results, members[positions], members[candidates[positions]], *parts)
    rows = np.concatenate([np.empty(0, np.int64), *(members[positions] for positions in batches)])
    complete(results, rows, mesh)


@partial(jax.jit, static_argnames=("k", "kernel", "fallback"))
def _group_weights(
    points: jax.Array,
    mask: jax.Array,
    wanted: jax.Array,
    bandwidth: jax.Array | None,
    *,
    k: int,
    kernel: KernelName,
    fallback: bool,
) -> tuple[jax.Array, ...]:
    def gram_of(group: tuple[jax.Array, jax.Array]) -> tuple[jax.Array, jax.Array]:
        return group_gram(*group, normalize=kernel == "cosine")

    grams = lax.map(gram_of, (points, mask))
    return _gram_weights(*grams, mask, wanted, bandwidth, k=k, kernel=kernel, fallback=fallback)


@partial(jax.jit, static_argnames=("k", "kernel", "fallback"))
def _gram_weights(
    grams: jax.Array,
    squared_lengths: jax.Array,
    mask: jax.Array,
    wanted: jax.Array,
    bandwidth: jax.Array | None,
    *,
    k: int,
    kernel: KernelName,
    fallback: bool,
) -> tuple[jax.Array, ...]:
    def solve(group: tuple[Any, ...]) -> tuple[jax.Array, ...]:
        gram, lengths, mask, wanted, bandwidth = group
        positions, real = nearest_in_group(gram, mask, lengths, k=k, wanted=wanted)
        differences = differences_in_group(gram, positions)
        # Each squared distance is a sum of a few entries of the matrix.
        rounding = 8 * float(np.finfo(np.float64).eps) * jnp.max(jnp.diagonal(gram))
        return (
            jnp.where(real, positions, -1),
            *_weights(
                differences,
                real,
                bandwidth,
                lengths,
                kernel=kernel,
                rounding=rounding,
                fallback=fallback,
            ),
        )

    return lax.map(solve, (grams, squared_lengths, mask, wanted, bandwidth))


@partial(jax.jit, static_argnames=("kernel", "fallback"))
def _row_weights(
    points: jax.Array,
    rows: jax.Array,
    candidates: jax.Array,
    bandwidth: jax.Array | None,
    *,
    kernel: KernelName,
    fallback: bool = True,
) -> tuple[jax.Array, ...]:
    gram, lengths = gathered_gram(points, rows, candidates, normalize=kernel == "cosine")
    return _weights_of_rows(gram, lengths, candidates, bandwidth, kernel=kernel, fallback=fallback)


@partial(jax.jit, static_argnames=("kernel", "fallback"))
def _weights_of_rows(
    gram: jax.Array,
    lengths: jax.Array,
    candidates: jax.Array,
    bandwidth: jax.Array | None,
    *,
    kernel: KernelName,
    fallback: bool,
) -> tuple[jax.Array, ...]:
    real = jnp.ones(candidates.shape, bool)
    # Of differences, squared distances keep all digits.
    return _weights(gram, real, bandwidth, lengths, kernel=kernel, rounding=0.0, fallback=fallback)


def _weights(
    gram: jax.Array,
    real: jax.Array,
    bandwidth: jax.Array | None,
    squared_length: jax.Array,
    *,
    kernel: KernelName,
    rounding: jax.Array | float,
    fallback: bool,
) -> tuple[jax.Array, ...]:
    """Weights, residual, violation, whether points are resolved, and need the fallback."""
    solution, _ = regress(gram, real, bandwidth, squared_length, kernel=kernel, fallback=fallback)
    weights = jnp.where(solution.theta > SUPPORT_WEIGHT, solution.theta, 0)
    if kernel == "cosine":
        resolved = jnp.ones(len(weights), bool)
    else:
        resolved = are_resolved(gram, real, bandwidth, squared_length, rounding=rounding)
    return weights, solution.residual, solution.kkt, resolved, solution.fallback
