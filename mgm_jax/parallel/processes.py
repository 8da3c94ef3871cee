"""Processes of one job, on one or many hosts: the start, and work divided between them."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np
from jax.sharding import Mesh

from mgm_jax.errors import InputError, name_some

# What one step of an exchange brings to every device.
_EXCHANGE_BYTES = 2**24


class Processes(NamedTuple):
    """Where this process stands.

    Attributes:
        index: of this process, from 0.
        count: how many there are.
    """

    index: int
    count: int


def start_processes(
    *,
    coordinator: str | None = None,
    count: int | None = None,
    index: int | None = None,
    timeout: int = 300,
) -> Processes:
    """Join this process to the others of its job; call it once, before anything else of JAX.

    Under Slurm, Open MPI 4, Kubernetes (an indexed job) and on TPU pods JAX finds the others by
    itself: pass nothing. Elsewhere start the same program ``count`` times and pass all three
    options. On CPUs the devices then talk through Gloo.

    Args:
        coordinator: ``"host:port"`` of process 0, as the others reach it; the port is free there.
        count: number of processes.
        index: of this process, 0 to count - 1.
        timeout: seconds to wait for the others.

    Returns:
        Index and number of processes.

    Raises:
        InputError: some of the options only, options that cannot be, no cluster found, JAX in
            use already, or no coordinator that answers in time. (If process 0 or JAX itself waits
            in vain for the others, JAX ends the process: there is no way on.)

    Example::

        start_processes(coordinator="node1:7777", count=2, index=int(sys.argv[1]))
        graph = knn_graph(x, k=50, devices=default_mesh())
    """
    given = {"coordinator": coordinator, "count": count, "index": index}
    missing = [name for name, value in given.items() if value is None]
    if 0 < len(missing) < len(given):
        raise InputError(
            "coordinator, count and index belong together; "
            f"got no {name_some(missing)}. Pass all three, or none where the cluster tells them."
        )
    if isinstance(timeout, bool) or timeout < 1:
        raise InputError(f"timeout must be at least 1 second; got {timeout!r}.")
    if jax.distributed.is_initialized():
        raise InputError("The processes are joined already; call start_processes once.")
    if coordinator is not None and count is not None and index is not None:
        _check_place(coordinator, count, index)
    jax.config.update("jax_cpu_collectives_implementation", "gloo")
    try:
        if coordinator is not None and index:
            # JAX would end the process with a stack trace where nobody answers.
            _wait_for(coordinator, timeout)
        jax.distributed.initialize(coordinator, count, index, initialization_timeout=timeout)
    except ValueError as error:
        if isinstance(error, InputError):
            raise
        raise InputError(
            "start_processes found no cluster (Slurm, Open MPI, Kubernetes, TPU pod) that tells "
            f"the processes of each other: {error} Pass coordinator, count and index."
        ) from error
    except RuntimeError as error:
        raise InputError(
            f"start_processes could not join the processes: {error} Call it first, before any "
            "array is made or device is asked for."
        ) from error
    _meet()
    return Processes(jax.process_index(), jax.process_count())


def _meet() -> None:
    """Exchange something while all are here.

    Gloo waits 30 seconds for the others to come to the first exchange and ends the process where
    one is later, which may be opening a large image set; for all further ones it waits as long as
    they take.
    """
    from jax.experimental.multihost_utils import process_allgather

    process_allgather(np.zeros(1, np.int32))


def is_one_of_many(environment: Mapping[str, str] | None = None) -> bool:
    """Whether a scheduler started this process as one of several that belong together.

    Knows ``srun`` of Slurm, ``mpirun`` of Open MPI 4, indexed jobs of Kubernetes and TPU pods:
    what :func:`start_processes` finds by itself. Asks nothing of JAX.

    Args:
        environment: variables to look at; by default those of this process.

    >>> is_one_of_many({"OMPI_COMM_WORLD_SIZE": "4", "OMPI_MCA_orte_hnp_uri": "1.0;tcp://h:1"})
    True
    >>> is_one_of_many({"SLURM_NTASKS": "4"})  # the script of a job, not a step of it
    False
    """
    env = os.environ if environment is None else environment
    if "SLURM_STEP_NODELIST" in env and "SLURM_PROCID" in env:
        return _more_than_one(env.get("SLURM_NTASKS"))
    if "OMPI_MCA_orte_hnp_uri" in env:
        return _more_than_one(env.get("OMPI_COMM_WORLD_SIZE"))
    if "KUBERNETES_SERVICE_HOST" in env and "JOB_COMPLETION_INDEX" in env:
        return True
    return len([host for host in env.get("TPU_WORKER_HOSTNAMES", "").split(",") if host]) > 1


def _more_than_one(count: str | None) -> bool:
    return count is not None and count.isdecimal() and int(count) > 1


def _check_place(coordinator: str, count: int, index: int) -> None:
    host, _, port = coordinator.rpartition(":")
    if not host or not port.isdecimal() or not 0 < int(port) < 2**16:
        raise InputError(f"coordinator must read host:port; got {coordinator!r}.")
    if isinstance(count, bool) or count < 1:
        raise InputError(f"count must be at least 1; got {count!r}.")
    if isinstance(index, bool) or not 0 <= index < count:
        raise InputError(f"index must lie in 0 to {count - 1} for {count} processes; got {index}.")


def _wait_for(coordinator: str, timeout: int) -> None:
    host, _, port = coordinator.rpartition(":")
    last = time.monotonic() + timeout
    while True:
        try:
            socket.create_connection((host.strip("[]"), int(port)), timeout=timeout).close()
        except OSError as error:
            if time.monotonic() > last:
                raise InputError(
                    f"No coordinator answers at {coordinator} within {timeout} s ({error}). Start "
                    "process 0 there, and let the others reach its port."
                ) from error
            time.sleep(0.2)
        else:
            return


def own_share(items: Sequence[Any], mesh: Mesh | None) -> Sequence[Any]:
    """Every item where one process does the work; its part of them where many share it.

    >>> own_share([1, 2], None)
    [1, 2]
    """
    if mesh is None or not mesh.is_multi_process:
        return items
    return items[jax.process_index() :: jax.process_count()]


def complete(columns: Iterable[np.ndarray], rows: np.ndarray, mesh: Mesh | None) -> None:
    """Fill in, in place, the rows that other processes worked out; all processes must call it.

    Args:
        columns: arrays ``[n, ...]`` on the host, of equal shapes and types on all processes.
        rows: which rows this process worked out, ``[r]``; its share of all.
        mesh: devices of all processes; with None, or one process, there is nothing to do.

    Example:
        >>> complete([np.ones(3)], np.arange(3), None)
    """
    positions = np.concatenate(from_all_processes(rows.astype(np.int64), mesh))
    for column in columns:
        column[positions] = np.concatenate(from_all_processes(column[rows], mesh))


def from_all_processes(part: np.ndarray, mesh: Mesh | None) -> list[np.ndarray]:
    """What every process holds, process after process; all processes must call it.

    Args:
        part: this process's array ``[m, ...]``; m may differ between processes, nothing else.
        mesh: devices of all processes; None, or those of one, for this process alone.

    Example:
        >>> from_all_processes(np.ones(2), None)
        [array([1., 1.])]
    """
    if mesh is None or not mesh.is_multi_process:
        return [part]
    from jax.experimental.multihost_utils import process_allgather

    # Bytes, as JAX would round 64-bit values.
    mine = np.frombuffer(np.ascontiguousarray(part).tobytes(), np.uint8)
    sizes = np.asarray(process_allgather(np.array([mine.size], np.int32))).ravel()
    step = max(1, _EXCHANGE_BYTES // sizes.size)
    whole = np.empty((sizes.size, sizes.max()), np.uint8)
    for start in range(0, whole.shape[1], step):
        piece = mine[start : start + step]
        wanted = min(step, whole.shape[1] - start)
        gathered = process_allgather(np.pad(piece, (0, wanted - piece.size)))
        whole[:, start : start + wanted] = gathered
    return [
        row[:size].view(part.dtype).reshape(-1, *part.shape[1:])
        for row, size in zip(whole, sizes, strict=True)
    ]
