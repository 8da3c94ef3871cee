"""Jobs of two processes under Open MPI, and on two nodes of a Slurm cluster started here."""

from __future__ import annotations

import getpass
import os
import socket
import subprocess
from pathlib import Path

import pytest

from tests.engines.conftest import MGM, Daemon, environment_of, program, run_all, wait_until
from tests.launch import ROOT, free_port
from tests.sweep.run.test_executors import assert_same

pytestmark = pytest.mark.nightly

#: Two nodes on one machine: each a slurmd with a port of its own. The processes meet at the first
#: of a job's nodes by its name, and Slurm sorts them.
SLURM = """
ClusterName=test
SlurmctldHost={host}(127.0.0.1)
SlurmUser={user}
SlurmdUser={user}
SlurmctldPort={controller}
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket
CryptoType=crypto/munge
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool-%n
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd-%n.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd-%n.log
ProctrackType=proctrack/pgid
TaskPlugin=task/none
MpiDefault=none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
ReturnToService=2
SlurmdParameters=config_overrides
NodeName={host} NodeHostname={host} NodeAddr=127.0.0.1 Port={one} CPUs=1
NodeName=zzz NodeHostname={host} NodeAddr=127.0.0.1 Port={two} CPUs=1
PartitionName=all Nodes={host},zzz Default=YES State=UP
"""


def test_two_ranks_of_open_mpi(alone: Path, study_file: Path, tmp_path: Path) -> None:
    mpirun = program("mpirun", package="openmpi-bin")
    run_all(
        *(mpirun, "--allow-run-as-root", "--oversubscribe", "-n", "2"),
        *(*MGM, str(study_file), "-o", str(tmp_path / "out")),
        environment=environment_of(),
    )
    assert_same(tmp_path / "out", alone)


def test_two_nodes_of_slurm(daemon: Daemon, alone: Path, study_file: Path, tmp_path: Path) -> None:
    munged = program("munged", package="munge")
    slurmctld, slurmd, sinfo, sbatch = (
        program(name, package="slurm-wlm") for name in ("slurmctld", "slurmd", "sinfo", "sbatch")
    )
    host, folder = socket.gethostname(), tmp_path
    try:
        socket.gethostbyname(host)
    except OSError:
        pytest.skip(f"the first node of a job must have a name that leads to it; {host} does not")
    (folder / "state").mkdir()
    (folder / "key").write_bytes(os.urandom(128))
    (folder / "key").chmod(0o600)
    files = {"socket": "munge.socket", "pid-file": "munge.pid", "log-file": "munge.log"}
    options = [f"--{name}={folder / file}" for name, file in files.items()]
    daemon(
        *(munged, "--foreground", "--force", f"--key-file={folder / 'key'}"),
        *(f"--seed-file={folder / 'munge.seed'}", *options),
    )
    settings = SLURM.format(
        host=host,
        user=getpass.getuser(),
        folder=folder,
        controller=free_port(),
        one=free_port(),
        two=free_port(),
    )
    (folder / "slurm.conf").write_text(settings)
    environment = environment_of(SLURM_CONF=str(folder / "slurm.conf"))
    wait_until(lambda: (folder / "munge.socket").exists(), "munged listens")
    quiet = {"env": environment, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    daemon(slurmctld, "-D", **quiet)
    for node in (host, "zzz"):
        daemon(slurmd, "-D", "-N", node, **quiet)

    def ready() -> bool:
        command = [sinfo, "-h", "-t", "idle", "-o", "%D"]
        said = subprocess.run(command, env=environment, capture_output=True, text=True)
        return said.stdout.strip() == "2"

    try:
        wait_until(ready, "both nodes are idle")
    except TimeoutError:
        # Some builds of Slurm refuse several slurmd on one machine.
        logs = "\n".join(path.read_text()[-800:] for path in folder.glob("slurm*.log"))
        if "multiple-slurmd" in logs:
            pytest.skip("this slurmd was built without --enable-multiple-slurmd")
        raise AssertionError(logs) from None
    done = subprocess.run(
        [
            *(sbatch, "--wait", "--nodes=2", "--ntasks-per-node=1", "--cpus-per-task=1"),
            *("--time=10", f"--output={folder / 'job.log'}"),
            *(str(ROOT / "examples/sweep_slurm.sh"), str(study_file), str(folder / "out")),
        ],
        env=environment,
        capture_output=True,
        text=True,
        timeout=900,
    )
    assert done.returncode == 0, done.stderr + (folder / "job.log").read_text()
    assert_same(folder / "out", alone)
