"""Regressions in pairs of float32 from squared distances, or from kernel matrices."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np

from mgm_jax.geometry.backend import pairs
from mgm_jax.geometry.backend.pairs import EPSILON, ZERO, Pair
from mgm_jax.geometry.nnk.in_pairs.exponential import exp
from mgm_jax.geometry.nnk.in_pairs.pivot import diagonal_of
from mgm_jax.geometry.nnk.in_pairs.solve import Reduced

# Kernel values that differ by less are of candidates that coincide: 2^-46 of a squared distance.
_COINCIDENT = 2.0**-45


def reduce_cosine(among: Pair, to_point: Pair, mask: jax.Array) -> Reduced:
    """Regressions under the shifted cosine from squared distances on the unit sphere.

    With ``t = d^2 / 4``, ``1 - t_jl - (1 - t_j)(1 - t_l) = t_j + t_l - t_jl - t_j t_l``: what
    is small comes from small numbers alone.

    Args:
        among: squared distances between candidates, pairs ``[k, k, *b]``.
        to_point: from candidates to the point, pairs ``[k, *b]``.
        mask: which candidates count ``[k, *b]`` bool.
    """
    one = pairs.constant(1, to_point.high)
    quarter, own_quarter = pairs.scale(among, 0.25), pairs.scale(to_point, 0.25)
    both = pairs.add(own_quarter[:, None], own_quarter[None])
    rest = pairs.add(quarter, pairs.multiply(own_quarter[:, None], own_quarter[None]))
    matrix = pairs.subtract(both, rest)
    largest = jnp.max(jnp.where(mask, own_quarter.high, 0), axis=0)
    own = one[0]
    return Reduced(
        matrix,
        pairs.subtract(one, own_quarter),
        own,
        mask,
        repeats(among.high == 0, mask),
        to_point.high == 0,
        # Of unit vectors that are known to 2^-46, and of squares of their differences.
        4 * EPSILON * (largest + jnp.sqrt(largest)),
    )


def reduce_gaussian(
    among: Pair, to_point: Pair, mask: jax.Array, bandwidth: Pair | None
) -> Reduced:
    """Regressions under a Gaussian from squared distances.

    Args:
        among: squared distances between candidates, pairs ``[k, k, *b]``.
        to_point: from candidates to the point, pairs ``[k, *b]``.
        mask: which candidates count ``[k, *b]`` bool.
        bandwidth: in the unit of the distances, pairs ``[*b]``; None for the distance of the
            farthest candidate.
    """
    one = pairs.constant(1, to_point.high[0])
    if bandwidth is None:
        square = farthest(to_point, mask)
        square = pairs.where(square.high > 0, square, one)
        shares = [pairs.divide(squared, square) for squared in (among, to_point)]
    else:
        shares = [
            pairs.divide(pairs.divide(squared, bandwidth), bandwidth)
            for squared in (among, to_point)
        ]
    values, target = (exp(pairs.scale(share, np.float32(-0.5))) for share in shares)
    results = reduce_kernel(values, target, mask, one)
    # A kernel value moves with the rounding of its exponent.
    largest = jnp.max(jnp.where(mask, shares[1].high, 0), axis=0)
    return results._replace(
        repeated=repeats(among.high == 0, mask),
        at_point=to_point.high == 0,
        rounding=4 * EPSILON * (1 + largest),
    )


def farthest(to_point: Pair, mask: jax.Array) -> Pair:
    """Squared distance of the farthest candidate, pairs ``[*b]``; 0 where all are at the point."""
    high = jnp.max(jnp.where(mask, to_point.high, 0), axis=0)
    low = jnp.max(jnp.where(mask & (to_point.high == high), to_point.low, -jnp.inf), axis=0)
    return Pair(high, jnp.where(jnp.isfinite(low), low, 0))


def reduce_kernel(kernel: Pair, target: Pair, mask: jax.Array, own: Pair) -> Reduced:
    """Regressions from kernel matrices ``[k, k, *b]``, targets ``[k, *b]`` and K_ii ``[*b]``."""
    kernel = pairs.where(mask[:, None] & mask[None], kernel, ZERO)
    target = pairs.where(mask, target, ZERO)
    diagonal = kernel.map(diagonal_of)
    share = pairs.divide(target, own.map(lambda part: part[None]))
    matrix = pairs.subtract(kernel, pairs.multiply(target[:, None], share[None]))
    gap = pairs.subtract(pairs.add(diagonal[:, None], diagonal[None]), pairs.scale(kernel, 2))
    to_point = pairs.subtract(
        pairs.add(diagonal, own.map(lambda part: part[None])), pairs.scale(target, 2)
    )
    return Reduced(
        matrix,
        target,
        own,
        mask,
        repeats(gap.high <= _COINCIDENT * diagonal.high[:, None], mask),
        to_point.high <= _COINCIDENT * own.high,
        EPSILON * jnp.max(diagonal.high, axis=0),
    )


def repeats(near: jax.Array, mask: jax.Array) -> jax.Array:
    """Which candidates ``[k, *b]`` coincide with an earlier one; ``near`` says which do."""
    earlier = np.tril(np.ones(near.shape[:2], bool), -1)
    earlier = earlier.reshape(*earlier.shape, *[1] * (near.ndim - 2))
    return jnp.any(near & earlier & mask[:, None] & mask[None], axis=1)
