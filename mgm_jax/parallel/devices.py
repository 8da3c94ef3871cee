# pyright: strict, reportUnknownMemberType=false, reportUnknownVariableType=false
# pyright: reportUnknownArgumentType=false, reportUnknownLambdaType=false
"""Devices of one or many processes: the mesh, rows spread over it and fetched back."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from mgm_jax.errors import InputError, name_some
from mgm_jax.parallel.spread_jit import SPREAD, WHOLE, spread_jit

ROWS = "rows"
"""Name of the mesh axis that the rows of an array are spread over."""

# What one step of a fetch brings to every device.
_FETCH_BYTES = 2**24


def default_mesh(devices: Sequence[Any] | None = None) -> Mesh:
    """One axis named ``rows`` over all devices, process after process, or over those given.

    Raises:
        InputError: an empty list of devices.

    Example:
        >>> default_mesh().axis_names
        ('rows',)
    """
    everybody = sorted(jax.devices(), key=lambda device: (device.process_index, device.id))
    chosen = everybody if devices is None else list(devices)
    if not chosen:
        raise InputError("devices must name at least one device; got none. Leave it out for all.")
    return Mesh(np.array(chosen), (ROWS,))


def axis_of(mesh: Mesh) -> str:
    """Name of the axis of a mesh that has one.

    >>> axis_of(default_mesh())
    'rows'
    """
    return mesh.axis_names[0]


def choose_mesh(
    devices: Mesh | Sequence[Any] | None, *, x: jax.Array | np.ndarray | None = None
) -> Mesh | None:
    """The mesh of one axis to work on; None where that is one device.

    Args:
        devices: a mesh, or a list of devices; None follows x.
        x: an array that may be spread by rows already.

    Raises:
        InputError: an empty list of devices.

    >>> choose_mesh(jax.devices()[:1]) is None
    True
    """
    if devices is None:
        mesh = None if x is None else mesh_of(x)
    else:
        mesh = default_mesh(list(devices.devices.flat if isinstance(devices, Mesh) else devices))
    return None if mesh is None or mesh.size == 1 else mesh


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


def shard_rows(x: jax.Array | np.ndarray, mesh: Mesh, *, share: int | None = None) -> jax.Array:
    """Spread the rows of an array evenly over the devices of a mesh, of one or many processes.

    Args:
        x: array ``[n, ...]``, n a multiple of the number of devices (see ``pad_rows``): the same
            on every process, or one that is spread by rows over this mesh already.
        mesh: a mesh as ``default_mesh`` makes it.
        share: rows of each device, at least n over their number; zeros fill up what x lacks, so
            that n need not be a multiple. None for no filling.

    Raises:
        InputError: rows that cannot be spread evenly, or that other devices hold.

    Example:
        >>> shard_rows(jnp.ones((8, 2)), default_mesh()).shape
        (8, 2)
    """
    rows = x.shape[0] if share is None else share * mesh.size
    if rows % mesh.size or rows < x.shape[0]:
        raise InputError(
            f"x must have a multiple of {mesh.size} rows, one share a device; "
            f"got {x.shape[0]}. Pad it with pad_rows first."
        )
    target = NamedSharding(mesh, PartitionSpec(mesh.axis_names))
    if isinstance(x, jax.Array) and not x.is_fully_addressable:
        if not x.sharding.is_equivalent_to(target, x.ndim) or rows != x.shape[0]:
            raise InputError(
                "x must be spread by rows over the devices it is worked on with; got "
                f"{x.sharding}. Make it with join_rows, or leave devices out to follow x."
            )
        return x
    if isinstance(x, jax.Array) and not mesh.is_multi_process:
        padded = pad_rows(x, multiple=rows)[0] if rows else x
        return jax.device_put(padded, target)
    # No copy of the whole is made to fill it up. Between processes device_put would also first
    # compare the whole array.
    host = np.asarray(x)

    def part(index: Any) -> np.ndarray:
        start, stop, _ = index[0].indices(rows)
        part = host[start:stop]
        return np.pad(part, [(0, stop - start - len(part))] + [(0, 0)] * (host.ndim - 1))

    return jax.make_array_from_callback((rows, *host.shape[1:]), target, part)


def join_rows(mine: np.ndarray, mesh: Mesh) -> jax.Array:
    """One array from the rows that every process holds, without bringing them together.

    Args:
        mine: rows of this process ``[m, ...]``; all processes have equally many, a multiple of
            their number of devices.
        mesh: devices of all processes; the rows follow their order, with ``default_mesh``
            process after process.

    Returns:
        The array ``[n, ...]`` spread over the mesh; what ``knn_graph`` takes as x.

    Raises:
        InputError: unequal numbers of rows, or one that the devices cannot share evenly.

    Example:
        >>> join_rows(np.ones((8, 2)), default_mesh()).shape
        (8, 2)
    """
    from jax.experimental import multihost_utils

    counts = np.asarray(multihost_utils.process_allgather(np.int64(len(mine)))).ravel()
    local = len(mesh.local_devices)
    if (counts != counts[0]).any() or local == 0 or len(mine) % local:
        raise InputError(
            f"Every process must hold equally many rows, a multiple of its {local} devices of the "
            f"mesh; got {name_some(counts)}. Fill them up with repeats of one row and pass "
            "duplicates='drop', or hand the same whole array to every process."
        )
    target = NamedSharding(mesh, PartitionSpec(mesh.axis_names))
    return jax.make_array_from_process_local_data(target, np.asarray(mine))


def at_hand(x: jax.Array | np.ndarray) -> bool:
    """Whether this process holds all of an array.

    >>> at_hand(np.ones(3)), at_hand(jnp.ones(3))
    (True, True)
    """
    return not isinstance(x, jax.Array) or x.is_fully_addressable


def mesh_of(x: jax.Array | np.ndarray) -> Mesh | None:
    """Mesh over the devices that hold the parts of an array; None where one holds it all.

    >>> mesh_of(jnp.ones(3)) is None
    True
    """
    if not isinstance(x, jax.Array) or x.sharding.is_fully_replicated:
        return None
    positions = x.sharding.devices_indices_map(x.shape)
    return default_mesh(
        sorted(positions, key=lambda device: (positions[device][0].start or 0, device.id))
    )


def fetch(x: jax.Array | np.ndarray) -> np.ndarray:
    """The whole of an array on the host of every process.

    Rows that other processes hold come in pieces of 16 MiB, so that no device ever holds more
    of them. All processes must call it.

    Example:
        >>> fetch(jnp.arange(3)).tolist()
        [0, 1, 2]
    """
    if not isinstance(x, jax.Array) or x.is_fully_addressable:
        return np.asarray(x)
    mesh = mesh_of(x)
    if mesh is None:
        return np.asarray(x.addressable_data(0))
    x = shard_rows(x, mesh)
    share = x.shape[0] // mesh.size
    row_bytes = max(1, x.nbytes // x.shape[0])
    rows = min(share, max(1, _FETCH_BYTES // (row_bytes * mesh.size)))
    whole = np.empty((mesh.size, share, *x.shape[1:]), x.dtype)
    axis = mesh.axis_names
    bring = spread_jit(_piece, mesh, inputs=(SPREAD, WHOLE), outputs=WHOLE, rows=rows, axis=axis)
    for start in range(0, share, rows):
        # The last piece reaches back, so that all have one shape.
        first = min(start, share - rows)
        whole[:, first : first + rows] = bring(x, np.int32(first)).addressable_data(0)
    return whole.reshape(x.shape)


def fetch_rows(x: jax.Array | np.ndarray, rows: np.ndarray) -> np.ndarray:
    """Some rows of an array, ``[r, ...]``, on the host of every process.

    Example:
        >>> fetch_rows(jnp.arange(5), np.array([3, 1])).tolist()
        [3, 1]
    """
    if not isinstance(x, jax.Array):
        return x[rows]
    mesh = mesh_of(x)
    if mesh is None:
        return np.asarray(x.addressable_data(0)[rows])
    x = shard_rows(x, mesh)
    most = max(1, _FETCH_BYTES // max(1, x.nbytes // x.shape[0]))
    size = min(1 << max(rows.size - 1, 0).bit_length(), 1 << most.bit_length() - 1)
    bring = spread_jit(pick, mesh, inputs=(SPREAD, WHOLE), outputs=WHOLE, axis=mesh.axis_names)
    parts = [np.empty((0, *x.shape[1:]), x.dtype)]
    for start in range(0, rows.size, size):
        subset = rows[start : start + size]
        fetched = bring(x, np.pad(subset, (0, size - subset.size), mode="edge").astype(np.int32))
        parts.append(np.asarray(fetched.addressable_data(0))[: subset.size])
    return np.concatenate(parts)


def own_devices(mesh: Mesh | None) -> Mesh | None:
    """The part of a mesh that belongs to this process; None where that is one device at most.

    >>> own_devices(None) is None
    True
    """
    if mesh is None or len(mesh.local_devices) < 2:
        return None
    return mesh if not mesh.is_multi_process else default_mesh(mesh.local_devices)


def own_accelerators() -> Mesh | None:
    """All accelerators of this process; None where there is one at most.

    Several devices of a CPU share its cores, so that nothing is gained by them.

    >>> own_accelerators() is None or jax.default_backend() != "cpu"
    True
    """
    return (
        None if jax.default_backend() == "cpu" else own_devices(default_mesh(jax.local_devices()))
    )


def pick(share: Any, rows: jax.Array, axis: str | tuple[str, ...]) -> Any:
    """Some rows of spread arrays on every device; for use under ``shard_map``.

    Args:
        share: this device's arrays ``[share, ...]``.
        rows: ``[r]`` int32 rows among those of all devices.
        axis: the mesh axis.

    Returns:
        Arrays ``[r, ...]``, the same on all devices.
    """

    def one(part: jax.Array) -> jax.Array:
        length = part.shape[0]
        local = rows - jax.lax.axis_index(axis) * length
        mine = ((local >= 0) & (local < length)).reshape(-1, *[1] * (part.ndim - 1))
        taken = part[jnp.clip(local, 0, length - 1)]
        # One device adds the row, all others zeros, so nothing is rounded.
        return jax.lax.psum(jnp.where(mine, taken, jnp.zeros_like(taken)), axis)

    return jax.tree.map(one, share)


def _piece(x: jax.Array, start: jax.Array, *, rows: int, axis: str | tuple[str, ...]) -> jax.Array:
    return jax.lax.all_gather(jax.lax.dynamic_slice_in_dim(x, start, rows), axis)
