"""Programs of NNK graphs for devices whose float64 is slow: points in, pairs out.

They take and give what their twins in float64 do (``_group_weights`` and ``_row_weights`` of the
graph), with pairs for the numbers and a column more, which points are refused.
"""

from __future__ import annotations

from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from mgm_jax.geometry.backend.pairs import EPSILON, Pair
from mgm_jax.geometry.nnk.in_pairs.distances import (
    PairCandidates,
    chosen_in_groups,
    from_lanes,
    gathered,
    group_distances,
    nearest_in_groups,
    to_lanes,
)
from mgm_jax.geometry.nnk.in_pairs.reduce import reduce_cosine, reduce_gaussian
from mgm_jax.geometry.nnk.in_pairs.solve import PairSolution, solve_in_pairs
from mgm_jax.geometry.nnk.kernel import COINCIDENT, SEEN, KernelName

ROWS_AT_ONCE = 1024
"""Points of a large group that are worked on together: those that fill the tiles of a TPU."""


class PairWeights(NamedTuple):
    """What a graph keeps of b points of k candidates.

    Attributes:
        theta: weights, pairs ``[b, k]``.
        residual: pairs ``[b]``.
        kkt: violation of the optimality conditions ``[b]`` float32.
        resolved: whether the points say enough for the weights ``[b]`` bool.
        refused: whether the point is to be solved in float64 ``[b]`` bool.
    """

    theta: Pair
    residual: Pair
    kkt: jax.Array
    resolved: jax.Array
    refused: jax.Array


@partial(jax.jit, static_argnames=("k", "kernel"))
def group_weights(
    points: jax.Array,
    mask: jax.Array,
    wanted: jax.Array,
    bandwidth: jax.Array | None,
    *,
    k: int,
    kernel: KernelName,
) -> tuple[jax.Array, PairWeights]:
    """NNK graphs of small groups.

    Args:
        points: ``[g, m, d]`` float32.
        mask: which rows are points ``[g, m]`` bool.
        wanted: candidates of every point ``[g]`` int.
        bandwidth: of the Gaussian, high and low parts ``[g, m, 2]``, or None.
        k: columns of the result.
        kernel: which kernel.

    Returns:
        Places of the candidates ``[g, m, k]`` int32, -1 for nobody; and the weights, ``[g, m]``
        points each.
    """
    g, m, _ = points.shape
    distances = group_distances(points, mask, normalize=kernel == "cosine")
    positions, real, blurred = nearest_in_groups(distances, mask, k=k, wanted=wanted)
    candidates = chosen_in_groups(distances, positions, real)
    unit = to_lanes(jnp.broadcast_to(distances.unit[:, None], (g, m)).reshape(-1))
    lengths = to_lanes(distances.squared_length.reshape(-1))
    results = _weights(
        candidates,
        None if bandwidth is None else width_in_pairs(bandwidth.reshape(-1, 2), unit),
        lengths,
        kernel=kernel,
        # Each squared distance is a sum of a few entries of the matrix.
        rounding=8 * EPSILON * lengths,
    )
    results = jax.tree.map(lambda part: part.reshape(g, m, *part.shape[1:]), results)
    return jnp.where(real, positions, -1), results._replace(refused=results.refused | blurred)


@partial(jax.jit, static_argnames="kernel")
def row_weights(
    points: jax.Array,
    rows: jax.Array,
    candidates: jax.Array,
    bandwidth: jax.Array | None,
    *,
    kernel: KernelName,
) -> PairWeights:
    """NNK of some points of a cloud on given candidates.

    Args:
        points: the cloud ``[n, d]`` float32.
        rows: the points ``[b]`` int.
        candidates: rows of the cloud ``[b, k]`` int.
        bandwidth: of the Gaussian, high and low parts ``[b, 2]``, or None.
        kernel: which kernel.
    """
    results, _, unit, lengths = gathered(points, rows, candidates, normalize=kernel == "cosine")
    width = None if bandwidth is None else width_in_pairs(bandwidth, unit)
    return _weights(results, width, lengths, kernel=kernel, rounding=0.0)


def width_in_pairs(bandwidth: jax.Array, unit: jax.Array) -> Pair:
    """Bandwidths ``[b, 2]`` in units ``[*b]``, powers of two."""
    return Pair(to_lanes(bandwidth[:, 0]) / unit, to_lanes(bandwidth[:, 1]) / unit)


def solve_candidates(
    candidates: PairCandidates, bandwidth: Pair | None, *, kernel: KernelName
) -> PairSolution:
    """Kernel regression of points on their candidates; bandwidth in their unit, ``[*b]``."""
    among, to_point, mask, blurred, _ = candidates
    if kernel == "cosine":
        problem = reduce_cosine(among, to_point, mask)
    else:
        problem = reduce_gaussian(among, to_point, mask, bandwidth)
    solution = solve_in_pairs(problem)
    return solution._replace(refused=solution.refused | blurred)


def _weights(
    candidates: PairCandidates,
    bandwidth: Pair | None,
    squared_length: jax.Array,
    *,
    kernel: KernelName,
    rounding: jax.Array | float,
) -> PairWeights:
    solution = solve_candidates(candidates, bandwidth, kernel=kernel)
    refused = solution.refused
    resolved = jnp.ones(refused.shape, bool)
    if kernel == "gaussian":
        resolved, unclear = _are_resolved(candidates, bandwidth, squared_length, rounding=rounding)
        refused |= unclear
    return PairWeights(
        solution.theta.map(from_lanes, axes=1),
        solution.residual.map(from_lanes, axes=0),
        from_lanes(solution.kkt, 0),
        from_lanes(resolved, 0),
        from_lanes(refused, 0),
    )


def _are_resolved(
    candidates: PairCandidates,
    bandwidth: Pair | None,
    squared_length: jax.Array,
    *,
    rounding: jax.Array | float,
) -> tuple[jax.Array, jax.Array]:
    """What ``are_resolved`` of the neighbourhood says, and where pairs blur more than float64."""
    among, to_point, mask, _, reach = candidates
    k = mask.shape[0]
    others = ~np.eye(k, dtype=bool).reshape(k, k, *[1] * (mask.ndim - 1))
    met = jnp.any(others & mask[:, None] & mask[None] & (among.high == 0), axis=(0, 1))
    met |= jnp.any(mask & (to_point.high == 0), axis=0)
    own_width = jnp.sqrt(jnp.where(reach > 0, reach, 1))
    width = own_width if bandwidth is None else bandwidth.high
    smallest = COINCIDENT * squared_length
    unclear = rounding / width / width > SEEN
    return ~(met & (jnp.sqrt(smallest) > SEEN * width)), unclear
