"""What every function of the geometry asks of its points: checks, normalisation, duplicates."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from functools import partial
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np

from mgm_jax.errors import InputError, name_some
from mgm_jax.geometry.backend.workers import in_order, workers_for_values
from mgm_jax.geometry.points.rounding import (
    less_offset,
    offset_of,
    refuse_lost_digits,
    tell_of_rounding,
)
from mgm_jax.geometry.points.tensors import off_torch
from mgm_jax.parallel.devices import fetch, fetch_rows

DuplicatePolicy = Literal["warn", "drop", "raise"]
"""What to do about rows that are equal bit for bit: keep and warn, drop the later ones, raise."""

_SUM_BLOCK = 64
# Rows of an array on the host are copied this many values (64 MiB of float32) at a time.
_BLOCK_VALUES = 2**24
# Values hashed together: 512 KiB of float32.
_HASH_VALUES = 2**17
# Columns that tell most rows from all others, or else more of them, and the share of the rows that
# may be copied where these do not.
_FIRST_COLUMNS, _FEW = (16, 64), 1 / 16
# Smaller values lose digits in float32, and compilers take them for zero.
_SMALLEST = np.float32(np.finfo(np.float32).tiny)
# In a row whose largest value is below this, that costs digits of the row.
_LOSSY = _SMALLEST * np.float32(2**24)
# No sum of squares of values below _LOSSY reaches this.
_LEAST_SQUARE = np.float32(1e-30)
_KEPT_DTYPES = (jnp.dtype(jnp.float32), jnp.dtype(jnp.bfloat16))


def check_points(
    x: Any,
    *,
    name: str = "x",
    cosine: bool = False,
    least: int = 2,
    offset: np.ndarray | None = None,
) -> jax.Array | np.ndarray:
    """Return the points as a float32 or bfloat16 array, or say what is wrong with them.

    NumPy arrays (memory-mapped ones too) stay what they are without a copy, and JAX arrays stay
    where they are, sharded or not. float64, float16 and integers become float32; a value too
    large for float32 is reported as infinite. Where the points will be normalised and that
    rounding changes which of them are near, a warning says so.

    Args:
        x: points, shape ``[n, d]`` with ``d >= 1``: anything that :func:`as_array` takes.
        name: what the caller names the argument, for the error message.
        cosine: whether the points will be normalised, so that zero rows have no direction.
        least: fewest points.
        offset: a point ``[d]`` float64 to take off before rounding, where only differences count
            (see :func:`mgm_jax.geometry.points.rounding.offset_of`).

    Returns:
        The points ``[n, d]``, float32 or bfloat16.

    Raises:
        InputError: not numeric, not two axes, too few rows, no columns, masked values; rows that
            hold NaN or infinity or (``cosine``) only zeros, of which the first ten are named;
            points so close together or so near zero that float32 cannot tell them apart.

    Example:
        >>> check_points([[1, 2], [3, 4]]).dtype
        dtype('float32')
    """
    points = as_array(x, name=name)
    if points.ndim != 2:
        raise _not_two_axes(f"shape {tuple(points.shape)}", name=name)
    if not is_real(points.dtype):
        raise InputError(
            f"{name} must hold real numbers; got dtype {points.dtype}. Convert it to float32."
        )
    rows, features = points.shape
    if rows < least or features < 1:
        least_rows = f"{least} row{'s' * (least > 1)}"
        raise InputError(
            f"{name} must have at least {least_rows} and 1 column; got shape {(rows, features)}."
        )
    given = points
    if offset is not None:
        points = less_offset(given, offset)
    elif points.dtype not in _KEPT_DTYPES:
        with np.errstate(over="ignore"):
            points = given.astype(np.float32)
        refuse_lost_digits(given, points, name=name)
    _refuse_bad_rows(points, name=name, cosine=cosine)
    if cosine and offset is None and points is not given:
        tell_of_rounding(given, points, name=name, stacklevel=3)
    return points


def common_offset(*clouds: Any) -> np.ndarray | None:
    """What to take off all of some clouds before rounding, where only differences count.

    Args:
        clouds: arrays that :func:`as_array` returned, or None.

    Returns:
        A point ``[d]`` float64; None where nothing is gained, or where they are no points of one
        width, which :func:`check_points` says.
    """
    arrays = [cloud for cloud in clouds if cloud is not None]
    fit = all(one.ndim == 2 and is_real(one.dtype) and one.shape[1] for one in arrays)
    if not fit or len({one.shape[1] for one in arrays}) > 1:
        return None
    offsets = [offset for offset in map(offset_of, arrays) if offset is not None]
    return offsets[-1] if offsets else None


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

    Rows are compared by 64-bit hashes computed where the array is; only rows whose hashes meet
    are compared value by value. ``-0.0`` equals ``0.0``.

    Args:
        x: points ``[n, d]`` without NaN.

    Returns:
        Codes ``[n]``, int32; ``codes[i] == codes[j]`` where rows i and j are equal, and
        ``codes[i] == i`` where no earlier row equals row i.

    Example:
        >>> find_duplicates(np.array([[1.0], [2.0], [1.0]], np.float32)).tolist()
        [0, 1, 0]
    """
    codes = np.arange(x.shape[0], dtype=np.int32)
    for columns in _FIRST_COLUMNS:
        if isinstance(x, np.ndarray) and x.shape[1] > 2 * columns:
            alike = _shared(_host_hashes(x[:, :columns]))
            if alike.size < _FEW * len(x):
                if alike.size:
                    codes[alike] = alike[_equal_to(x[alike])]
                return codes
    return _equal_to(x)


def _shared(hashes: np.ndarray) -> np.ndarray:
    """Which of some hashes ``[n]`` are there more than once, ascending."""
    ascending = np.sort(hashes)
    twice = ascending[1:][ascending[1:] == ascending[:-1]]
    return np.flatnonzero(np.isin(hashes, twice)) if twice.size else np.arange(0)


def _equal_to(x: jax.Array | np.ndarray) -> np.ndarray:
    """What :func:`find_duplicates` finds, by hashes of whole rows."""
    codes = np.arange(x.shape[0], dtype=np.int32)
    hashes = _hashes(x)
    if not _shared(hashes).size:
        return codes
    _, firsts, classes = np.unique(hashes, return_index=True, return_inverse=True)
    first = firsts[classes.reshape(-1)].astype(np.int32)
    left = np.flatnonzero(first != codes)
    while left.size:
        equal = _equal_rows(x, left, first[left])
        codes[left[equal]] = first[left[equal]]
        # Rows that share a hash and differ: compare them with the first of those left over.
        left = left[~equal]
        _, firsts, classes = np.unique(first[left], return_index=True, return_inverse=True)
        first[left] = left[firsts[classes.reshape(-1)]]
        left = left[first[left] != left]
    return codes


def _hashes(x: jax.Array | np.ndarray) -> np.ndarray:
    """64-bit hashes ``[n]`` of rows, computed where the array is."""
    if isinstance(x, np.ndarray):
        return _host_hashes(x)
    first, second = (fetch(part).astype(np.uint64) for part in _hash_rows(x))
    return first << np.uint64(32) | second


def _host_hashes(x: np.ndarray) -> np.ndarray:
    """Hashes of rows on the host, block by block so that a block stays in the cache."""
    n, features = x.shape
    weights = np.random.default_rng(0).integers(2**64, size=-(-features // 2), dtype=np.uint64)
    weights |= np.uint64(1)
    hashes = np.empty(n, np.uint64)
    step = max(1, _HASH_VALUES // features)

    def work(rows: slice) -> None:
        words = np.zeros((min(n, step), features + features % 2), np.float32)
        for start in range(rows.start, rows.stop, step):
            block = x[start : min(start + step, rows.stop)]
            part = words[: len(block)]
            part[:, :features] = block
            # Unites the two zeros.
            part += 0
            # Two values a word: mixed, so that few bits of one value do not meet the high end
            # alone.
            mixed = part.view(np.uint64) * np.uint64(0x9E3779B97F4A7C15)
            mixed ^= mixed >> np.uint64(32)
            hashes[start : start + len(block)] = np.einsum("ij,j->i", mixed, weights)

    _on_all_cores(work, x)
    return hashes


def _on_all_cores(work: Callable[[slice], None], x: np.ndarray) -> None:
    """Call for all rows of an array, in one part a core where there is enough to do."""
    workers = workers_for_values(x.size)
    edges = np.linspace(0, len(x), workers + 1).astype(int)
    calls = [partial(work, slice(*ends)) for ends in itertools.pairwise(map(int, edges))]
    for _ in in_order(calls, workers=workers):
        pass


def _equal_rows(x: jax.Array | np.ndarray, rows: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Whether rows equal others, pair by pair ``[p]`` bool, value by value."""
    step = max(1, _BLOCK_VALUES // x.shape[1])
    parts = [slice(start, start + step) for start in range(0, rows.size, step)]
    return np.concatenate(
        [(fetch_rows(x, rows[part]) == fetch_rows(x, others[part])).all(axis=1) for part in parts]
    )


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


def as_array(x: Any, *, name: str = "x") -> jax.Array | np.ndarray:
    """Whatever holds points as an array of NumPy or JAX, of the type that it has.

    JAX arrays stay where they are. Tensors of PyTorch come to the host, off the graph of their
    gradients, bfloat16 as float32; data frames with nullable columns become float64, what is
    missing there NaN. All else is what NumPy makes of it, without a copy where there need be none.

    Args:
        x: an array, a tensor, a list of rows, a data frame.
        name: what the caller names the argument, for the error message.

    Raises:
        InputError: masked values, or nothing that NumPy makes an array of; no axes.

    Example:
        >>> as_array([[1, 2], [3, 4]]).shape
        (2, 2)
    """
    if isinstance(x, jax.Array):
        return x
    x = off_torch(x, name=name)
    if hasattr(x, "to_numpy") and hasattr(x, "dtypes"):
        x = _without_nullables(x)
    array = _of_numpy(x, name=name)
    if not array.ndim:
        raise _not_two_axes(type(x).__name__, name=name)
    return array


def _not_two_axes(got: str, *, name: str) -> InputError:
    return InputError(
        f"{name} must have two axes, points by features; got {got}. "
        "Convert it to an array with one row a point first."
    )


def _without_nullables(table: Any) -> Any:
    """A data frame whose nullable columns of numbers are plain ones, NaN where none is."""
    kinds = {getattr(kind, "kind", "O") for kind in table.dtypes}
    plain = all(isinstance(kind, np.dtype) for kind in table.dtypes)
    return (
        table if plain or not kinds <= set("iuf") else table.to_numpy(np.float64, na_value=np.nan)
    )


def _of_numpy(x: Any, *, name: str) -> np.ndarray:
    if isinstance(x, np.ma.MaskedArray):
        rows = np.flatnonzero(np.ma.getmaskarray(x).any(axis=tuple(range(1, x.ndim))))
        if rows.size:
            raise InputError(
                f"{name} must have a value everywhere; got masked values in {rows.size} rows "
                f"(rows {name_some(rows)}). Remove these rows, or fill in what is missing."
            )
    try:
        return np.asarray(x)
    except (TypeError, ValueError, RuntimeError) as error:
        raise InputError(
            f"{name} must be an array of points by features; NumPy cannot make one of the "
            f"{type(x).__name__} that it got: {error} Convert it to float32 first, all rows of "
            "one length."
        ) from error


def is_real(dtype: Any) -> bool:
    """Whether a NumPy type is of real numbers, those of JAX included.

    >>> is_real(jnp.bfloat16), is_real(np.dtype("timedelta64[s]"))
    (True, False)
    """
    # NumPy takes spans of time for integers.
    real = jnp.issubdtype(dtype, np.floating) or jnp.issubdtype(dtype, np.integer)
    return real and np.dtype(dtype).kind != "m"


def _refuse_bad_rows(points: jax.Array | np.ndarray, *, name: str, cosine: bool) -> None:
    # Computed where the points are; only one number a row travels.
    if isinstance(points, jax.Array):
        largest = fetch(_largest(points))
    elif (_directed_at_a_glance if cosine else _sound_at_a_glance)(points):
        return
    else:
        # A maximum hands on NaN and infinity, so one pass without a copy will do.
        largest = np.empty(len(points), np.float32)

        def measure(rows: slice) -> None:
            step = max(1, _HASH_VALUES // points.shape[1])
            for start in range(rows.start, rows.stop, step):
                subset = slice(start, min(start + step, rows.stop))
                part = points[subset]
                largest[subset] = np.maximum(part.max(axis=1), -part.min(axis=1))

        _on_all_cores(measure, points)
    small = np.flatnonzero(largest < _LOSSY)
    zero, lossy = _near_zero(points, small)
    if not cosine:
        if lossy.size and small.size == points.shape[0]:
            raise InputError(
                f"{name} must have values that float32 can tell from zero; "
                f"all of them are below {_LOSSY:.1g}. Multiply the points by a constant."
            )
        zero = lossy = small[:0]
    kinds = {
        "NaN": np.flatnonzero(np.isnan(largest)),
        "infinity": np.flatnonzero(np.isinf(largest)),
        "only zeros": zero,
        f"values all below {_LOSSY:.1g}, where float32 loses them": lossy,
    }
    problems = [
        f"{rows.size} rows with {what} (rows {name_some(rows)})"
        for what, rows in kinds.items()
        if rows.size
    ]
    if problems:
        aim = "finite values and a direction in every row" if cosine else "finite values"
        raise InputError(
            f"{name} must have {aim}; got {'; '.join(problems)} of {points.shape[0]}. "
            "Remove these rows, or repair what produced them."
        )


def _sound_at_a_glance(points: np.ndarray) -> bool:
    """Whether the ends of the values tell that all points are usable where only lengths count."""
    if points.dtype != np.float32 or not points.size:
        return False
    ends: list[np.float32] = []

    def look(rows: slice) -> None:
        step = max(1, _HASH_VALUES // points.shape[1])
        for start in range(rows.start, rows.stop, step):
            part = points[start : min(start + step, rows.stop)]
            ends.extend((part.max(), -part.min()))

    _on_all_cores(look, points)
    # Both hand on NaN.
    return bool(np.isfinite(ends).all() and max(ends) >= _LOSSY)


def _directed_at_a_glance(points: np.ndarray) -> bool:
    """Whether the squared lengths of all rows tell that each has a direction, and is finite."""
    if points.dtype != np.float32 or not points.size:
        return False
    squares = np.empty(len(points), np.float32)

    def add(rows: slice) -> None:
        # What is too large is looked at again.
        with np.errstate(over="ignore", invalid="ignore"):
            np.vecdot(points[rows], points[rows], out=squares[rows])

    _on_all_cores(add, points)
    # With the least of them, a row still has a value far above the smallest that count.
    return bool((squares >= _LEAST_SQUARE).all() and np.isfinite(squares).all())


@jax.jit
def _largest(points: jax.Array) -> jax.Array:
    """Largest absolute value of every row, ``[n]`` float32; NaN where the row holds one."""
    nan = jnp.any(jnp.isnan(points), axis=1)
    return jnp.where(nan, jnp.nan, jnp.max(jnp.abs(points), axis=1)).astype(jnp.float32)


def _near_zero(points: jax.Array | np.ndarray, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Which of some rows hold zeros only, and which hold values that compilers take for zero."""
    zero, lossy = np.zeros(rows.size, bool), np.zeros(rows.size, bool)
    step = max(1, _BLOCK_VALUES // points.shape[1])
    for start in range(0, rows.size, step):
        part = slice(start, start + step)
        sizes = np.abs(fetch_rows(points, rows[part]).astype(np.float32))
        zero[part] = (sizes == 0).all(axis=1)
        lossy[part] = ((sizes > 0) & (sizes < _SMALLEST)).any(axis=1)
    return rows[zero], rows[lossy]
