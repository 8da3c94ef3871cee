"""Programs started by tests: with simulated devices, or several that find each other.

A program costs seconds before its first line and compiles for itself, so that all checks of a room
which need the same devices are made by one: a module ``many_devices`` lists them, ``make_checks``
makes them there, and ``run`` is what the test calls. Every program is over, by itself or killed,
when a call returns. One check alone: ``python -m tests.geometry.many_devices neighbours`` with
``XLA_FLAGS=--xla_force_host_platform_device_count=8``.
"""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
import traceback
import warnings
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


def run(
    module: str,
    *arguments: str,
    devices: int,
    copies: Sequence[Mapping[str, str]] = ({},),
    timeout: float = 600,
) -> list[str]:
    """Run a module of this repository, once or in several copies at the same time.

    Args:
        module: its name.
        arguments: of the command line.
        devices: simulated devices of each copy.
        copies: environment of each, on top of this one's.
        timeout: seconds until all are killed.

    Returns:
        What each wrote to its standard output.
    """
    flags = [
        *os.environ.get("XLA_FLAGS", "").split(),
        f"--xla_force_host_platform_device_count={devices}",
        # These programs compile for long and run for a moment.
        "--xla_backend_optimization_level=0",
    ]
    common = {"JAX_PLATFORMS": "cpu", "XLA_FLAGS": " ".join(flags), "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", module, *arguments]
    started = []
    try:
        for extra in copies:
            started.append(
                subprocess.Popen(
                    command,
                    cwd=ROOT,
                    env=os.environ | common | dict(extra),
                    stdout=subprocess.PIPE,
                    stderr=subprocess.PIPE,
                    text=True,
                    start_new_session=True,
                )
            )
        last = time.monotonic() + timeout
        written = []
        for program in started:
            output, errors = program.communicate(timeout=max(1, last - time.monotonic()))
            assert program.returncode == 0, f"{output}\n{errors}"
            written.append(output)
        return written
    finally:
        for program in started:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(program.pid, signal.SIGKILL)
            program.wait()
            for stream in (program.stdout, program.stderr):
                if stream is not None:
                    stream.close()


def make_checks(*checks: Callable[[], None]) -> None:
    """Make all checks, or those named on the command line; the program's status tells the end."""
    warnings.simplefilter("ignore")
    failed = []
    for check in checks:
        if sys.argv[1:] and check.__name__ not in sys.argv[1:]:
            continue
        try:
            check()
        except Exception:
            print(f"{check.__name__}:\n{traceback.format_exc()}", flush=True)
            failed.append(check.__name__)
        else:
            print(f"{check.__name__} done", flush=True)
    sys.exit(f"failed: {', '.join(failed)}" if failed else 0)


def free_port(*, least: int = 0) -> int:
    """A port that nobody listens on at the moment, from ``least`` up."""
    for port in range(least, 2**16) if least else (0,):
        with socket.socket() as one, contextlib.suppress(OSError):
            one.bind(("127.0.0.1", port))
            return one.getsockname()[1]
    raise OSError("no port is free")
