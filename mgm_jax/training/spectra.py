"""Eigenvalues of a cloud in float32, centred and not, from one tridiagonal matrix.

In a basis whose first vector points along the mean m, the uncentred second moment is the scatter
with ``n |m|^2`` added to its first entry. Householder reflections that leave the first vector alone
make the scatter tridiagonal, so both spectra are those of one tridiagonal matrix with two different
first entries. That is what makes a collapse visible in float32: a mean a thousand times longer than
the spread is one entry of the matrix and rounds nothing else.
"""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

from mgm_jax.training.tridiagonal import tridiagonal

# Bisections on a logarithmic scale from the largest eigenvalue to the rounding of the matrix: the
# ratio of the two, up to 1e13 under a long mean, leaves less than 1e-3 of an eigenvalue.
_BISECTIONS = 16


class Spectra(NamedTuple):
    """Eigenvalues of the ``r = min(n, d)`` directions of a cloud, descending.

    Attributes:
        squares: squared singular values of the points as they are, ``[r]``.
        scatter: those of the centred points, ``[r]``.
    """

    squares: jax.Array
    scatter: jax.Array


def spectra(points: jax.Array) -> Spectra:
    """Squared singular values of points ``[n, d]``, and of the same points centred.

    Eigenvalues below the rounding of the scatter are 0.

    Example:
        >>> [round(float(v), 2) for v in spectra(jnp.eye(3)).squares]
        [1.0, 1.0, 1.0]
    """
    n, d = points.shape
    mean = points.mean(axis=0)
    # What the rounding of the mean leaves is taken off the centred points once more.
    centred = points - mean
    centred -= centred.mean(axis=0)
    if n < d:
        # The same in the space of the points, where the direction of the mean is that of ones.
        ones = jnp.full((n,), 1 / jnp.sqrt(n), points.dtype)
        rotated = _reflect(centred, ones, axis=0)
        rotated = rotated.at[0].set(jnp.sqrt(jnp.asarray(n, points.dtype)) * mean)
        gram = jnp.matmul(rotated, rotated.T, precision="highest")
        centred_gram = gram.at[0].set(0).at[:, 0].set(0)
        # Here the border of the matrix differs too, so the two are made tridiagonal one by one.
        return Spectra(_eigenvalues(*tridiagonal(gram)), _eigenvalues(*tridiagonal(centred_gram)))
    length = jnp.linalg.norm(mean)
    first = jnp.where(length > 0, mean / jnp.where(length > 0, length, 1), jnp.eye(1, d)[0])
    rotated = _reflect(centred, first.astype(points.dtype), axis=1)
    diagonal, side = tridiagonal(jnp.matmul(rotated.T, rotated, precision="highest"))
    shifted = diagonal.at[0].add(n * length**2)
    # Side by side: a step of the bisection is far too small to be worth a loop of its own.
    both = jax.vmap(_eigenvalues, in_axes=(0, None))(jnp.stack([shifted, diagonal]), side)
    return Spectra(both[0], both[1])


def _reflect(points: jax.Array, first: jax.Array, *, axis: int) -> jax.Array:
    """Points in a basis that begins with ``first`` (a unit vector), up to sign."""
    sign = jnp.where(first[0] >= 0, 1.0, -1.0).astype(first.dtype)
    vector = first.at[0].add(sign)
    scale = 2 / jnp.vdot(vector, vector)
    if axis == 1:
        return points - scale * jnp.outer(points @ vector, vector)
    return points - scale * jnp.outer(vector, vector @ points)


def _eigenvalues(diagonal: jax.Array, side: jax.Array) -> jax.Array:
    """Eigenvalues of a positive semi-definite tridiagonal matrix, descending, by bisection.

    All are sought at once: the number of negative pivots of ``T - x`` counts those below x.
    """
    r = diagonal.shape[0]
    dtype = diagonal.dtype
    reach = jnp.abs(jnp.concatenate([side, jnp.zeros(1, dtype)]))
    radius = reach + jnp.roll(reach, 1)
    largest = jnp.max(diagonal + radius)
    # Rounding of the reflections is relative to the matrix without its first entry.
    inner = jnp.max((diagonal + radius)[1:]) if r > 1 else largest
    smallest = jnp.maximum(jnp.finfo(dtype).eps * inner, jnp.finfo(dtype).tiny)
    rank = jnp.arange(r)
    squared = jnp.concatenate([jnp.zeros(1, dtype), side**2])

    def below(x: jax.Array) -> jax.Array:
        def pivot(state: tuple[jax.Array, jax.Array], entry: tuple[jax.Array, jax.Array]):
            previous, count = state
            value = entry[0] - x - entry[1] / previous
            value = jnp.where(value == 0, -jnp.finfo(dtype).tiny, value)
            return (value, count + (value < 0)), None

        start = (jnp.ones(r, dtype), jnp.zeros(r, jnp.int32))
        (_, count), _ = lax.scan(pivot, start, (diagonal, squared), unroll=16)
        return count

    def bisect(_: int, ends: tuple[jax.Array, jax.Array]) -> tuple[jax.Array, jax.Array]:
        low, high = ends
        middle = (low + high) / 2
        right = below(jnp.exp(middle).astype(dtype)) <= rank
        return jnp.where(right, middle, low), jnp.where(right, high, middle)

    ends = (jnp.full(r, jnp.log(smallest)), jnp.full(r, jnp.log(jnp.maximum(largest, smallest))))
    low, high = lax.fori_loop(0, _BISECTIONS, bisect, ends)
    values = jnp.exp((low + high) / 2)
    return jnp.where(below(jnp.full(r, smallest)) <= rank, values, 0)[::-1]
