"""Cores that a scheduler leaves a process are the ones that it counts."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

_COUNT = "from mgm_jax.parallel.cpus import available_cpus; print(available_cpus())"


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="no affinity on this system")
def test_a_process_counts_the_cores_that_it_may_use() -> None:
    allowed = sorted(os.sched_getaffinity(0))
    code = f"import os; os.sched_setaffinity(0, {{{allowed[0]}}}); {_COUNT}"
    environment = {name: value for name, value in os.environ.items() if name != "PYTHON_CPU_COUNT"}
    for program, expected in ((_COUNT, len(allowed)), (code, 1)):
        run = subprocess.run(
            [sys.executable, "-c", program],
            capture_output=True,
            text=True,
            check=True,
            env=environment,
        )
        assert int(run.stdout) == expected
