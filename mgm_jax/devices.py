"""Devices: the mesh that rows are spread over, and arrays padded and placed on it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from mgm_jax.errors import InputError

ROWS = "rows"
"""Name of the mesh axis that the rows of an array are spread over."""


def default_mesh(devices: Sequence[Any] | None = None) -> Mesh:
    """One axis named ``rows`` over all devices of all processes, or over those given.

    Raises:
        InputError: an empty list of devices.

    Example:
        >>> default_mesh().axis_names
        ('rows',)
    """
    chosen = list(jax.devices() if devices is None else devices)
    if not chosen:
        raise InputError("devices must name at least one device; got none. Leave it out for all.")
    return Mesh(np.array(chosen), (ROWS,))


def pad_rows(x: jax.Array | np.ndarray, *, multiple: int) -> tuple[jax.Array | np.ndarray, int]:
    """Fill rows of zeros in until their number is a multiple; also the number before.

    An array on the host stays there, so that it can be spread without visiting one device whole.

    Args:
        x: array ``[n, ...]``.
        multiple: at least 1.

    Returns:
        The array ``[n', ...]`` and n.

    Example:
        >>> pad_rows(np.ones((3, 2)), multiple=4)[0].shape
        (4, 2)
    """
    n = x.shape[0]
    more = -n % multiple
    if not more:
        return x, n
    widths = [(0, more)] + [(0, 0)] * (x.ndim - 1)
    return (jnp.pad(x, widths) if isinstance(x, jax.Array) else np.pad(x, widths)), n


def shard_rows(x: jax.Array | np.ndarray, mesh: Mesh) -> jax.Array:
    """Spread the rows of an array evenly over the devices of a mesh.

    Args:
        x: array ``[n, ...]``, n a multiple of the number of devices (see ``pad_rows``).
        mesh: a mesh as ``default_mesh`` makes it.

    Raises:
        InputError: rows that cannot be spread evenly.

    Example:
        >>> shard_rows(jnp.ones((8, 2)), default_mesh()).shape
        (8, 2)
    """
    if x.shape[0] % mesh.size:
        raise InputError(
            f"x must have a multiple of {mesh.size} rows, one share a device; "
            f"got {x.shape[0]}. Pad it with pad_rows first."
        )
    return jax.device_put(x, NamedSharding(mesh, PartitionSpec(mesh.axis_names)))


def mesh_of(x: jax.Array | np.ndarray) -> Mesh | None:
    """Mesh over the devices that hold the parts of an array; None where one holds it all.

    >>> mesh_of(jnp.ones(3)) is None
    True
    """
    if not isinstance(x, jax.Array) or x.sharding.is_fully_replicated:
        return None
    return default_mesh(sorted(x.sharding.device_set, key=lambda device: device.id))
