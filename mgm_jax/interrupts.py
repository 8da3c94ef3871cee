"""Signals that ask a job to stop: Ctrl-C, and what schedulers and closed terminals send.

Python raises KeyboardInterrupt wherever the main thread stands. Where that is a finaliser or a
callback of compiled code, the exception is printed and forgotten, and a long job would run on to
its end; where it is an import, the import fails with an error of its own. So the signal is
remembered as well: a job asks for it with every step of its bar, and an error after it is its end.

Before a job begins there is nothing to lose, and libraries are loading that survive no exception:
there the program leaves at once.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

_SIGNALS = tuple(
    getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)
)

# The signal that was remembered; empty where there was none.
_asked: list[int] = []


class Stopped(KeyboardInterrupt):
    """A signal asked the job to stop.

    Attributes:
        number: of the signal.
    """

    def __init__(self, number: int) -> None:
        super().__init__(signal.Signals(number).name)
        self.number = number


def leave_when_asked() -> None:
    """Let a signal end the program at once with one line, until a job remembers it instead.

    A signal that is ignored, as under ``nohup``, or that somebody else handles stays so.
    """
    for number in _SIGNALS:
        if signal.getsignal(number) in (signal.SIG_DFL, signal.default_int_handler):
            signal.signal(number, _leave)


@contextmanager
def remember_interrupts() -> Iterator[None]:
    """Raise :class:`Stopped` in the body at a signal, and remember it until it has ended the body.

    A second signal ends the program at once. In another thread than the main one, or under a
    handler of somebody else, nothing changes.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    usual = (signal.SIG_DFL, signal.default_int_handler, _leave)
    before = {number: signal.getsignal(number) for number in _SIGNALS}
    ours = {number: handler for number, handler in before.items() if handler in usual}
    for number in ours:
        signal.signal(number, _ask)
    try:
        yield
    except KeyboardInterrupt:
        raise
    except BaseException as error:
        if _asked:
            raise Stopped(_asked[0]) from error
        raise
    finally:
        for number, handler in ours.items():
            signal.signal(number, handler)
        _asked.clear()


@contextmanager
def stoppable() -> Iterator[None]:
    """A body that a signal ends with one line and the status that shells expect of it.

    Raises:
        SystemExit: 130 after a Ctrl-C, 143 after SIGTERM, 129 after SIGHUP.
    """
    try:
        with remember_interrupts():
            yield
    except KeyboardInterrupt as error:
        number = error.number if isinstance(error, Stopped) else signal.SIGINT
        print(_line(number), file=sys.stderr, flush=True)
        # Cells that other threads are at would be waited for otherwise.
        raise SystemExit(128 + number) from error


def stop_if_asked() -> None:
    """Go on, unless a signal was remembered.

    Raises:
        Stopped: there was one.
    """
    if _asked:
        raise Stopped(_asked[0])


def _ask(number: int, frame: FrameType | None) -> Any:
    if _asked:
        _leave(number, frame)
    _asked.append(number)
    raise Stopped(number)


def _leave(number: int, frame: FrameType | None) -> Any:
    os.write(2, f"{_line(number)}\n".encode())
    os._exit(128 + number)


def _line(number: int) -> str:
    by = "" if number == signal.SIGINT else f" by {signal.Signals(number).name}"
    return f"stopped{by}; the same command goes on from here"
