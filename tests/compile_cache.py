"""Programs that tests compile, kept from one run of the suite to the next.

Most of a small test's time is compiling. JAX names a program by its code, its options and the
version of its compiler; the folder is one of JAX's version and this processor's instructions, so
that a folder which moves to another machine is not read there.
"""

from __future__ import annotations

import hashlib
import os
import platform
import shutil
import time
import zlib
from importlib.metadata import version
from pathlib import Path

# A folder that no run has used for so long is removed: that of an earlier JAX, as a rule.
_DAYS_KEPT = 30


def use_compile_cache() -> None:
    """Let this process and those it starts share what they compile, unless a folder is set."""
    if "JAX_COMPILATION_CACHE_DIR" in os.environ:
        return
    folder = _folder()
    folder.mkdir(parents=True, exist_ok=True)
    _forget_what_is_cut_short(folder)
    _forget_old_versions(folder)
    os.environ["JAX_COMPILATION_CACHE_DIR"] = str(folder)
    os.environ["JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"] = "0"
    # XLA says of each program that it reads which instructions it was compiled for, and tests look
    # at what a program writes to standard error.
    os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"


def _folder() -> Path:
    shared = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    flags = hashlib.sha256(_instructions().encode()).hexdigest()[:12]
    return Path(shared, "mgm_jax", "compiled", f"jax-{version('jaxlib')}-{flags}")


def _instructions() -> str:
    """What tells one kind of processor from another."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.machine() + platform.processor()
    return next(
        (line for line in lines if line.startswith(("flags", "Features"))), platform.machine()
    )


def _forget_what_is_cut_short(folder: Path) -> None:
    """Remove entries that a killed process left half written: JAX would warn of them for ever.

    Looks only at those that came since the last look.
    """
    stamp = folder / ".looked_at"
    last = stamp.stat().st_mtime if stamp.exists() else 0.0
    stamp.touch()
    for entry in folder.glob("*-cache"):
        # Another run may be writing what is a moment old.
        if last - 5 <= entry.stat().st_mtime < time.time() - 1 and not _is_whole(entry):
            entry.unlink(missing_ok=True)


def _is_whole(entry: Path) -> bool:
    content = entry.read_bytes()
    if content[:1] != b"x":
        # Not of zlib: Zstandard, which JAX takes where it is installed.
        return bool(content)
    try:
        zlib.decompress(content)
    except zlib.error:
        return False
    return True


def _forget_old_versions(folder: Path) -> None:
    for other in folder.parent.iterdir():
        stamp = other / ".looked_at"
        if stamp.exists() and stamp.stat().st_mtime < time.time() - _DAYS_KEPT * 86_400:
            shutil.rmtree(other, ignore_errors=True)
