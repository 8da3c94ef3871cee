"""NNK in pairs on the device, and in float64 on the host for the points that pairs refuse.

What comes back is what the programs in float64 give: nobody sees which of the two a point took.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh

from mgm_jax.geometry.backend.pairs import Pair, join_float64, split_float64
from mgm_jax.geometry.backend.wide import on_host
from mgm_jax.geometry.backend.workers import in_order, workers_for
from mgm_jax.geometry.nnk.candidates import row_batches
from mgm_jax.geometry.nnk.in_pairs.distances import from_lanes, to_lanes
from mgm_jax.geometry.nnk.in_pairs.programs import (
    ROWS_AT_ONCE,
    PairWeights,
    group_weights,
    row_weights,
)
from mgm_jax.geometry.nnk.in_pairs.reduce import reduce_kernel
from mgm_jax.geometry.nnk.in_pairs.solve import SUPPORT_WEIGHT, solve_in_pairs
from mgm_jax.geometry.nnk.kernel import KernelName
from mgm_jax.geometry.points.groups import padded_size
from mgm_jax.parallel.spread_calls import call_on_groups, call_on_rows

# Kernel matrices that are solved by one call.
_BLOCK = 4096


def settled_groups(
    fallback: Callable[..., Any],
    points: np.ndarray,
    mask: np.ndarray,
    wanted: np.ndarray,
    bandwidth: np.ndarray | None,
    *,
    mesh: Mesh | None,
    k: int,
    kernel: KernelName,
) -> tuple[np.ndarray, ...]:
    """Places, weights, residual, violation and flags of the members of small groups.

    Args:
        fallback: the program in float64, of all but the first argument and the mesh.
        points: ``[g, m, d]`` float32.
        mask: which rows are points ``[g, m]`` bool.
        wanted: candidates of every point ``[g]``.
        bandwidth: of the Gaussian ``[g, m]``, or None.
        mesh: devices to spread the groups over; None for one.
        k: columns of the result.
        kernel: which kernel.

    Returns:
        What ``fallback`` returns, ``[g, m, ...]`` each, on the host.
    """
    positions, results = call_on_groups(
        group_weights, points, mask, wanted, _split(bandwidth), mesh=mesh, k=k, kernel=kernel
    )
    columns = (np.array(positions), *_columns(results))
    refused = np.asarray(results.refused) & mask
    groups = np.flatnonzero(refused.any(axis=1))
    if groups.size:
        full = _filled(groups)
        with on_host():
            width = None if bandwidth is None else bandwidth[full]
            again = fallback(points[full], mask[full], wanted[full], width, k=k, kernel=kernel)
            for column, part in zip(columns, map(np.asarray, again), strict=True):
                column[refused] = part[: groups.size][refused[groups]]
    return columns


def settled_rows(
    fallback: Callable[..., Any],
    points: np.ndarray,
    candidates: np.ndarray,
    bandwidth: np.ndarray | None,
    *,
    mesh: Mesh | None,
    kernel: KernelName,
) -> Iterator[tuple[np.ndarray, tuple[np.ndarray, ...]]]:
    """Weights, residual, violation and flags of the points of a cloud on their candidates.

    Args:
        fallback: the program in float64, of a cloud, rows, their candidates and bandwidths.
        points: the cloud ``[n, d]`` float32.
        candidates: rows of the cloud ``[n, k]``.
        bandwidth: of the Gaussian ``[n]``, or None.
        mesh: devices to spread the rows over; None for one.
        kernel: which kernel.

    Yields:
        Rows, and of them what ``fallback`` returns, on the host. The refused ones come once more
        at the end.
    """
    refused = []
    for rows, results in _rows_in_pairs(points, candidates, _split(bandwidth), mesh, kernel=kernel):
        refused.append(rows[np.asarray(results.refused)])
        yield rows, _columns(results)
    # The last batch may reach back.
    rows = np.unique(np.concatenate(refused)) if refused else np.empty(0, np.int64)
    for start in range(0, rows.size, ROWS_AT_ONCE):
        part = rows[start : start + ROWS_AT_ONCE]
        full = _filled(part)
        members, local = np.unique(np.append(full, candidates[full]), return_inverse=True)
        # Clouds of about one size share a compilation.
        cloud = np.pad(points[members], ((0, padded_size(members.size) - members.size), (0, 0)))
        own, near = local[: full.size], local[full.size :].reshape(full.size, -1)
        with on_host():
            width = None if bandwidth is None else bandwidth[full]
            again = fallback(cloud, own, near, width, kernel=kernel)
            yield part, tuple(np.asarray(column)[: part.size] for column in again)


def _rows_in_pairs(
    points: np.ndarray,
    candidates: np.ndarray,
    bandwidth: np.ndarray | None,
    mesh: Mesh | None,
    *,
    kernel: KernelName,
) -> Iterator[tuple[np.ndarray, PairWeights]]:
    if mesh is not None:
        yield from call_on_rows(
            row_weights,
            points,
            candidates,
            bandwidth,
            mesh=mesh,
            at_once=ROWS_AT_ONCE,
            kernel=kernel,
        )
        return
    cloud = jnp.asarray(np.pad(points, ((0, padded_size(len(points)) - len(points)), (0, 0))))

    def solve(rows: np.ndarray) -> PairWeights:
        width = None if bandwidth is None else bandwidth[rows]
        results = row_weights(cloud, rows, candidates[rows], width, kernel=kernel)
        return jax.tree.map(np.asarray, results)

    batches = row_batches(len(points), at_once=ROWS_AT_ONCE)
    calls = [partial(solve, rows) for rows in batches]
    yield from zip(batches, in_order(calls, workers=workers_for(None)), strict=True)


def settled_kernels(
    kernel: np.ndarray, target: np.ndarray, mask: np.ndarray, own: np.ndarray
) -> tuple[tuple[np.ndarray, ...], np.ndarray]:
    """Solve regressions of which the kernel matrices are known; what is refused means nothing.

    Args:
        kernel: ``[b, k, k]`` float64.
        target: ``[b, k]``.
        mask: which candidates count ``[b, k]`` bool.
        own: kernel of the points with themselves ``[b]``.

    Returns:
        Weights ``[b, k]``, residual, violation and exchanges ``[b]``, and which points are
        refused ``[b]`` bool.
    """
    parts = []
    for start in range(0, len(target), _BLOCK):
        rows = np.arange(start, min(start + _BLOCK, len(target)))
        full = _filled(rows)
        columns = (split_float64(c[full]) for c in (kernel, target, own))
        results = solve_kernels(*columns, mask[full])
        parts.append(jax.tree.map(lambda c, n=rows.size: np.asarray(c)[:n], results))
    theta, residual, kkt, pivots, refused = jax.tree.map(lambda *c: np.concatenate(c), *parts)
    columns = join_float64(theta), join_float64(residual), kkt.astype(np.float64), pivots
    return columns, refused


@jax.jit
def solve_kernels(kernel: Pair, target: Pair, own: Pair, mask: jax.Array) -> Any:
    """Solve regressions in pairs: ``[b, k, k]``, ``[b, k]``, ``[b]`` and ``[b, k]`` bool."""
    problem = reduce_kernel(
        kernel.map(to_lanes), target.map(to_lanes), to_lanes(mask), own.map(to_lanes)
    )
    results = solve_in_pairs(problem)
    return results._replace(
        theta=results.theta.map(from_lanes, axes=1),
        residual=results.residual.map(from_lanes, axes=0),
        kkt=from_lanes(results.kkt, 0),
        pivots=from_lanes(results.pivots, 0),
        refused=from_lanes(results.refused, 0),
    )


def _columns(results: PairWeights) -> tuple[np.ndarray, ...]:
    """Weights, residual, violation and flags as the programs in float64 give them."""
    theta = join_float64(results.theta)
    weights = np.where(theta > SUPPORT_WEIGHT, theta, 0)
    kkt = np.asarray(results.kkt, np.float64)
    return weights, join_float64(results.residual), kkt, np.array(results.resolved)


def _split(bandwidth: np.ndarray | None) -> np.ndarray | None:
    """High and low parts of bandwidths, in one more axis."""
    return None if bandwidth is None else np.stack(split_float64(bandwidth), axis=-1)


def _filled(rows: np.ndarray) -> np.ndarray:
    """Rows filled up with the last to a power of two, so that few shapes compile."""
    return np.pad(rows, (0, (1 << (rows.size - 1).bit_length()) - rows.size), mode="edge")
