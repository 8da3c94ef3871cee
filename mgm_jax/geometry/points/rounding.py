"""Whether float32 holds points that come in a wider type, measured by their own spread."""

from __future__ import annotations

import warnings

import jax
import jax.numpy as jnp
import numpy as np

from mgm_jax.errors import InputError
from mgm_jax.geometry.backend.precision import double_precision
from mgm_jax.parallel.devices import fetch, fetch_rows

LARGEST_SHARE = 2.0**-10
"""How far rounding to float32 may move points, as a share of their spread."""

# Without an offset, float32 moves points by about 2^-25 of their spread. Beyond this share an
# offset costs digits of the differences.
_COSTLY_SHARE = 2.0**-23
# Rows whose order of neighbours is looked at, the points these are among, and how many of them.
_SAMPLE, _AMONG, _NEAREST = 256, 4096, 10

_BLOCK_VALUES = 2**22
# The integers of this many bytes, and all narrower floating types, are float32 numbers.
_EXACT_BYTES = 2


def refuse_lost_digits(
    given: jax.Array | np.ndarray, rounded: jax.Array | np.ndarray, *, name: str
) -> None:
    """Raise InputError if rounding to float32 took the differences of the points with it.

    Points far from the origin and close together keep few digits of their differences: at
    1 000 000 neighbouring float32 numbers are 1/16 apart. Compared are root mean squares:
    ``|x_i - rounded(x_i)|`` with ``|x_i - m|``, m the mean. Points that are all equal pass.

    Args:
        given: points ``[n, d]`` of a real type; those that are not finite in float32 pass.
        rounded: the same in float32.
        name: what the caller names the argument, for the error message.

    Raises:
        InputError: rounding moves the points by more than 2^-10 of their spread.

    Example:
        >>> far = 1e6 + np.arange(4.0)[:, None]
        >>> refuse_lost_digits(far, far.astype(np.float32), name="x")
    """
    share = _moved_share(given, rounded)
    if share <= LARGEST_SHARE:
        return
    lost = f"{share:.2g}" if np.isfinite(share) else "all"
    raise InputError(
        f"{name} holds {given.dtype} values whose differences float32 loses: rounding moves the "
        f"points by {lost} of their spread. Subtract the mean of the points and scale them to "
        "about 1 first, or pass float32 values to accept the rounding."
    )


def offset_of(given: jax.Array | np.ndarray) -> np.ndarray | None:
    """What to take off points before they are rounded, where only their differences count.

    Args:
        given: points ``[n, d]`` of a real type.

    Returns:
        Their mean ``[d]`` float64; None where rounding them as they are costs no digits of their
        differences, as it does for points around the origin and for all that float32 holds, and
        where it costs more than :func:`refuse_lost_digits` lets pass.

    Example:
        >>> offset_of(1000 + np.random.default_rng(0).normal(size=(50, 1))).round().tolist()
        [1000.0]
    """
    if given.dtype.itemsize <= _EXACT_BYTES or given.dtype == np.float32 or given.shape[0] < 2:
        return None
    with np.errstate(over="ignore"):
        share = _moved_share(given, given.astype(np.float32))
    if not _COSTLY_SHARE < share <= LARGEST_SHARE:
        return None
    with double_precision():
        return np.asarray(fetch(given.mean(axis=0, dtype=np.float64)))


def less_offset(given: jax.Array | np.ndarray, offset: np.ndarray) -> jax.Array | np.ndarray:
    """Points ``[n, d]`` float32 after an offset ``[d]`` is taken off, in float64, in blocks."""
    if isinstance(given, jax.Array):
        with double_precision():
            return (given.astype(jnp.float64) - offset).astype(jnp.float32)
    moved = np.empty(given.shape, np.float32)
    step = max(1, _BLOCK_VALUES // given.shape[1])
    for start in range(0, len(given), step):
        part = slice(start, start + step)
        moved[part] = given[part].astype(np.float64) - offset
    return moved


def tell_of_rounding(
    given: jax.Array | np.ndarray, rounded: jax.Array | np.ndarray, *, name: str, stacklevel: int
) -> None:
    """Warn where rounding to float32 changes which directions are nearest to which.

    Directions cannot be centred. Where the points lie in so narrow a cone that float32 costs
    digits of their differences, the ten nearest of up to 256 points, among up to 4096, are found
    by the cosine in float64, from the points as they came and as they were rounded.

    Args:
        given: points ``[n, d]`` of a real type, all finite, without rows of zeros.
        rounded: the same in float32.
        name: what the caller names the argument.
        stacklevel: as in :func:`warnings.warn`, seen from the caller.
    """
    if given.dtype.itemsize <= _EXACT_BYTES or given.shape[0] < 3:
        return
    if not _moved_share(given, rounded) > _COSTLY_SHARE:
        return
    rows = np.linspace(0, given.shape[0] - 1, min(given.shape[0], _AMONG)).astype(int)
    asked = np.linspace(0, rows.size - 1, min(rows.size, _SAMPLE)).astype(int)
    before, after = (
        _nearest(np.asarray(fetch_rows(x, rows)).astype(np.float64), asked)
        for x in (given, rounded)
    )
    share = float(np.mean((before != after).any(axis=1)))
    if share > 0:
        warnings.warn(
            f"{name} holds {given.dtype} values that are rounded to float32, which changes the "
            f"order of the {before.shape[1]} nearest neighbours of {share:.1%} of the rows (of "
            f"{asked.size} looked at): the points lie in a narrow cone. Take their mean off first, "
            "or pass float32 values to accept the rounding.",
            stacklevel=stacklevel + 1,
        )


def _nearest(points: np.ndarray, asked: np.ndarray) -> np.ndarray:
    """Nearest others by the cosine of some rows, ``[a, k]``, in float64."""
    units = points / np.abs(points).max(axis=1, keepdims=True)
    units /= np.linalg.norm(units, axis=1, keepdims=True)
    # About a common point, so that the products round at the size of the differences.
    units -= units.mean(axis=0)
    gaps = np.sum(units**2, axis=1) - 2 * units[asked] @ units.T
    gaps[np.arange(asked.size), asked] = np.inf
    k = min(_NEAREST, len(units) - 1)
    return np.argsort(gaps, axis=1, kind="stable")[:, :k]


def _moved_share(given: jax.Array | np.ndarray, rounded: jax.Array | np.ndarray) -> float:
    """How far rounding moves points, as a share of their spread; 0 where that cannot be said."""
    if given.dtype.itemsize <= _EXACT_BYTES or given.shape[0] < 2:
        return 0.0
    # Differences to the first point, so that a common part leaves no rounding behind; in units
    # of the largest value, so that no square vanishes.
    if isinstance(given, jax.Array):
        with double_precision():
            shifts, squares, moved = (fetch(part) for part in _sums(given, rounded))
    else:
        with np.errstate(invalid="ignore", over="ignore"):
            shifts, squares, moved = _sums_on_host(given, np.asarray(rounded))
    if squares == 0 or moved == 0 or not np.isfinite(moved):
        return 0.0
    spread = max(float(squares - shifts @ shifts / given.shape[0]), 0)
    return float(np.sqrt(moved / spread)) if spread else float("inf")


def _sums_on_host(
    given: np.ndarray, rounded: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    unit = max(float(given.max()), -float(given.min()), np.finfo(np.float64).tiny)
    first = given[0] / unit
    shifts, squares, moved = np.zeros(given.shape[1]), np.zeros(()), np.zeros(())
    step = max(1, _BLOCK_VALUES // given.shape[1])
    for start in range(0, len(given), step):
        part = slice(start, start + step)
        wide = given[part] / unit
        shift = (wide - first).astype(np.float64)
        shifts += shift.sum(axis=0)
        squares += np.vdot(shift, shift)
        error = wide - rounded[part].astype(np.float64) / unit
        moved += np.sum(error.astype(np.float64) ** 2)
    return shifts, squares, moved


@jax.jit
def _sums(given: jax.Array, rounded: jax.Array) -> tuple[jax.Array, jax.Array, jax.Array]:
    wide = given.astype(jnp.float64)
    unit = jnp.maximum(jnp.max(jnp.abs(wide)), jnp.finfo(jnp.float64).tiny)
    shift = (wide - wide[0]) / unit
    moved = (wide - rounded.astype(jnp.float64)) / unit
    return shift.sum(axis=0), jnp.sum(shift * shift), jnp.sum(moved * moved)
