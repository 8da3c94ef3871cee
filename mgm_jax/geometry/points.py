"""What every function of the geometry asks of its points: checks, normalisation, duplicates."""

from __future__ import annotations

from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np

from mgm_jax.errors import InputError, name_some

DuplicatePolicy = Literal["warn", "drop", "raise"]
"""What to do about rows that are equal bit for bit: keep and warn, drop the later ones, raise."""

_SUM_BLOCK = 64
# Smaller values lose digits in float32, and compilers take them for zero.
_SMALLEST = np.float32(np.finfo(np.float32).tiny)
_KEPT_DTYPES = (jnp.dtype(jnp.float32), jnp.dtype(jnp.bfloat16))


def check_points(x: Any, *, name: str = "x", cosine: bool = False) -> jax.Array | np.ndarray:
    """Return the points as a float32 or bfloat16 array, or say what is wrong with them.

    NumPy arrays stay NumPy arrays and JAX arrays stay where they are, sharded or not. float64,
    float16 and integers become float32; a value too large for float32 is reported as infinite.

    Args:
        x: points, shape ``[n, d]`` with ``n >= 2`` and ``d >= 1``.
        name: what the caller names the argument, for the error message.
        cosine: whether the points will be normalised, so that zero rows have no direction.

    Returns:
        The points ``[n, d]``, float32 or bfloat16.

    Raises:
        InputError: not numeric, not two axes, fewer than two rows, no columns, rows that hold
            NaN or infinity, or (``cosine``) rows of zeros; the first ten rows are named.

    Example:
        >>> check_points([[1, 2], [3, 4]]).dtype
        dtype('float32')
    """
    points = x if isinstance(x, jax.Array) else np.asarray(x)
    if points.ndim != 2:
        raise InputError(
            f"{name} must have two axes, points by features; got shape {tuple(points.shape)}. "
            "Flatten every point to one row first."
        )
    if not (jnp.issubdtype(points.dtype, np.floating) or jnp.issubdtype(points.dtype, np.integer)):
        raise InputError(
            f"{name} must hold real numbers; got dtype {points.dtype}. Convert it to float32."
        )
    rows, features = points.shape
    if rows < 2 or features < 1:
        raise InputError(
            f"{name} must have at least 2 rows and 1 column; got shape {(rows, features)}."
        )
    if points.dtype not in _KEPT_DTYPES:
        with np.errstate(over="ignore"):
            points = points.astype(np.float32)
    _refuse_bad_rows(points, name=name, cosine=cosine)
    return points


def normalise(x: jax.Array | np.ndarray) -> jax.Array:
    """Scale every row to Euclidean length 1: ``u_i = x_i / |x_i|``.

    Rows are brought near 1 by a power of two first, so that neither large nor tiny values
    overflow or vanish when squared, and the squares are added in blocks. The length of a result
    differs from 1 by a few units in the last place. A row of zeros stays zero.

    Args:
        x: points ``[..., d]``, any floating dtype.

    Returns:
        Unit rows ``[..., d]``: float64 where the input is float64 and 64 bits are switched on,
        float32 otherwise.

    Example:
        >>> normalise(np.array([[3.0, 4.0]])).tolist()
        [[0.6000000238418579, 0.800000011920929]]
    """
    return _normalise(jnp.asarray(x))


@jax.jit
def _normalise(x: jax.Array) -> jax.Array:
    wide = x if x.dtype == jnp.float64 else x.astype(jnp.float32)
    largest = jnp.max(jnp.abs(wide), axis=-1, keepdims=True)
    _, exponent = jnp.frexp(largest)
    scaled = jnp.ldexp(wide, -exponent)
    length = jnp.sqrt(sum_of_squares(scaled))[..., None]
    return scaled / jnp.where(length > 0, length, 1)


def sum_of_squares(x: jax.Array) -> jax.Array:
    """Squared length of every row, ``sum_d x_id^2``, added in blocks of 64 columns.

    The worst rounding error grows with 64 + d / 64 instead of d, whatever order the compiler
    adds in. Pure, for use under ``jit``.

    Args:
        x: points ``[..., d]``.

    Returns:
        Squared lengths ``[...]`` in the dtype of ``x``.

    Example:
        >>> float(sum_of_squares(jnp.ones(100)))
        100.0
    """
    features = x.shape[-1]
    blocks = -(-features // _SUM_BLOCK)
    padding = [(0, 0)] * (x.ndim - 1) + [(0, blocks * _SUM_BLOCK - features)]
    squares = jnp.pad(x * x, padding).reshape(*x.shape[:-1], blocks, _SUM_BLOCK)
    return jnp.sum(jnp.sum(squares, axis=-1), axis=-1)


def find_duplicates(x: jax.Array | np.ndarray) -> np.ndarray:
    """Give every row the index of the first row equal to it.

    Rows are compared by two 32-bit hashes computed where the points are; only rows whose hashes
    meet are fetched and compared value by value. ``-0.0`` equals ``0.0``.

    Args:
        x: points ``[n, d]`` without NaN.

    Returns:
        Codes ``[n]``, int32; ``codes[i] == codes[j]`` where rows i and j are equal, and
        ``codes[i] == i`` where no earlier row equals row i.

    Example:
        >>> find_duplicates(np.array([[1.0], [2.0], [1.0]], np.float32)).tolist()
        [0, 1, 0]
    """
    first_hash, second_hash = (np.asarray(part) for part in _hash_rows(jnp.asarray(x)))
    keys = first_hash.astype(np.uint64) << np.uint64(32) | second_hash.astype(np.uint64)
    codes = np.arange(keys.size, dtype=np.int32)
    order = np.argsort(keys, kind="stable")
    starts = np.flatnonzero(np.concatenate([[True], np.diff(keys[order]) != 0]))
    sizes = np.diff(np.append(starts, keys.size))
    for start, size in zip(starts[sizes > 1], sizes[sizes > 1], strict=True):
        rows = order[start : start + size]
        # Adding zero turns -0.0 into 0.0, so that equal values have equal bytes.
        values = np.asarray(x[rows], dtype=np.float32) + np.float32(0)
        seen: dict[bytes, int] = {}
        for row, value in zip(rows.tolist(), values, strict=True):
            codes[row] = seen.setdefault(value.tobytes(), row)
    return codes


@jax.jit
def _hash_rows(x: jax.Array) -> tuple[jax.Array, jax.Array]:
    # A comparison, as compilers take "+ 0.0", which would also unite the two zeros, for nothing.
    values = jnp.where(x == 0, 0, x).astype(jnp.float32)
    words = jax.lax.bitcast_convert_type(values, jnp.uint32)
    columns = jnp.arange(x.shape[1], dtype=jnp.uint32)
    first, second = (
        # Every word is mixed with its column before the sum, so that neither permuted columns
        # nor the zero low bits of bfloat16 values make hashes meet.
        jnp.sum(_mix(words ^ _mix(columns + np.uint32(seed))), axis=1, dtype=jnp.uint32)
        for seed in (0x9E3779B9, 0x85EBCA6B)
    )
    return first, second


def _mix(words: jax.Array) -> jax.Array:
    """Spread every bit of 32-bit words over all bits (the finishing step of MurmurHash3)."""
    words = (words ^ (words >> 16)) * np.uint32(0x85EBCA6B)
    words = (words ^ (words >> 13)) * np.uint32(0xC2B2AE35)
    return words ^ (words >> 16)


def _refuse_bad_rows(points: jax.Array | np.ndarray, *, name: str, cosine: bool) -> None:
    # Codes are computed where the points are; only one byte a row travels.
    if isinstance(points, jax.Array):
        kinds = np.asarray(_row_kinds(points))
    else:
        kinds = _row_kinds_on_host(points)
    problems = []
    for kind, what in ((1, "NaN"), (2, "infinity"), (3, "only zeros")):
        rows = np.flatnonzero(kinds == kind)
        if rows.size and (kind != 3 or cosine):
            problems.append(f"{rows.size} rows with {what} (rows {name_some(rows)})")
    if problems:
        aim = "finite values and a direction in every row" if cosine else "finite values"
        raise InputError(
            f"{name} must have {aim}; got {'; '.join(problems)} of {points.shape[0]}. "
            "Remove these rows, or repair what produced them."
        )


@jax.jit
def _row_kinds(points: jax.Array) -> jax.Array:
    """0 fine, 1 holds NaN, 2 holds infinity, 3 is all zero."""
    nan = jnp.any(jnp.isnan(points), axis=1)
    infinite = jnp.any(jnp.isinf(points), axis=1)
    zero = jnp.all(jnp.abs(points) < _SMALLEST, axis=1)
    return jnp.select([nan, infinite, zero], [1, 2, 3], 0).astype(jnp.int8)


def _row_kinds_on_host(points: np.ndarray) -> np.ndarray:
    # A maximum hands on NaN and infinity, so one pass without a copy settles the usual case.
    largest = np.maximum(points.max(axis=1), -points.min(axis=1)).astype(np.float32)
    return np.select([np.isnan(largest), np.isinf(largest), largest < _SMALLEST], [1, 2, 3], 0)
