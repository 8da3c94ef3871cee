"""The data of a logistic regression in the coordinates of the solver.

With C the centred features ``[n, d]`` and ``C'C = Q diag(l) Q'``, the solver works on ``Z = C Q``:
along each column every penalty s has its curvature ``l / 2 + s`` at hand (see ``path``), and the
norm of the weights, hence the penalty, is the same. Weights of features are ``W = Q P`` of a point
P, and of the intercept what undoes the mean.

=================  ================================================================================
features           how Q and Z are had
=================  ================================================================================
held, n >= d       ``eigh(C'C)``, ``Z = C Q``
held, n < d        ``eigh(CC') = U diag(l) U'``, ``Q = C'U / sqrt(l)``: W lies in the span of rows
in blocks, n >= d  ``C'C`` summed over blocks; Z is made a block at a time, never held
in blocks, n < d   ``CC'`` of pairs of blocks; ``Z = U sqrt(l)`` is held ``[n, n]``, Q never is
=================  ================================================================================
"""

from __future__ import annotations

from typing import NamedTuple, Protocol

import numpy as np
from jax.sharding import Mesh

from mgm_jax.geometry.cloud.moments import moments_of_chunks
from mgm_jax.probe.features import Features
from mgm_jax.probe.logistic.read import ReadRows
from mgm_jax.probe.logistic.row_gram import mean_of, products_of_rows, real_eigenvalues
from mgm_jax.probe.logistic.rows import HeldRows, Rows, filled

# Columns are filled up to a multiple: encoders differ in their rank.
_COLUMNS = 64


class Basis(Protocol):
    """Orthonormal directions of feature space, ``[d, r]``."""

    def weights(self, points: np.ndarray) -> np.ndarray:
        """Weights of features ``[s, d, c]`` from points ``[s, r, c]``."""
        ...

    def point(self, weights: np.ndarray) -> np.ndarray:
        """Point ``[r, c]`` from weights of features ``[d, c]``."""
        ...


class Problem(NamedTuple):
    """The data in the coordinates of the solver.

    Attributes:
        data: centred features along the basis, a column for the intercept, and columns of zeros,
            ``[n', r']``; with the class of every row.
        squares: eigenvalues of the centred ``X'X``, ``[r]`` float64.
        basis: its eigenvectors ``[d, r]``.
        mean: of the features, ``[d]`` float64.
        rows: n.
        classes: c.
    """

    data: Rows
    squares: np.ndarray
    basis: Basis
    mean: np.ndarray
    rows: int
    classes: int


def prepare(
    x: np.ndarray | Features,
    codes: np.ndarray,
    *,
    classes: int,
    mesh: Mesh | None = None,
    block_rows: int | None = None,
) -> Problem:
    """Centre and rotate features, once for all penalties.

    Args:
        x: features ``[n, d]``.
        codes: class of every row, ``[n]`` int, for multinomial regression; or 0 and 1
            ``[n, c]``, for c independent binary ones.
        classes: c.
        mesh: devices that share the rows; None for one.
        block_rows: rows that are read at a time; what is kept of the features is then ``[d, d]``,
            or ``[n, n]`` of fewer rows than features. None holds them all.

    Raises:
        InputError: features that cannot be read.
    """
    if block_rows is not None:
        return _read(Features.of(x), codes, classes, mesh, block_rows)
    held = x.whole() if isinstance(x, Features) else x
    n, d = held.shape
    mean = held.mean(axis=0, dtype=np.float64)
    centred = np.subtract(held, mean, out=np.empty((n, d), np.float32), casting="same_kind")
    values, basis = _wide_basis(centred) if n < d else _tall_basis(centred.T @ centred)
    z, truth = _filled(codes, n, values.size, mesh)
    np.matmul(centred, basis, out=z[:n, : values.size])
    return Problem(HeldRows(z, truth, mesh=mesh), values, _Held(basis), mean, n, classes)


def _read(
    x: Features, codes: np.ndarray, classes: int, mesh: Mesh | None, block_rows: int
) -> Problem:
    """The same without ever holding the features."""
    n, d = x.shape
    if n >= d:
        moments = moments_of_chunks(block for _, block in x.blocks(block_rows))
        values, basis = _tall_basis(moments.scatter.astype(np.float32))
        data = ReadRows(x, codes, mean=moments.mean, basis=basis, block_rows=block_rows, mesh=mesh)
        return Problem(data, values, _Held(basis), moments.mean, n, classes)
    mean = mean_of(x, block_rows)
    gram = products_of_rows(x, mean, block_rows)
    values, vectors = real_eigenvalues(*np.linalg.eigh(gram), size=n)
    z, truth = _filled(codes, n, values.size, mesh)
    z[:n, : values.size] = vectors * np.sqrt(values)
    basis = _InRows(x, mean, vectors / np.sqrt(values), block_rows)
    return Problem(HeldRows(z, truth, mesh=mesh), values, basis, mean, n, classes)


def _filled(
    codes: np.ndarray, n: int, rank: int, mesh: Mesh | None
) -> tuple[np.ndarray, np.ndarray]:
    """Room for rows in the coordinates of the problem, and their codes."""
    rows, width = filled(n, parts=1 if mesh is None else mesh.size), rank + 1
    z = np.zeros((rows, width + -width % _COLUMNS), np.float32)
    z[:n, rank] = 1
    truth = np.full((rows, *codes.shape[1:]), -1, np.int32)
    truth[:n] = codes
    return z, truth


def _wide_basis(centred: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Of fewer rows than features."""
    wide = centred.astype(np.float64)
    values, vectors = real_eigenvalues(*np.linalg.eigh(wide @ wide.T), size=len(wide))
    return values, ((wide.T @ vectors) / np.sqrt(values)).astype(np.float32)


def _tall_basis(scatter: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Any orthonormal basis states the same problem, so that float32 will do."""
    values, basis = np.linalg.eigh(scatter)
    return np.maximum(values, 1e-7 * max(values[-1], 0)).astype(np.float64), basis


class _Held:
    """A basis in memory."""

    def __init__(self, matrix: np.ndarray) -> None:
        self._matrix = matrix

    def weights(self, points: np.ndarray) -> np.ndarray:
        return np.einsum("dr,src->sdc", self._matrix, points, optimize=True)

    def point(self, weights: np.ndarray) -> np.ndarray:
        return self._matrix.T @ weights


class _InRows:
    """A basis ``X' A`` that is as large as the features, known by the shares of the rows."""

    def __init__(self, x: Features, mean: np.ndarray, shares: np.ndarray, block_rows: int) -> None:
        self._x, self._mean, self._shares, self._rows = x, mean, shares, block_rows

    def weights(self, points: np.ndarray) -> np.ndarray:
        lanes, rank, classes = points.shape
        beside = points.transpose(1, 0, 2).reshape(rank, -1)
        total = np.zeros((self._mean.size, lanes * classes))
        for rows, block in self._x.blocks(self._rows):
            total += (block - self._mean).T @ (self._shares[rows] @ beside)
        wide = total.reshape(-1, lanes, classes).transpose(1, 0, 2)
        return np.ascontiguousarray(wide, np.float32)

    def point(self, weights: np.ndarray) -> np.ndarray:
        total = np.zeros((self._shares.shape[1], weights.shape[1]))
        for rows, block in self._x.blocks(self._rows):
            total += self._shares[rows].T @ ((block - self._mean) @ weights)
        return total.astype(np.float32)
