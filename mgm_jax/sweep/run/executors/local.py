"""Where the tasks of a study are done: here, one after the other or side by side."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, nullcontext
from typing import Protocol

import jax

from mgm_jax.parallel.cpus import available_cpus
from mgm_jax.progress import Bar
from mgm_jax.sweep.plan.cells import Failure
from mgm_jax.sweep.plan.workload import Workload
from mgm_jax.sweep.run.tasks import Task, do_task, quiet

# The small dense work of one cell keeps one core busy; more cells at once would only cost memory.
_MAX_AT_ONCE = 4


class Executor(Protocol):
    """Does tasks; an error of one that ends the study is raised by :meth:`run`."""

    @property
    def workers(self) -> int:
        """How many embedding tasks are done at once."""
        ...

    @property
    def writes(self) -> bool:
        """Whether this process holds the output folder and writes the tables."""
        ...

    def first(self) -> AbstractContextManager[None]:
        """A body that the writing process ends before the others begin with theirs."""
        ...

    def run(self, tasks: Sequence[Task], work: Workload, *, bar: Bar) -> list[Failure]:
        """Do all tasks; the images that could not be read, in the order of the tasks."""
        ...

    def of_writer(self, failures: Sequence[Failure]) -> list[Failure]:
        """What the process that writes has found, for all; every process must call it."""
        ...


class LocalExecutor:
    """Does every task in this process."""

    workers = 1
    writes = True

    def first(self) -> AbstractContextManager[None]:
        """Nobody waits."""
        return nullcontext()

    def run(self, tasks: Sequence[Task], work: Workload, *, bar: Bar) -> list[Failure]:
        """Embed task after task on all devices; measure several cells side by side."""
        return [failure for failures in do_here(tasks, work, bar=bar) for failure in failures]

    def of_writer(self, failures: Sequence[Failure]) -> list[Failure]:
        """They are this process's own."""
        return list(failures)


def do_here(tasks: Sequence[Task], work: Workload, *, bar: Bar) -> list[list[Failure]]:
    """Do tasks of one stage in this process; the unreadable images of each."""
    with quiet():
        if not tasks or tasks[0].stage == "embed" or jax.default_backend() != "cpu":
            return [do_task(task, work, bar=bar) for task in tasks]
        pool = ThreadPoolExecutor(min(available_cpus(), _MAX_AT_ONCE))
        stopped = False
        try:
            return list(pool.map(lambda task: do_task(task, work, bar=bar), tasks))
        except KeyboardInterrupt:
            stopped = True
            raise
        finally:
            # After an error, what still waits is not started; after a signal, what is at work ends
            # with the process.
            pool.shutdown(wait=not stopped, cancel_futures=True)
