"""Real engines, and the tables of one process that theirs are compared with.

Where a program is not installed, its test is skipped and says so; ``make engines`` installs it.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest

from tests.sweep.run.test_executors import PACKAGES, STUDY
from tests.sweep.run.test_executors import alone as alone

#: Command of a run, which every engine starts in its own way.
MGM = (sys.executable, "-m", "mgm_jax", "run")


def environment_of(**more: str) -> dict[str, str]:
    """The environment of a run, with XLA's optimisations as the test at hand has them.

    Scripts find ``mgm`` beside this Python.
    """
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    return os.environ | {"PATH": path, "PYTHONPATH": PACKAGES, "JAX_PLATFORMS": "cpu"} | more


Daemon = Callable[..., subprocess.Popen[bytes]]


def program(name: str, *, package: str) -> str:
    """Path of a program; skips where it is not installed."""
    # Beside this Python lies what was installed with the package; daemons lie where root looks.
    folders = [str(Path(sys.executable).parent), os.environ["PATH"], "/usr/sbin", "/sbin"]
    result = shutil.which(name, path=os.pathsep.join(folders))
    if result is None:
        pytest.skip(f"runs {name}, which is not installed ({package})")
    return result


def wait_until(condition: Callable[[], bool], what: str, *, seconds: float = 180) -> None:
    """Wait until something is so; an error that names it where it does not come to be."""
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            raise TimeoutError(f"not within {seconds:g} s: {what}")
        time.sleep(0.1)


def wait_for(port: int) -> None:
    """Wait until somebody listens on a port of this machine."""

    def listens() -> bool:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return True
        return False

    wait_until(listens, f"somebody listens on port {port}")


def run_all(*command: str, environment: Mapping[str, str], status: int = 0) -> str:
    """A program that must end with this status; all that it said."""
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=900)
    assert done.returncode == status, done.stdout + done.stderr
    return done.stdout + done.stderr


@pytest.fixture
def study_file(alone: Path) -> Path:
    """The study beside its checkpoint."""
    path = alone.parent / "study.yaml"
    path.write_text(STUDY.to_yaml())
    return path


@pytest.fixture
def daemon() -> Iterator[Daemon]:
    """Start a program that is ended, with all that it started, at the end of the test."""
    started: list[subprocess.Popen[bytes]] = []

    def start(*command: str, **options: object) -> subprocess.Popen[bytes]:
        started.append(subprocess.Popen(command, start_new_session=True, **options))  # type: ignore[call-overload]
        return started[-1]

    yield start
    for one in reversed(started):
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(one.pid, 15)
        try:
            one.wait(10)
        except subprocess.TimeoutExpired:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(one.pid, 9)
            one.wait()
