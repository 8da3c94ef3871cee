"""Squared distances of points in pieces of float32.

Every value is a sum of three: one on a coarse grid, one on a grid finer by some ten bits, and a
rest below it. Differences of the first two kinds are exact, and so are the sums of squares and of
products of such differences that matter: they are whole numbers of steps, and below 2^24. That
they stayed below it is seen at the end: sums of squares only grow, and bound the sums of products
(Cauchy and Schwarz, :func:`merged`). Only what is left, 2^-17 of the whole as a rule, is rounded,
so that a squared distance is known to some 2^-37 of what the grids were made for.
That is half as dear as keeping aside what each addition loses.

These are functions of tiles of 128 features, for XLA and for Pallas kernels alike.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from mgm_jax.geometry.backend import pairs

LANES = 128
"""Features of a tile."""

# Tiles of all candidates whose squares are added in one straight piece of a program.
_TILES = 4
# How much more than its part of a squared distance a lane of n features may hold: this over n and
# over its root; their sums vary less.
_HEADROOM = 12.0


class Plan(NamedTuple):
    """What is known of all points when the program is made.

    Attributes:
        features: their number.
        tiles: of 128 features, the last perhaps filled in part.
        finer: two to this is how many steps of the fine grid make one of the coarse.
    """

    features: int
    tiles: int
    finer: int


def plan_for(features: int) -> Plan:
    """What a program has to know of points with some number of features."""
    tiles = -(-features // LANES)
    return Plan(features, tiles, 13 - math.ceil(math.log2(tiles) / 2))


def profile_of(spread: jax.Array, plan: Plan) -> jax.Array:
    """Squares of the coarse steps for a squared distance of 1, lane by lane."""
    headroom = _HEADROOM / plan.tiles + _HEADROOM / math.sqrt(plan.tiles)
    return spread * np.float32(headroom * 2.0**-24)


class Steps(NamedTuple):
    """What rounds values to the two grids of a query, lane by lane.

    Attributes:
        coarse: adding and taking it off again rounds to the coarse grid.
        fine: likewise to the fine grid.
        square: one over the square of a coarse step.
    """

    coarse: jax.Array
    fine: jax.Array
    square: jax.Array


def exponents_of(profile: jax.Array, reach: jax.Array) -> jax.Array:
    """Exponents of the steps of the coarse grid: the least whose square is a product's, or more."""
    bits = lax.bitcast_convert_type(profile * reach, jnp.int32)
    # The product lies below two to the exponent that its bits say, less 126.
    return ((bits >> 23) - np.int32(126) + np.int32(1)) >> 1


def power_of_two(exponent: jax.Array) -> jax.Array:
    """Two to an exponent, from its bits."""
    return lax.bitcast_convert_type((exponent + np.int32(127)) << 23, jnp.float32)


def steps_of(exponent: jax.Array, finer: int) -> Steps:
    """Steps of the two grids, from exponents of the coarse one."""
    coarse = power_of_two(exponent) * np.float32(1.5 * 2.0**23)
    return Steps(coarse, coarse * np.float32(2.0**-finer), power_of_two(-2 * exponent))


def split(values: jax.Array, steps: Steps) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Values as sums of what is on the coarse grid, on the fine grid, and a rest; exact."""
    high = (values + steps.coarse) - steps.coarse
    rest = values - high
    middle = (rest + steps.fine) - steps.fine
    return high, middle, rest - middle


def _total(terms: list[jax.Array]) -> jax.Array:
    """Sum of a few terms, in pairs."""
    while len(terms) > 1:
        terms = [sum(terms[i + 1 : i + 2], start=terms[i]) for i in range(0, len(terms), 2)]
    return terms[0]


class Sums(NamedTuple):
    """Sums over the tiles of a lane; h on the coarse grid, m on the fine one, r the rest.

    Attributes:
        squares: of h^2.
        products: of h m.
        below: of (m + r)^2.
        crossed: of h r.
    """

    squares: jax.Array
    products: jax.Array
    below: jax.Array
    crossed: jax.Array


def sums_of(
    tiles: Sequence[jax.Array], of_query: Sequence[tuple[jax.Array, ...]], steps: Steps
) -> Sums:
    """Sums over tiles of one piece, of candidates and of what the query was split into."""
    terms: list[tuple[jax.Array, ...]] = []
    for tile, (high, middle, rest) in zip(tiles, of_query, strict=True):
        own_high, own_middle, own_rest = split(tile, steps)
        high, middle, rest = own_high - high, own_middle - middle, own_rest - rest
        below = middle + rest
        terms.append((high * high, high * middle, below * below, high * rest))
    return Sums(*(_total(list(column)) for column in zip(*terms, strict=True)))


def merged(sums: Sums, square: jax.Array, plan: Plan) -> tuple[jax.Array, jax.Array]:
    """Sums of a lane as a float32 and what it lacks, NaN where the sums may not be exact.

    With steps D and E, sums of h^2 are whole numbers of D^2, which only grow: those below 2^24
    never were above. Sums of h m are whole numbers of D E, by Cauchy and Schwarz at most
    sqrt(sum of h^2 times sum of m^2), which has to be below 2^24 of them; and sum of m^2 is at most
    (1 + 2^-6) sum of (m + r)^2 + (1 + 2^6) n E^2.
    """
    shrunk = 4.0**-plan.finer
    squares = sums.squares * (square * np.float32(2.0**-24))
    middle = sums.below * (square * np.float32(1.02)) + np.float32(66 * plan.tiles * shrunk)
    exact = (squares < 1) & (squares * middle < np.float32(0.98 * 2.0**24 * shrunk))
    whole, lost = pairs.two_sum(sums.squares, sums.products + sums.products)
    rests = sums.below + (sums.crossed + sums.crossed)
    whole, lost = pairs.two_sum(whole, lost + rests)
    return whole, jnp.where(exact, lost, np.float32(np.nan))


def summed(sums: jax.Array, aside: jax.Array) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Three numbers that add up to the sum of all lanes ``[..., 128]``, the first two exact.

    The third is of numbers below 2^-34 of the largest lane and 2^-24 of each, and adding 128 of
    them loses no more than 2^-17 of that, in whatever order.
    """
    largest = jnp.max(jnp.abs(sums), axis=-1, keepdims=True)
    bits = lax.bitcast_convert_type(largest, jnp.int32) & np.int32(0x7F800000)
    # Adding and taking off this number rounds to a grid of 2^-16 of the largest: 128 such
    # numbers have a sum of 24 bits.
    rounder = lax.bitcast_convert_type(bits, jnp.float32) * np.float32(384)
    first = (sums + rounder) - rounder
    rest = sums - first
    rounder = rounder * np.float32(2.0**-17)
    second = (rest + rounder) - rounder
    third = (rest - second) + aside
    first, second, third = (
        jnp.sum(part, axis=-1, keepdims=True) for part in (first, second, third)
    )
    return first, second, third


def pieces_of(plan: Plan) -> list[range]:
    """Tiles of features, a few at a time."""
    starts = range(0, plan.tiles, _TILES)
    return [range(start, min(start + _TILES, plan.tiles)) for start in starts]


def squared_in_xla(
    queries: jax.Array, near: jax.Array, exponents: jax.Array, plan: Plan
) -> tuple[jax.Array, ...]:
    """Squared distances of c rows to one query, or to as many: three parts, and what is rounded.

    Each is ``[c, 1]``.
    """
    steps = steps_of(exponents, plan.finer)

    def tile(values: jax.Array, t: int) -> jax.Array:
        part = values[:, t * LANES : min((t + 1) * LANES, plan.features)]
        return jnp.pad(part, ((0, 0), (0, LANES - part.shape[1])))

    nothing = jnp.zeros((near.shape[0], LANES), jnp.float32)
    sums = Sums(nothing, nothing, nothing, nothing)
    for piece in pieces_of(plan):
        of_query = [split(tile(queries, t), steps) for t in piece]
        fresh = sums_of([tile(near, t) for t in piece], of_query, steps)
        sums = Sums(*(a + b for a, b in zip(sums, fresh, strict=True)))
    squared = summed(*merged(sums, steps.square, plan))
    return *squared, jnp.sum(sums.below, axis=1, keepdims=True)
