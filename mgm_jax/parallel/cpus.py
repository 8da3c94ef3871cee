"""Cores of the host that this process may use."""

from __future__ import annotations

import os


def available_cpus() -> int:
    """Cores that this process may use, at least 1: those that a scheduler or ``taskset`` left it.

    >>> available_cpus() >= 1
    True
    """
    # From Python 3.13 on, which asks the scheduler too, and lets a variable say less.
    counted = getattr(os, "process_cpu_count", None)
    if counted is not None:
        return counted() or 1
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
