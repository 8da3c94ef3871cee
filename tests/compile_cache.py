"""Programs that tests compile, kept from one run of the suite to the next.

Most of a small test's time is compiling. JAX names a program by its code, its options and the
version of its compiler; the folder is one of JAX's version and this CPU's instructions, so
that a folder which moves to another machine is not read there.
"""

from __future__ import annotations

import os

from mgm_jax.compile_cache import cache_folder, tidy


def use_compile_cache() -> None:
    """Let this process and those it starts share what they compile, unless a folder is set."""
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
