"""Local PCA where the candidates of a point are all other members of its group.

Leaving one point out takes a rank-one term off the scatter of its group,
``S_i = S - n / (n - 1) y_i y_i'``. One decomposition a group then serves all its points: the
eigenvalues of S_i lie between those of S, one in each gap, where
``1 = n / (n - 1) sum_t y_it^2 / (l_t - x)``.
"""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from mgm_jax.geometry.local.spectrum import centred_gram
from mgm_jax.geometry.nnk.kernel import COINCIDENT

# Halvings of the gaps. What follows the last direction is then known to 2^-10 of the eigenvalue
# that decides, so that about one point in 1000 is left in doubt.
_HALVINGS = 10
_TAIL_STEP = 8
# Where this share of the scatter or less is left, its sums have lost too many digits.
_MIN_LEFT = 1e-3


class LeftOut(NamedTuple):
    """Local PCA of n points, each from the other members of its group.

    Attributes:
        pca_dimension: directions that hold the share of the variance ``[n]`` int32.
        pca_participation_ratio: effective number of directions ``[n]`` float64.
        certain: whether both are known for sure ``[n]`` bool; a point for which they are not
            needs the spectrum itself.
    """

    pca_dimension: jax.Array
    pca_participation_ratio: jax.Array
    certain: jax.Array


def left_out_pca(
    gram: jax.Array,
    mask: jax.Array,
    squared_lengths: jax.Array,
    values: jax.Array,
    coordinates: jax.Array,
    threshold: jax.Array | float,
    *,
    tail: int | None = None,
) -> LeftOut:
    """Local dimension and participation ratio of all points of one group; pure.

    The fewest directions that hold a share of the variance are those after which the rest is left.
    Of the rest the last eigenvalues are bracketed by bisection in float32, and the dimension
    counts as certain where both ends of all brackets lead to it.

    Args:
        gram: Gram matrix of the group about its mean, ``[m, m]`` float64, 0 where masked.
        mask: which rows are points, ``[m]`` bool.
        squared_lengths: of the points before the mean was taken off, ``[m]``.
        values: squared lengths along the principal axes of the group, descending ``[r]``.
        coordinates: of the points along these axes, ``[m, r]``.
        threshold: share of the variance that the dimension explains, in (0, 1].
        tail: how many of the last eigenvalues to look at, from :func:`tail_length`; None for all.

    Returns:
        The two numbers of every point, and where they are certain.

    Reference:
        G. H. Golub, "Some modified matrix eigenvalue problems", SIAM Review 15, 1973, section 5.
    """
    count = jnp.sum(mask)
    ratio = count / jnp.maximum(count - 1, 1)
    own = jnp.diagonal(gram)
    trace, squares = jnp.sum(own), jnp.sum(gram * gram)
    left = trace - ratio * own
    left_squares = squares - 2 * ratio * jnp.sum(gram * gram, axis=1) + (ratio * own) ** 2
    smallest = jnp.maximum(_MIN_LEFT * trace, COINCIDENT * jnp.sum(squared_lengths))
    enough = (left > smallest) & (left_squares > _MIN_LEFT**2 * squares)
    tail = values.size if tail is None else tail
    low, high = _bracket(values, ratio * coordinates**2, tail=tail)
    scale = jnp.where(values[0] > 0, values[0], 1)
    rest = ((1 - threshold) * left / scale)[:, None]
    # Rounding of the terms in float32; a bracket may be off by that much.
    slack = 8 * mask.size * float(jnp.finfo(jnp.float32).eps)
    surely_short = _sums_from(low) - slack > rest
    maybe_short = _sums_from(high) + slack > rest
    first = values.size - tail
    most = first + jnp.sum(maybe_short, axis=1, dtype=jnp.int32)
    least = first + jnp.sum(surely_short, axis=1, dtype=jnp.int32)
    # Of fewer directions than those before the tail nothing is known but that they are too few.
    enough &= surely_short[:, 0]
    # One candidate alone has no spread.
    several = count > 2
    return LeftOut(
        jnp.where(several, most, 0),
        jnp.where(several, left**2 / jnp.where(enough, left_squares, 1), 0),
        ~several | (enough & (least == most)),
    )


def tail_length(gram: np.ndarray, values: np.ndarray, threshold: float) -> int:
    """How many of the last eigenvalues decide the dimensions of all points of groups, on the host.

    The eigenvalues of all but one member lie between those of the group, so those of the group
    alone tell which numbers of directions are too few.

    Args:
        gram: Gram matrices of the groups about their means, ``[g, m, m]``.
        values: squared lengths along the principal axes, descending ``[g, r]``.
        threshold: share of the variance that the dimension explains.

    Returns:
        A multiple of 8, so that few programs compile, or r.

    Example:
        >>> tail_length(np.eye(40)[None], np.ones((1, 39)), 0.9)
        8
    """
    count = values.shape[1]
    trace = np.trace(gram, axis1=1, axis2=2)
    most_left = (1 - threshold) * trace
    slack = 8 * gram.shape[1] * float(np.finfo(np.float32).eps)
    # Sums of what follows d + 1 values: the least that d directions leave.
    beyond = np.cumsum(values[:, ::-1], axis=1)[:, ::-1]
    least_left = np.pad(beyond[:, 1:], ((0, 0), (0, 1)))
    short = least_left > most_left[:, None] + 2 * slack * values[:, :1]
    # Groups without spread, and those that fill a batch up, decide nothing.
    certain = int(short.sum(axis=1)[trace > 0].min(initial=count)) - 1
    return min(count, -(-(count - max(certain, 0)) // _TAIL_STEP) * _TAIL_STEP)


def _sums_from(values: jax.Array) -> jax.Array:
    """Sums of values ``[m, r]`` from each on."""
    return jnp.cumsum(values[:, ::-1], axis=1)[:, ::-1]


def _bracket(values: jax.Array, squares: jax.Array, *, tail: int) -> tuple[jax.Array, jax.Array]:
    """Bounds of the last eigenvalues of ``diag(values) - z z'`` over the largest value.

    Args:
        values: descending, ``[r]``.
        squares: ``z^2`` of every point, ``[m, r]``.
        tail: how many of the last.

    Returns:
        Bounds ``[m, tail]`` float32, descending.
    """
    scale = jnp.where(values[0] > 0, values[0], 1)
    poles = (values / scale).astype(jnp.float32)
    weights = (squares / scale).astype(jnp.float32)
    above = jnp.broadcast_to(poles[-tail:], (len(squares), tail))
    below = jnp.broadcast_to(jnp.append(poles, 0)[-tail:], above.shape)

    def halve(_: int, ends: tuple[jax.Array, jax.Array]) -> tuple[jax.Array, jax.Array]:
        low, high = ends
        middle = (low + high) / 2
        gap = poles - middle[:, :, None]
        pull = jnp.sum(weights[:, None] / jnp.where(gap == 0, 1e-30, gap), axis=2)
        # The sum grows from minus to plus infinity within a gap, and is 1 at the eigenvalue.
        return jnp.where(pull < 1, middle, low), jnp.where(pull < 1, high, middle)

    return lax.fori_loop(0, _HALVINGS, halve, (below, above))


def left_out_grams(gram: np.ndarray, mask: np.ndarray, positions: np.ndarray) -> np.ndarray:
    """Centred Gram matrices of all members of their group but one, on the host.

    Args:
        gram: Gram matrices of the groups of b points, ``[b, m, m]``.
        mask: which rows of them are points, ``[b, m]`` bool.
        places: of the points to leave out, ``[b]``.

    Returns:
        ``[b, m, m]``, 0 at the point.
    """
    rows = np.arange(len(positions))
    own = gram[rows, positions]
    differences = gram - own[:, :, None] - own[:, None, :] + own[rows, positions][:, None, None]
    return centred_gram(differences, mask & (np.arange(mask.shape[1]) != positions[:, None]))
