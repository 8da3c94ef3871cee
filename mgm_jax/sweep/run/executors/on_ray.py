"""The tasks of a study on a Ray cluster; the only place that knows Ray.

Each task goes to some worker, which opens the study once and keeps it, and leaves its results in
the output folder: a folder that all nodes share. Nothing but names of files and cells travels.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import jax

from mgm_jax.errors import InputError
from mgm_jax.progress import Bar
from mgm_jax.study import Study
from mgm_jax.sweep.output.ledger import Ledger
from mgm_jax.sweep.plan.cells import Failure
from mgm_jax.sweep.plan.openers import Openers
from mgm_jax.sweep.plan.targets import HELD
from mgm_jax.sweep.plan.workload import Workload, prepare
from mgm_jax.sweep.run.tasks import Task, do_task, quiet

# A task that is lost with its worker or node is done again elsewhere, so many times.
_RETRIES = 5


class RayExecutor:
    """Does every task on a worker of a Ray cluster.

    Args:
        address: of the cluster, as ``ray.init`` takes it; None for the cluster that the
            environment names, or a new one on this machine that listens on loopback only.
        cpus: CPUs that one task takes.
        gpus: GPUs that one task takes; a fraction lets several share one.

    Raises:
        InputError: Ray is not installed, no cluster answers, or no node has what a task takes.
    """

    writes = True

    def __init__(self, *, address: str | None = None, cpus: float = 1, gpus: float = 0) -> None:
        try:
            import ray
        except ImportError as error:
            raise InputError(
                "--executor ray needs Ray: pip install 'mgm_jax[ray]' on every node"
            ) from error
        # The driver computes nothing; its encoders must not take the memory of an accelerator
        # that a worker on the same node is given. Where JAX is in use already, this is too late.
        jax.config.update("jax_platforms", "cpu")
        if not ray.is_initialized():
            try:
                ray.init(address, log_to_driver=False, **_here_only(address))
            except (ConnectionError, ValueError) as error:
                raise InputError(f"no Ray cluster at {address}: {error}") from error
        self._ray: Any = ray
        self._cpus, self._gpus = cpus, gpus
        self._fits()

    @property
    def workers(self) -> int:
        """How many tasks the cluster can do at once."""
        have = self._ray.cluster_resources()
        room = [have.get("CPU", 0) / self._cpus if self._cpus else float("inf")]
        if self._gpus:
            room.append(have.get("GPU", 0) / self._gpus)
        return max(1, int(min(room)))

    def first(self) -> AbstractContextManager[None]:
        """The driver writes alone."""
        return nullcontext()

    def run(self, tasks: Sequence[Task], work: Workload, *, bar: Bar) -> list[Failure]:
        """Do all tasks, wherever there is room; what a lost node was doing is done elsewhere."""
        ray = self._ray
        remote = ray.remote(_do).options(
            num_cpus=self._cpus, num_gpus=self._gpus, max_retries=_RETRIES
        )
        job = ray.put(_job_of(work))
        waiting = {remote.remote(job, task): index for index, task in enumerate(tasks)}
        results: list[list[Failure]] = [[] for _ in tasks]
        try:
            while waiting:
                [done], _ = ray.wait(list(waiting), num_returns=1)
                index = waiting.pop(done)
                results[index] = self._result(done, tasks[index], work)
                bar.advance(_units(tasks[index], work))
        except KeyboardInterrupt:
            # A cluster of this program's own ends with it, and leaves the workers of another.
            ray.shutdown()
            waiting.clear()
            raise
        finally:
            for left in waiting:
                ray.cancel(left, force=True)
        return [failure for failures in results for failure in failures]

    def of_writer(self, failures: Sequence[Failure]) -> list[Failure]:
        """The driver's, which writes alone."""
        return list(failures)

    def _result(self, done: Any, task: Task, work: Workload) -> list[Failure]:
        lost = (
            self._ray.exceptions.WorkerCrashedError,
            self._ray.exceptions.NodeDiedError,
            self._ray.exceptions.OutOfMemoryError,
        )
        try:
            result = self._ray.get(done)
        except lost as error:
            # Its workers died again and again: memory, or a library that crashes.
            for i in task.cells:
                lost_cell = (work.transfers if task.stage == "transfer" else work.embedded)[i]
                Ledger(work=work).add(lost_cell, task.stage, error)
            return []
        if isinstance(result, InputError):
            raise result
        return result

    def _fits(self) -> None:
        nodes = [node["Resources"] for node in self._ray.nodes() if node["Alive"]]
        if not any(
            node.get("CPU", 0) >= self._cpus and node.get("GPU", 0) >= self._gpus for node in nodes
        ):
            raise InputError(
                f"no node of the Ray cluster has {self._cpus:g} CPUs and {self._gpus:g} GPUs "
                "for one task; ask for less, or add a node"
            )


def _here_only(address: str | None) -> dict[str, Any]:
    """Options of a new cluster on this machine, which listens on loopback alone."""
    if address is not None or os.environ.get("RAY_ADDRESS"):
        return {}
    return {"include_dashboard": False, "_node_ip_address": "127.0.0.1"}


@dataclass(frozen=True, kw_only=True)
class _Job:
    """What a worker needs to open a study by itself."""

    study: str
    out: Path
    openers: Openers
    retry_images: bool
    cache_limit: int
    digest: str


def _job_of(work: Workload) -> _Job:
    if work.openers.callables or any(one.source.startswith(HELD) for one in work.study.images):
        raise InputError(
            "--executor ray: encoders and images that a program hands over cannot be sent to the "
            "workers; run such a study with --executor local"
        )
    return _Job(
        study=work.study.model_dump_json(),
        out=work.out,
        openers=work.openers,
        retry_images=work.retry_images,
        cache_limit=work.cache.limit if work.cache else 0,
        digest=work.digest,
    )


def _do(job: _Job, task: Task) -> list[Failure] | InputError:
    # An InputError is handed back as a value: raised, it would come wrapped into Ray's own.
    try:
        work = _open(job)
        if work.digest != job.digest:
            raise InputError(
                f"the study is another on {socket.gethostname()} than on the driver: images, "
                "checkpoints and the output folder must be the same on every node"
            )
        with quiet():
            return do_task(task, work, bar=Bar(total=0))
    except InputError as error:
        return error


@lru_cache(maxsize=1)
def _open(job: _Job) -> Workload:
    return prepare(
        Study.model_validate_json(job.study),
        job.out,
        job.openers,
        retry_images=job.retry_images,
        cache_limit=job.cache_limit,
    )


def _units(task: Task, work: Workload) -> int:
    if task.stage == "embed":
        return sum(work.embedded[i].manifest.rows for i in task.cells)
    return len(task.cells)
