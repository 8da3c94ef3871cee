"""Kernels of neighbourhood regression, from squared distances."""

from __future__ import annotations

from typing import Literal, get_args

import jax
import jax.numpy as jnp
import numpy as np

from mgm_jax.errors import InputError

KernelName = Literal["cosine", "gaussian"]
"""``cosine`` is the shifted cosine (1 + cos) / 2, ``gaussian`` is exp(-d^2 / (2 s^2))."""

SEEN = 1e-6
"""Difference of kernel values that could make a neighbour: the smallest weight that counts."""

COINCIDENT = 2.0**-46
"""Squared distance, relative to the squared length of the points, that counts as zero.

The points come in float32, whose rounding moves a unit vector by up to 2^-24. Shorter differences
than 2^-23 say nothing about the data. The bound also covers the rounding of a float64 Gram matrix.
"""


def check_kernel(kernel: str) -> None:
    """Raise InputError unless ``kernel`` is a name of :data:`KernelName`."""
    if kernel not in get_args(KernelName):
        raise InputError(f"kernel must be one of {get_args(KernelName)}; got {kernel!r}.")


def shifted_cosine(squared_distance: jax.Array) -> jax.Array:
    """Shifted cosine of unit vectors, ``(1 + cos) / 2 = 1 - d^2 / 4``.

    The form with the distance keeps the small differences between near-duplicates.

    Args:
        squared_distance: squared distances of unit vectors, any shape, 0 to 4.

    Returns:
        Kernel values, same shape, from 0 (opposite) to 1 (equal).

    Example:
        >>> shifted_cosine(jnp.array([0.0, 2.0, 4.0])).tolist()
        [1.0, 0.5, 0.0]
    """
    return 1 - squared_distance / 4


def gaussian(squared_distance: jax.Array, bandwidth: jax.Array) -> jax.Array:
    """Gaussian kernel ``exp(-d^2 / (2 s^2))``.

    Args:
        squared_distance: squared distances, any shape.
        bandwidth: s, above 0, in the unit of the distances; broadcast against the distances.

    Returns:
        Kernel values, 0 to 1.

    Example:
        >>> gaussian(jnp.array([0.0]), jnp.array(2.0)).tolist()
        [1.0]
    """
    # One division after the other: the square of a small bandwidth may be zero.
    return jnp.exp(-squared_distance / bandwidth / bandwidth / 2)


def check_bandwidth(
    bandwidth: float | np.ndarray | None, n: int, *, kernel: str
) -> np.ndarray | None:
    """Return one Gaussian bandwidth a point, ``[n]`` float64, or None where none was given.

    Raises:
        InputError: a bandwidth for another kernel, not one or n of them, or not above 0.
    """
    if bandwidth is None:
        return None
    if kernel != "gaussian":
        raise InputError(f"bandwidth belongs to kernel='gaussian'; got kernel={kernel!r}.")
    values = np.asarray(bandwidth, dtype=np.float64)
    if values.shape not in ((), (n,)):
        raise InputError(
            f"bandwidth must be one number or one for each of {n} points; got shape {values.shape}."
        )
    if not (np.isfinite(values).all() and (values > 0).all()):
        raise InputError("bandwidth must be finite and above 0 everywhere.")
    return np.broadcast_to(values, (n,))
