"""The tasks of a study divided between the processes of one job, on one or many hosts."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict

import jax
import numpy as np

from mgm_jax.errors import InputError
from mgm_jax.parallel.devices import default_mesh
from mgm_jax.parallel.processes import from_all_processes
from mgm_jax.progress import Bar
from mgm_jax.sweep.plan.cells import Failure
from mgm_jax.sweep.plan.workload import Workload
from mgm_jax.sweep.run.executors.local import do_here
from mgm_jax.sweep.run.tasks import Task


class _ForAll(Bar):
    """Tells a bar of the whole job what one of its processes has done, as if all were as far."""

    def __init__(self, whole: Bar, processes: int) -> None:
        super().__init__(total=whole.total)
        self._whole = whole
        self._processes = processes

    def advance(self, units: int = 1) -> None:
        super().advance(units)
        self._whole.advance(units * self._processes)


class ProcessesExecutor:
    """Does this process's share of the tasks; process 0 writes the tables.

    All processes run the same study on the same output folder, which they share; call
    :func:`mgm_jax.parallel.processes.start_processes` before.
    """

    def __init__(self) -> None:
        self._mesh = default_mesh()
        self._index, self.workers = jax.process_index(), jax.process_count()

    @property
    def writes(self) -> bool:
        """Whether this is process 0."""
        return self._index == 0

    @contextmanager
    def first(self) -> Iterator[None]:
        """Process 0 does the body, then the others; its error is theirs."""
        if not self.writes:
            self._exchange([], None)
            yield
            return
        try:
            yield
        except Exception as error:
            self._exchange([], error)
            raise
        self._exchange([], None)

    def run(self, tasks: Sequence[Task], work: Workload, *, bar: Bar) -> list[Failure]:
        """Do every n-th task, wait for the others, and put together what could not be read."""
        error: Exception | None = None
        by_task: list[list[Failure]] = []
        try:
            by_task = do_here(
                tasks[self._index :: self.workers], work, bar=_ForAll(bar, self.workers)
            )
        except Exception as raised:
            error = raised
        shares = self._exchange(by_task, error, cells=work.digest)
        in_order: list[list[Failure]] = [[] for _ in tasks]
        for index, share in enumerate(shares):
            in_order[index :: self.workers] = share
        return [failure for failures in in_order for failure in failures]

    def of_writer(self, failures: Sequence[Failure]) -> list[Failure]:
        """What process 0 has found, which alone reads all records."""
        return self._exchange([list(failures)], None)[0][0]

    def _exchange(
        self, by_task: list[list[Failure]], error: Exception | None, *, cells: str = ""
    ) -> list[list[list[Failure]]]:
        """What every process found; the first error of any of them is raised by all."""
        said = {
            "failures": [[asdict(failure) for failure in failures] for failures in by_task],
            "cells": cells,
            "error": None if error is None else str(error) or type(error).__name__,
        }
        content = np.frombuffer(json.dumps(said).encode(), np.uint8)
        parts = [json.loads(part.tobytes()) for part in from_all_processes(content, self._mesh)]
        if error is not None:
            raise error
        for index, part in enumerate(parts):
            if part["error"] is not None:
                raise InputError(f"process {index}: {part['error']}")
            if part["cells"] != parts[0]["cells"]:
                raise InputError(
                    f"the study is another in process {index} than in process 0: images, "
                    "checkpoints and the output folder must be the same on every host"
                )
        return [
            [[Failure(**failure) for failure in failures] for failures in part["failures"]]
            for part in parts
        ]
