"""``ray job submit`` to a head and a second node, whose worker and then whose raylet are killed."""

from __future__ import annotations

import os
import signal
import subprocess
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.engines.conftest import Daemon, environment_of, program, run_all, wait_for, wait_until
from tests.launch import ROOT, free_port
from tests.sweep.run.test_executors import assert_same

pytestmark = pytest.mark.nightly


def test_a_job_that_loses_a_worker_and_a_node(
    daemon: Daemon, alone: Path, study_file: Path, tmp_path: Path
) -> None:
    ray = program("ray", package="make engines")
    # The job has the environment of the node that it runs on.
    environment = environment_of(RAY_USAGE_STATS_ENABLED="0", MGM_GPUS="0")
    port, page, client = free_port(), free_port(), free_port()
    common = (
        *("--block", "--node-ip-address=127.0.0.1", "--num-cpus=4", "--min-worker-port=0"),
        *("--max-worker-port=0", f"--object-store-memory={100 * 2**20}", "--disable-usage-stats"),
    )
    quiet = {"env": environment, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    daemon(
        *(ray, "start", "--head", f"--port={port}", f"--dashboard-port={page}"),
        *("--dashboard-host=127.0.0.1", f"--ray-client-server-port={client}", *common),
        **quiet,
    )
    wait_for(port)
    wait_for(page)
    # Some time after the page answers, the head takes jobs.
    empty = [ray, "job", "submit", f"--address=http://127.0.0.1:{page}", "--", "true"]
    wait_until(lambda: subprocess.run(empty, check=False, **quiet).returncode == 0, "a job is run")
    second = daemon(ray, "start", f"--address=127.0.0.1:{port}", *common, **quiet)
    out, killed = tmp_path / "out", list[str]()

    def kill_a_worker_and_a_node() -> None:
        # The worker is at work, the raylet has done some.
        for what, begun, is_wanted in (
            ("worker", "embeddings", lambda name: name.startswith("ray::_do")),
            ("raylet", "records", lambda name: "/raylet/raylet" in name),
        ):
            wait_until(lambda begun=begun: any(out.glob(f"{begun}/*")), begun, seconds=400)
            wait_until(lambda want=is_wanted: _descendants(second.pid, want) != [], what)
            os.kill(_descendants(second.pid, is_wanted)[0], signal.SIGKILL)
            killed.append(what)

    thread = threading.Thread(target=kill_a_worker_and_a_node, daemon=True)
    thread.start()
    run_all(
        *(str(ROOT / "examples/sweep_ray.sh"), f"http://127.0.0.1:{page}"),
        *(str(study_file), str(out)),
        environment=environment,
    )
    thread.join(60)
    assert killed == ["worker", "raylet"]
    assert_same(out, alone)


def _descendants(parent: int, is_wanted: Callable[[str], bool]) -> list[int]:
    """Programs that a program started, itself or through others, by their command lines."""
    parents, wanted = {}, []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            words = (folder / "stat").read_text().rpartition(")")[2].split()
            name = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:
            # It has just ended.
            continue
        parents[int(folder.name)] = int(words[1])
        if is_wanted(name):
            wanted.append(int(folder.name))

    def is_below(number: int) -> bool:
        while number in parents and number != parent:
            number = parents[number]
        return number == parent

    return [number for number in wanted if number != parent and is_below(number)]
