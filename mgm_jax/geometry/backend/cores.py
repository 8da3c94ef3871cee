"""Threads on cores of their own for the time of a few calls.

A thread that waits for another is woken by it, and the system may start it on the core of who woke
it, beside an idle one: where the cores are those of a virtual machine, at rest for a while, this is
the rule, and some milliseconds go by before one of the two is moved. A thread that may run on its
own share of the cores only cannot be started anywhere else.
"""

from __future__ import annotations

import ctypes
import os
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager, suppress
from functools import cache


@contextmanager
def cores_apart(others: Collection[int]) -> Iterator[None]:
    """Keep this thread and others on cores of their own; then all may use those of this one again.

    What threads a call within starts stay on the cores of who started them: it should start none.
    Nothing happens where the system does not tell, or where there are not enough cores.

    Args:
        others: threads, by ``threading.get_native_id``.

    >>> with cores_apart([]):
    ...     pass
    """
    here = _core_here()
    if here is None or not others:
        yield
        return
    allowed = os.sched_getaffinity(0)
    shares = _shares(allowed, here, len(others) + 1)
    try:
        # This thread, 0 for the system, stays where it is.
        for thread, share in zip((0, *others), shares, strict=False):
            _keep_on(thread, share)
        yield
    finally:
        for thread in (0, *others) if shares else ():
            _keep_on(thread, allowed)


def _shares(cores: set[int], first: int, number: int) -> list[set[int]]:
    """Shares of some cores, the first of them with a certain one; none where there are too few.

    >>> _shares({0, 1, 2, 3}, 2, 2) == [{2, 1}, {0, 3}], _shares({0, 1}, 0, 3)
    (True, [])
    """
    if first not in cores or number > len(cores):
        return []
    order = [first, *sorted(cores - {first})]
    return [set(order[start::number]) for start in range(number)]


def _keep_on(thread: int, cores: set[int]) -> None:
    # A thread that has ended, or a system that does not let it.
    with suppress(OSError):
        os.sched_setaffinity(thread, cores)


def _core_here() -> int | None:
    """The core that this thread runs on; None where the system does not tell."""
    ask = _ask_for_core()
    core = -1 if ask is None else ask()
    return core if core >= 0 else None


@cache
def _ask_for_core() -> Callable[[], int] | None:
    if not hasattr(os, "sched_setaffinity"):
        return None
    try:
        return ctypes.CDLL(None).sched_getcpu
    except (OSError, AttributeError):
        return None
