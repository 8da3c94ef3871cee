"""Regressions of all points of a small group on all its other members, on a CPU.

The members share one kernel matrix, of which each point leaves its own row and column out, so that
no point needs a matrix of its own. And one inverse P of it has the solutions with all members in
the support: ``-P_ij / P_ii``. Where few of these are negative, pivoting starts there and takes
candidates out; the tableau of point i with all others inside is ``-P + P_i P_i' / P_ii``. Where
many are, it starts from the empty support.

Candidates that nearly coincide ask for an order among them and for a matrix for each point: their
groups are not for this module.
"""

from __future__ import annotations

from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.sharding import Mesh

from mgm_jax.geometry.backend.precision import double_precision
from mgm_jax.geometry.backend.wide import wide_arithmetic
from mgm_jax.geometry.nnk.kernel import COINCIDENT
from mgm_jax.geometry.nnk.pivot import Pivoted, blocks_of, decrease, pivot_on
from mgm_jax.geometry.nnk.solve import CERTIFIED, NnkSolution
from mgm_jax.parallel.spread_calls import call_on_groups

# Where at most this share of the weights is negative with all members inside, some more than that
# are to be taken out, and fewer than are to be taken in.
_FEW = 0.36
# An inverse with a larger entry has lost digits that refinement would have to find.
_LARGEST_INVERSE = 1e5
# Squared distance, in squared lengths, from which up neither points nor kernel values are alike.
_COPY = 8 * COINCIDENT
# Bytes of terms of the points that pivot together, and how many these are at most.
_CACHE, _MAX_LANES = 400_000, 32


class GroupKernels(NamedTuple):
    """What the regressions of all points of g groups of m members start from.

    Attributes:
        kernel: among the members ``[g, m, m]`` float64, 0 from or to a place that is no point.
        inverse: its inverse, or 0 where that does not help.
        outward: whether the supports start with all members inside ``[g]`` bool.
        mask: which places are points ``[g, m]`` bool.
        order: places ``[g, m]`` int32; neighbours in it ask for about as many pivots.
    """

    kernel: np.ndarray
    inverse: np.ndarray
    outward: np.ndarray
    mask: np.ndarray
    order: np.ndarray


def suits_left_out(kernel: str) -> bool:
    """Whether groups whose points have all others as candidates can go this way.

    Under a Gaussian the width is that of each point, and so is the kernel matrix.
    """
    return kernel == "cosine" and jax.default_backend() == "cpu" and wide_arithmetic() == "float64"


def solve_groups_left_out(
    gram: np.ndarray, squared_lengths: np.ndarray, mask: np.ndarray, mesh: Mesh | None
) -> tuple[np.ndarray, NnkSolution, np.ndarray]:
    """Regress all points of groups on the unit sphere on the others of their group.

    Args:
        gram: Gram matrices of the groups about any origin, ``[g, m, m]`` float64.
        squared_lengths: of the points, ``[g, m]``; what counts as equal is relative to them.
        mask: which places are points, ``[g, m]`` bool.
        mesh: devices to spread the groups over; None for one.

    Returns:
        Squared distances ``[g, m, m]``; the solution, weights ``[g, m, m]`` by place; and which
        groups it settles, ``[g]`` bool: of the others it means nothing.
    """
    distance = host_distances(gram)
    with double_precision():
        kernels = group_kernels(distance, mask)
        solution = call_on_groups(_solve_groups, *kernels, mesh=mesh)
    refused = (solution.fallback & mask).any(axis=1)
    return distance, solution, are_apart(distance, mask, squared_lengths) & ~refused


def host_distances(gram: np.ndarray) -> np.ndarray:
    """Squared distances from Gram matrices ``[..., m, m]``, as ``squared_distances`` in NumPy."""
    own = np.diagonal(gram, axis1=-2, axis2=-1)
    squared = own[..., :, None] + own[..., None, :]
    squared -= 2 * gram
    np.maximum(squared, 0, out=squared)
    places = np.arange(gram.shape[-1])
    squared[..., places, places] = 0
    return squared


def group_kernels(distance: np.ndarray, mask: np.ndarray) -> GroupKernels:
    """Shifted cosines of groups from squared distances ``[g, m, m]``, and inverses of use."""
    from scipy.linalg import get_lapack_funcs

    m = mask.shape[1]
    places = np.arange(m)
    both = mask[:, :, None] & mask[:, None, :]
    # As shifted_cosine, but in NumPy.
    kernel = np.where(both, 1 - distance / 4, 0)
    kernel[:, places, places] = 1
    inverse = np.zeros_like(kernel)
    potrf, potri = get_lapack_funcs(("potrf", "potri"), (kernel,))
    for matrix, result in zip(kernel, inverse, strict=True):
        # A symmetric matrix is its own transpose, which is in the order that LAPACK wants.
        factor, failed = potrf(matrix.T, lower=1)
        if not failed:
            result[:], _ = potri(factor, lower=1, overwrite_c=1)
    own = np.diagonal(inverse, axis1=1, axis2=2).copy()
    lower = np.tril(inverse, -1)
    inverse = lower + lower.transpose(0, 2, 1)
    # Where the inverse is positive, a weight with all members inside is negative.
    negative = np.count_nonzero((inverse > 0) & both, axis=2)
    inverse[:, places, places] = own
    size, largest = mask.sum(axis=1), own.max(axis=1)
    outward = (largest > 0) & (largest < _LARGEST_INVERSE)
    outward &= negative.sum(axis=1) <= _FEW * size * (size - 1)
    inverse[~outward] = 0
    order = np.argsort(negative, axis=1, kind="stable").astype(np.int32)
    return GroupKernels(kernel, inverse, outward, mask, order)


def are_apart(distance: np.ndarray, mask: np.ndarray, squared_lengths: np.ndarray) -> np.ndarray:
    """Groups whose members are all so far apart that none counts as a copy of another, ``[g]``.

    Args:
        distance: squared distances in the groups ``[g, m, m]``.
        mask: which places are points ``[g, m]`` bool.
        squared_lengths: of the points ``[g, m]``.
    """
    others = mask[:, :, None] & mask[:, None, :] & ~np.eye(mask.shape[1], dtype=bool)
    nearest = np.where(others, distance, np.inf).min(axis=(1, 2))
    return nearest > _COPY * np.maximum(squared_lengths.max(axis=1), 1)


def solve_left_out(
    kernel: jax.Array, inverse: jax.Array, outward: jax.Array, mask: jax.Array, order: jax.Array
) -> NnkSolution:
    """Weights of all points of one group on its other members; pure, arguments as GroupKernels.

    Returns:
        Weights ``[m, m]`` float64 and the rest of the solution; ``fallback`` says whom the
        certificate refuses.
    """
    m = mask.shape[0]
    blocks, size = blocks_of(m)
    most = min(_MAX_LANES, max(4, _CACHE // (8 * m * blocks * (size + 1))))
    lanes = -(-m // -(-m // most))
    # The last points reach back to be as many as the others.
    starts = np.array([*range(0, m - lanes, lanes), m - lanes])
    own = order[starts[:, None] + np.arange(lanes)]
    parts = lax.map(partial(_solve_lanes, kernel, inverse, outward, mask), own)
    # Where in them each point is.
    lot = np.minimum(np.arange(m) // lanes, starts.size - 1)
    lane = jnp.asarray(lot * lanes + np.arange(m) - starts[lot])
    position = jnp.zeros_like(lane).at[order].set(lane)
    return jax.tree.map(lambda part: part.reshape(-1, *part.shape[2:])[position], parts)


def _solve_lanes(
    kernel: jax.Array,
    inverse: jax.Array,
    outward: jax.Array,
    mask: jax.Array,
    own: jax.Array,
) -> NnkSolution:
    m, lanes = mask.shape[0], own.shape[0]
    at_own = jnp.arange(m, dtype=jnp.int32) == own[:, None]
    allowed = mask & ~at_own & mask[own][:, None]
    target, term = kernel[own], inverse[own]
    scale = jnp.where(outward, 1 / jnp.sum(jnp.where(at_own, term, 0), axis=1), 0)
    matrix = jnp.where(outward, -inverse, kernel)
    diagonal = jnp.ones((lanes, m), kernel.dtype)
    all_inside = term * term * scale[:, None] - jnp.diagonal(inverse)
    begin = Pivoted(
        jnp.where(outward, -term * scale[:, None], target),
        jnp.where(outward, all_inside, diagonal),
        allowed & outward,
        jnp.zeros(lanes, jnp.int32),
        jnp.ones(lanes, bool),
    )

    def row_of(pivot: jax.Array) -> jax.Array:
        return matrix.at[pivot].get(mode="promise_in_bounds")

    pivoted, terms, scales = pivot_on(row_of, begin, diagonal, allowed, first=(term, -scale))
    inside = pivoted.inside

    def refine(theta: jax.Array) -> jax.Array:
        # The inverse that the tableau holds takes back the rounding of the one it came from.
        misfit = jnp.where(inside, target - theta @ kernel, 0)
        step = misfit @ matrix
        for part, factor in zip(terms, scales, strict=True):
            along = jnp.einsum("bmk,bk->bm", part, misfit) * factor
            step -= jnp.einsum("bm,bmk->bk", along, part)
        return theta - jnp.where(inside, step, 0)

    theta = jnp.where(inside, pivoted.value, 0)
    theta = jnp.maximum(lax.cond(outward, refine, lambda theta: theta, theta), 0)
    slope = theta @ kernel - target
    kkt = jnp.max(jnp.where(allowed, jnp.abs(jnp.minimum(theta, slope)), 0), axis=1)
    reproduced = jnp.sum(jnp.where(allowed, theta * (target - slope), 0), axis=1)
    missing = decrease(-slope, pivoted.slack, jnp.zeros_like(inside), diagonal, allowed & ~inside)
    bound = CERTIFIED * (1 + jnp.sum(theta, axis=1))
    beyond = jnp.abs(jnp.minimum(theta, slope)) > bound[:, None]
    refused = pivoted.active | jnp.any(((missing >= 0) | inside) & beyond, axis=1)
    return NnkSolution(theta, jnp.maximum(1 - reproduced, 0), kkt, pivoted.pivots, refused)


@jax.jit
def _solve_groups(*kernels: jax.Array) -> NnkSolution:
    return lax.map(lambda group: solve_left_out(*group), kernels)
