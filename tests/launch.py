"""Programs started by tests: with simulated devices, or several that find each other.

Every program is over, by itself or killed, when a call returns.
"""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
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


def free_port(*, least: int = 0) -> int:
    """A port that nobody listens on at the moment, from ``least`` up."""
    for port in range(least, 2**16) if least else (0,):
        with socket.socket() as one, contextlib.suppress(OSError):
            one.bind(("127.0.0.1", port))
            return one.getsockname()[1]
    raise OSError("no port is free")
