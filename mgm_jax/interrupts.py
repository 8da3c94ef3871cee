"""Ctrl-C that is not lost.

Python raises KeyboardInterrupt wherever the main thread stands. Where that is a finaliser or a
callback of compiled code, the exception is printed and forgotten, and a long job would run on to
its end. So the signal is remembered as well, and a job asks for it with every step of its bar.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

_ASKED = threading.Event()


@contextmanager
def remember_interrupts() -> Iterator[None]:
    """Remember a Ctrl-C while the body runs, until it has ended the body.

    In another thread than the main one, or under a handler of somebody else, nothing changes.
    """
    main = threading.current_thread() is threading.main_thread()
    if not main or signal.getsignal(signal.SIGINT) is not signal.default_int_handler:
        yield
        return

    def ask(number: int, frame: FrameType | None) -> None:
        _ASKED.set()
        signal.default_int_handler(number, frame)

    signal.signal(signal.SIGINT, ask)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, signal.default_int_handler)
        _ASKED.clear()


def stop_if_asked() -> None:
    """Go on, unless a Ctrl-C was remembered.

    Raises:
        KeyboardInterrupt: there was one.
    """
    if _ASKED.is_set():
        raise KeyboardInterrupt
