"""Count, mean and second moment of points that come in chunks, in float64.

A sum of squares less the square of a sum loses every digit where the mean is far from zero, as it
is for features after a ReLU. So the second moment is kept about the mean, and a chunk is added by
the mean's shift (Chan, Golub & LeVeque 1983).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from mgm_jax.errors import InputError
from mgm_jax.geometry.backend.exact_products import MAX_TERMS, column_products
from mgm_jax.geometry.backend.pairs import split_float64
from mgm_jax.geometry.backend.precision import double_precision
from mgm_jax.geometry.backend.wide import wide_arithmetic
from mgm_jax.geometry.points.checks import check_points

ROWS_AT_ONCE = 2048
"""Points that are widened to float64 together; bounds the memory beside the moments."""

EXACT_STEP = 256
"""Where float64 is slow, points multiplied together are filled up to a multiple of this."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Moments:
    """Moments of n points of d features.

    Whatever the chunks and their order, the result is the same up to the rounding of
    float64: about ``1e-16 (1 + |mean| / spread)`` of the scatter's trace.

    Attributes:
        count: n, at least 0.
        mean: ``[d]`` float64; zeros where n is 0.
        scatter: ``sum_i (x_i - mean)(x_i - mean)'``, ``[d, d]`` float64, symmetric.
    """

    count: int
    mean: np.ndarray
    scatter: np.ndarray

    @classmethod
    def empty(cls, features: int) -> Moments:
        """Moments of no points, to which chunks are added.

        >>> Moments.empty(2).add([[1.0, 0.0], [3.0, 0.0]]).mean.tolist()
        [2.0, 0.0]
        """
        return cls(count=0, mean=np.zeros(features), scatter=np.zeros((features, features)))

    @property
    def features(self) -> int:
        """Number of features, d."""
        return self.mean.size

    def add(self, chunk: Any) -> Moments:
        """Moments of these points and those of a chunk.

        Args:
            chunk: points ``[m, d]``, m at least 0, NumPy or JAX; taken as float32 or bfloat16.

        Raises:
            InputError: unusable points, or another number of features.
        """
        points = check_chunk(chunk, features=self.features)
        count, mean, scatter = self.count, self.mean, self.scatter.copy()
        for rows in row_blocks(points.shape[0]):
            wide = np.asarray(points[rows]).astype(np.float64)
            own = wide.mean(axis=0)
            wide -= own
            # Far from zero, the sum that makes the mean rounds; that of what is left does not.
            left = wide.mean(axis=0)
            wide -= left
            shift = own + left - mean
            total = count + len(wide)
            # The shift of the mean is one more point, so one product does both.
            between = shift * np.sqrt(count * len(wide) / total)
            scatter += products_of(np.concatenate([wide, between[None]]))
            mean = mean + shift * (len(wide) / total)
            count = total
        return Moments(count=count, mean=mean, scatter=scatter)

    def covariance(self) -> np.ndarray:
        """Unbiased covariance, the scatter over n - 1, ``[d, d]``.

        Raises:
            InputError: moments of fewer than two points.
        """
        return self.scatter / (self.needing(2).count - 1)

    def uncentred(self) -> np.ndarray:
        """``sum_i x_i x_i'``, ``[d, d]``: the squared singular values of the points as they are."""
        return self.scatter + self.count * np.outer(self.mean, self.mean)

    def needing(self, least: int) -> Moments:
        """These moments, refused where they are of fewer than ``least`` points.

        Raises:
            InputError: fewer points.
        """
        if self.count < least:
            raise InputError(
                f"moments must be of at least {least} points; got {self.count}. Add more chunks."
            )
        return self

    def __repr__(self) -> str:
        """Number of points and features, and the spread, in one line."""
        return (
            f"Moments({self.count} points, {self.features} features, "
            f"scatter's trace {np.trace(self.scatter):.4g})"
        )


def moments_of(x: Any) -> Moments:
    """Moments of points held in one array.

    Args:
        x: points ``[n, d]``, NumPy or JAX.

    Raises:
        InputError: unusable points.

    Example:
        >>> moments_of([[0.0, 1.0], [2.0, 1.0]]).covariance().tolist()
        [[2.0, 0.0], [0.0, 0.0]]
    """
    points = check_chunk(x, name="x")
    return Moments.empty(points.shape[1]).add(points)


def moments_of_chunks(chunks: Iterable[Any]) -> Moments:
    """Moments of points that come in chunks, one pass; a chunk is held at a time.

    Args:
        chunks: arrays ``[m, d]``, m may change from one to the next.

    Raises:
        InputError: unusable points, no chunks, or chunks of different width.

    Example:
        >>> moments_of_chunks(np.full((2, 3), value) for value in (0.0, 4.0)).mean.tolist()
        [2.0, 2.0, 2.0]
    """
    moments = None
    for chunk in chunks:
        points = check_chunk(chunk)
        moments = (moments or Moments.empty(points.shape[1])).add(points)
    if moments is None:
        raise InputError("chunks must hold at least one array of points; got none.")
    return moments


def check_chunk(
    chunk: Any, *, features: int | None = None, name: str = "chunk", cosine: bool = False
) -> jax.Array | np.ndarray:
    """Points of a chunk as ``check_points`` returns them; a single row, or none, will do.

    Raises:
        InputError: unusable points, or other than the expected number of features.
    """
    points = check_points(chunk, name=name, cosine=cosine, least=0)
    if features is not None and points.shape[1] != features:
        raise InputError(
            f"{name} must have {features} columns, as the points before; got {points.shape[1]}."
        )
    return points


def row_blocks(n: int) -> Iterator[slice]:
    """Slices of at most ``ROWS_AT_ONCE`` rows that cover n rows."""
    for start in range(0, n, ROWS_AT_ONCE):
        yield slice(start, min(start + ROWS_AT_ONCE, n))


def products_of(centred: np.ndarray) -> np.ndarray:
    """``sum_i c_i c_i'`` in float64, on the device.

    Float32 products would round at 1e-7 of the largest eigenvalue, and differently in every
    chunking.

    Args:
        centred: ``[m, d]`` float64.

    Returns:
        ``[d, d]`` float64, symmetric.
    """
    if wide_arithmetic() == "pairs":
        return _products_without_float64(centred)
    if jax.default_backend() == "cpu":
        # The same CPU either way, and NumPy's product of a matrix with its own transpose
        # computes one triangle only.
        return centred.T @ centred
    return products_on_device(centred)


def products_on_device(centred: np.ndarray) -> np.ndarray:
    """``products_of`` by a compiled float64 product, whatever the device."""
    with double_precision():
        product = np.asarray(_product(jnp.asarray(centred, jnp.float64)))
    return (product + product.T) / 2


@jax.jit
def _product(centred: jax.Array) -> jax.Array:
    return jnp.matmul(centred.T, centred, precision=jax.lax.Precision.HIGHEST)


def _products_without_float64(centred: np.ndarray) -> np.ndarray:
    """``products_of`` by exact products of digits; the host scales every column to below 1."""
    _, exponents = np.frexp(np.abs(centred).max(axis=0, initial=0))
    scaled = np.ldexp(centred, -exponents)
    products = np.zeros((centred.shape[1],) * 2)
    for start in range(0, len(scaled), MAX_TERMS):
        block = scaled[start : start + MAX_TERMS]
        # A few lengths, so that few programs compile.
        block = np.pad(block, ((0, -len(block) % EXACT_STEP), (0, 0)))
        for part in reversed(exact_products(split_float64(block))):
            products += np.asarray(part)
    return np.ldexp(products, exponents[:, None] + exponents)


exact_products = jax.jit(column_products)
"""Products of columns below 1 in three float32, as devices without float64 compute them."""
