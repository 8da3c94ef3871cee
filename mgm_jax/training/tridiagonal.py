"""A symmetric matrix made tridiagonal on every backend, the first basis vector left as it is."""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jax import lax


def tridiagonal(matrix: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Diagonal ``[r]`` and side ``[r - 1]``, up to sign, with the eigenvalues of ``[r, r]``.

    Householder reflections that leave the first basis vector alone. XLA has LAPACK's ``sytrd`` for
    them on CPUs and its likes on GPUs; for TPUs, where it has nothing, :func:`by_reflections`.

    Example:
        >>> diagonal, side = tridiagonal(jnp.eye(3))
        >>> diagonal.tolist(), jnp.abs(side).tolist()
        ([1.0, 1.0, 1.0], [0.0, 0.0])
    """
    if matrix.shape[0] < 3:
        return jnp.diagonal(matrix), jnp.diagonal(matrix, 1)

    def by_library(matrix: jax.Array) -> tuple[jax.Array, jax.Array]:
        diagonal, side = lax.linalg.tridiagonal(matrix, lower=True)[1:3]
        return diagonal, side

    return lax.platform_dependent(matrix, tpu=by_reflections, default=by_library)


def by_reflections(matrix: jax.Array) -> tuple[jax.Array, jax.Array]:
    """:func:`tridiagonal` as a loop over the columns, each one product and one change of rank 2.

    Sums are those of vector arithmetic: a product of the matrix unit would round more.
    Reference: Golub and Van Loan (2013), Matrix computations, algorithm 8.3.1.
    """
    r = matrix.shape[0]
    row = jnp.arange(r)

    def eliminate(k: jax.Array, state: tuple[jax.Array, jax.Array]) -> tuple[jax.Array, jax.Array]:
        matrix, side = state
        column = jnp.where(row > k, matrix[k], 0)
        # To scale, so that no square of a small entry vanishes.
        largest = jnp.max(jnp.abs(column))
        vector = column / jnp.where(largest > 0, largest, 1)
        length = jnp.sqrt(jnp.sum(vector**2))
        vector = jnp.where(row == k + 1, vector + jnp.copysign(length, vector), vector)
        squared = jnp.sum(vector**2)
        factor = jnp.where(squared > 0, 2 / squared, 0)
        # By columns of a symmetric matrix: the sums run over the rows.
        image = jnp.where(row > k, factor * jnp.sum(matrix * vector[:, None], axis=0), 0)
        image -= factor / 2 * jnp.sum(image * vector) * vector
        matrix -= vector[:, None] * image + image[:, None] * vector
        return matrix, side.at[k].set(length * largest)

    # Made from the data, so that under shard_map all parts of the state vary alike.
    matrix, side = lax.fori_loop(0, r - 1, eliminate, (matrix, jnp.zeros_like(matrix[0, 1:])))
    return jnp.diagonal(matrix), side
