"""How tests compile: quickly where numbers are not the point, and once for many runs.

Most of a small test's time is compiling. JAX names a program by its code, its options and the
version of its compiler; the folder is one of JAX's version and this CPU's instructions, so
that a folder which moves to another machine is not read there.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from mgm_jax.compile_cache import cache_folder, tidy

# Fusions by XLA's older emitters, which take a third of the time. Later versions lack them, and
# XLA ends a process that names a flag which it does not know.
_OLDER_EMITTERS = "--xla_cpu_use_fusion_emitters=false"


def use_compile_cache(*, quickly: bool) -> None:
    """Let this process and those it starts share what they compile, unless a folder is set.

    Args:
        quickly: whether XLA's older emitters will do; the flag holds for all that a process
            compiles, so before JAX is imported.
    """
    if "JAX_COMPILATION_CACHE_DIR" in os.environ:
        return
    folder = cache_folder()
    # Tests kill processes, which leaves programs half written: look at every start.
    if not tidy(folder, every=0.0):
        return
    os.environ["JAX_COMPILATION_CACHE_DIR"] = str(folder)
    os.environ["JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"] = "0"
    # XLA says of each program that it reads which instructions it was compiled for, and tests look
    # at what a program writes to standard error.
    os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
    if quickly and "XLA_FLAGS" not in os.environ and _has_older_emitters(folder):
        os.environ["XLA_FLAGS"] = _OLDER_EMITTERS


def _has_older_emitters(folder: Path) -> bool:
    """Whether this XLA knows the flag; asked once, and kept beside the programs."""
    answer = folder / ".older_emitters"
    if not answer.is_file():
        asked = subprocess.run(
            [sys.executable, "-c", "import jax; jax.devices()"],
            env=os.environ | {"XLA_FLAGS": _OLDER_EMITTERS, "JAX_PLATFORMS": "cpu"},
            capture_output=True,
        )
        answer.write_text(str(asked.returncode == 0))
    return answer.read_text() == "True"
