"""Compiled programs, kept in the user's cache from one process to the next.

Most of a first call is compiling: 8 seconds of ``manifold_metrics``, half of a first look. JAX can
keep what it compiled, named by the program, its options and the version of the compiler; here that
is on by default. The folder is one of jaxlib's version and this CPU's instructions, because
a home directory may be shared by machines that lack each other's instructions.

``MGM_JAX_CACHE=off`` turns it off, ``MGM_JAX_CACHE=FOLDER`` takes another folder. What JAX was
told itself (``JAX_COMPILATION_CACHE_DIR``, ``jax_enable_compilation_cache``) stands. Nothing
happens where JAX was imported before this package: see :func:`quieten`.
"""

from __future__ import annotations

import hashlib
import os
import platform
import shutil
import sys
import time
import zlib
from contextlib import suppress
from importlib.metadata import version
from pathlib import Path
from typing import Any

#: Bytes of all programs that are kept, those of other versions and CPUs included.
LIMIT = 2**30

#: Turns the cache off or names its folder.
SWITCH = "MGM_JAX_CACHE"

_OFF = ("off", "0", "no", "false")
_LOG_LEVEL = "TF_CPP_MIN_LOG_LEVEL"
_QUIET = ("3", "4", "5")
# A folder that no process has used for so long is removed: that of an earlier JAX, as a rule.
_DAYS_KEPT = 30
_STAMP = ".looked_at"
_DAY = 86_400.0

_told = False


def quieten() -> None:
    """Keep XLA's notes about CPUs off the terminal; call it before JAX is imported.

    XLA writes two lines for every program that it reads back, about instructions it would rather
    not use, and takes the level of its notes from the environment while it is loaded. Where JAX
    is there already it is too late, so :func:`keep_programs` then does nothing: being quiet
    comes before being fast. A level that is set already stands.
    """
    if "jax" not in sys.modules and not _is_off():
        os.environ.setdefault(_LOG_LEVEL, "3")


def keep_programs() -> None:
    """Let JAX keep what this process compiles, and read what earlier ones did.

    The first call decides for the process. A folder that cannot be written is no error.
    """
    global _told
    if _told or _is_off() or os.environ.get(_LOG_LEVEL) not in _QUIET:
        return
    _told = True
    import jax
    from jax.experimental.compilation_cache import compilation_cache

    settings: Any = jax.config
    if settings.jax_compilation_cache_dir or not settings.jax_enable_compilation_cache:
        return
    folder = cache_folder()
    if not tidy(folder):
        return
    jax.config.update("jax_compilation_cache_dir", str(folder))
    # By default JAX keeps only what took a second; a first call is dozens of smaller ones.
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)
    # Where something was compiled before, JAX has made up its mind that there is no cache.
    compilation_cache.reset_cache()


def cache_folder() -> Path:
    """The folder for programs of this jaxlib and this CPU."""
    instructions = hashlib.sha256(_instructions().encode()).hexdigest()[:12]
    return _root() / f"jax-{version('jaxlib')}-{instructions}"


def tidy(folder: Path, *, limit: int = LIMIT, every: float = _DAY) -> bool:
    """Make the folder and, from time to time, remove what is old, too much, or was cut short.

    Args:
        folder: of this jaxlib and CPU; those beside it are looked at too.
        limit: bytes of all programs; the oldest go first.
        every: seconds between two looks.

    Returns:
        Whether the folder can be used.
    """
    stamp = folder / _STAMP
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        last = stamp.stat().st_mtime if stamp.exists() else 0.0
        if time.time() - last > every:
            stamp.touch()
            _forget_old_versions(folder.parent)
            _forget_what_is_cut_short(folder, since=last)
            _forget_the_oldest(folder.parent, limit=limit)
    except OSError:
        return False
    return os.access(folder, os.W_OK)


def _is_off() -> bool:
    return os.environ.get(SWITCH, "").strip().lower() in _OFF


def _root() -> Path:
    given = os.environ.get(SWITCH, "").strip()
    if given:
        return Path(given).expanduser()
    shared = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(shared, "mgm_jax", "compiled")


def _instructions() -> str:
    """What tells one kind of CPU from another."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.machine() + platform.processor()
    return next(
        (line for line in lines if line.startswith(("flags", "Features"))), platform.machine()
    )


def _programs(folder: Path) -> list[Path]:
    return list(folder.glob("*-cache"))


def _forget_what_is_cut_short(folder: Path, *, since: float) -> None:
    """Remove entries that a killed process left half written: JAX would warn of them for ever."""
    for entry in _programs(folder):
        with suppress(FileNotFoundError):
            # Another process may be writing what is a moment old.
            if since - 5 <= entry.stat().st_mtime < time.time() - 1 and not _is_whole(entry):
                entry.unlink()


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


def _forget_old_versions(root: Path) -> None:
    for folder in root.iterdir():
        stamp = folder / _STAMP
        if stamp.exists() and stamp.stat().st_mtime < time.time() - _DAYS_KEPT * _DAY:
            shutil.rmtree(folder, ignore_errors=True)


def _forget_the_oldest(root: Path, *, limit: int) -> None:
    kept = 0
    programs = []
    for entry in (entry for folder in root.iterdir() for entry in _programs(folder)):
        with suppress(FileNotFoundError):
            programs.append((entry.stat(), entry))
    for facts, entry in sorted(programs, key=lambda item: item[0].st_mtime, reverse=True):
        kept += facts.st_size
        if kept > limit:
            entry.unlink(missing_ok=True)
