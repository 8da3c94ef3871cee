"""Two processes on this machine, which talk through Gloo as those of two hosts would.

The checks stand in ``many_hosts``, which every process runs.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.launch import free_port, run

# Slurm and Open MPI name a job, of which JAX makes a port from here up.
_FIRST_JOB_PORT = 2**16 - 2**12


def flags(index: int) -> dict[str, str]:
    return {"TEST_COUNT": "2", "TEST_INDEX": str(index)}


def slurm(index: int, job: int) -> dict[str, str]:
    return {
        "SLURM_JOB_ID": str(job),
        "SLURM_STEP_NODELIST": "localhost",
        "SLURM_NTASKS": "2",
        "SLURM_PROCID": str(index),
        "SLURM_LOCALID": str(index),
    }


def open_mpi(index: int, job: int) -> dict[str, str]:
    return {
        "OMPI_MCA_orte_hnp_uri": f"{job * 2**12}.0;tcp://127.0.0.1:1",
        "OMPI_COMM_WORLD_SIZE": "2",
        "OMPI_COMM_WORLD_RANK": str(index),
        "OMPI_COMM_WORLD_LOCAL_RANK": str(index),
    }


@pytest.mark.slow
def test_two_processes_are_told_of_each_other(tmp_path: Path) -> None:
    address = {
        "TEST_COORDINATOR": f"127.0.0.1:{free_port()}",
        "TEST_FOLDER": str(tmp_path),
    }
    run(
        "tests.parallel.many_hosts",
        devices=2,
        copies=[flags(index) | address for index in range(2)],
    )


# Gloo waits for half a minute when processes first meet, and for ever afterwards.
@pytest.mark.nightly
def test_a_process_may_come_late_to_the_first_exchange() -> None:
    address = {"TEST_COORDINATOR": f"127.0.0.1:{free_port()}"}
    copies = [flags(index) | address | {"TEST_LATE": f"{35 * index}"} for index in range(2)]
    run("tests.parallel.many_hosts", "exchange", devices=2, copies=copies)


@pytest.mark.nightly
def test_two_processes_scan_as_accelerators_do() -> None:
    address = {"TEST_COORDINATOR": f"127.0.0.1:{free_port()}"}
    copies = [flags(index) | address for index in range(2)]
    run("tests.parallel.many_hosts", "in_buckets", devices=2, copies=copies)


# Every day test_executors runs a job as Slurm starts it.
@pytest.mark.nightly
@pytest.mark.parametrize("cluster", [slurm, open_mpi])
def test_two_processes_find_each_other(cluster) -> None:
    job = free_port(least=_FIRST_JOB_PORT) - _FIRST_JOB_PORT
    copies = [cluster(index, job) for index in range(2)]
    run("tests.parallel.many_hosts", "exchange", devices=2, copies=copies)
