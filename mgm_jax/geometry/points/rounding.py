"""Whether float32 holds points that come in a wider type, measured by their own spread."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np

from mgm_jax.errors import InputError
from mgm_jax.geometry.backend.precision import double_precision
from mgm_jax.parallel.devices import fetch

LARGEST_SHARE = 2.0**-10
"""How far rounding to float32 may move points, as a share of their spread."""

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
    if given.dtype.itemsize <= _EXACT_BYTES or given.shape[0] < 2:
        return
    # Differences to the first point, so that a common part leaves no rounding behind; in units
    # of the largest value, so that no square vanishes.
    if isinstance(given, jax.Array):
        with double_precision():
            shifts, squares, moved = (fetch(part) for part in _sums(given, rounded))
    else:
        with np.errstate(invalid="ignore", over="ignore"):
            shifts, squares, moved = _sums_on_host(given, np.asarray(rounded))
    if squares == 0 or not np.isfinite(moved):
        return
    spread = max(float(squares - shifts @ shifts / given.shape[0]), 0)
    if moved <= LARGEST_SHARE**2 * spread:
        return
    share = f"{np.sqrt(moved / spread):.2g}" if spread else "all"
    raise InputError(
        f"{name} holds {given.dtype} values whose differences float32 loses: rounding moves the "
        f"points by {share} of their spread. Subtract the mean of the points and scale them to "
        "about 1 first, or pass float32 values to accept the rounding."
    )


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
