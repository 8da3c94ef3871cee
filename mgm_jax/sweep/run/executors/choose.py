"""From the options of the command line to an executor."""

from __future__ import annotations

from mgm_jax.errors import InputError
from mgm_jax.parallel.processes import is_one_of_many, start_processes
from mgm_jax.sweep.run.executors.local import Executor, LocalExecutor


def choose_executor(
    kind: str,
    *,
    address: str | None = None,
    cpus: float = 1,
    gpus: float = 0,
    coordinator: str | None = None,
    processes: int | None = None,
    process: int | None = None,
) -> Executor:
    """The executor that the options ask for; joins the processes of a job where there are several.

    Args:
        kind: ``local`` or ``ray``.
        address: of the Ray cluster; None for one on this machine.
        cpus: CPUs of one Ray task.
        gpus: GPUs of one Ray task.
        coordinator: ``host:port`` of process 0.
        processes: how many processes share the work; None asks the scheduler.
        process: number of this process.

    Raises:
        InputError: an unknown kind, options of the other kind, or processes that cannot be joined.

    >>> choose_executor("local", processes=1).workers
    1
    """
    several = [value is not None for value in (coordinator, processes, process)]
    if kind == "ray":
        if any(several):
            raise InputError("--executor ray divides the work itself; leave out --processes")
        from mgm_jax.sweep.run.executors.on_ray import RayExecutor

        return RayExecutor(address=address, cpus=cpus, gpus=gpus)
    if kind != "local":
        raise InputError(f"--executor must be local or ray, got {kind!r}")
    if address is not None:
        raise InputError("--address belongs to --executor ray")
    if processes == 1 or (not any(several) and not is_one_of_many()):
        return LocalExecutor()
    # Before anything else of JAX is used.
    start_processes(coordinator=coordinator, count=processes, index=process)
    from mgm_jax.sweep.run.executors.across import ProcessesExecutor

    return ProcessesExecutor()
