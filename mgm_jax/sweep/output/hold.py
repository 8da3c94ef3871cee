"""One run at a time writes into an output folder; a second one is told who does."""

from __future__ import annotations

import fcntl
import json
import os
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

from mgm_jax.errors import InputError

#: In an output folder: held while a run writes there.
LOCK = ".lock"

# How file systems say that another process has the lock; any other error is their own.
_HELD = (BlockingIOError, PermissionError)


@contextmanager
def hold(out: Path) -> Iterator[None]:
    """Hold an output folder for this process; the lock dies with it.

    Raises:
        InputError: another process holds it, or it is no folder that can be written to and locked.
    """
    with _opened(out) as file:
        try:
            locked = _locked(file)
        except OSError as error:
            raise InputError(
                f"{out}: lies where files cannot be locked ({error.strerror}), so that two runs "
                "could write here at once; mount it with locks, or give another folder"
            ) from error
        if not locked:
            file.seek(0)
            raise InputError(
                f"{out}: another run is writing here ({_said(file.read())}); "
                "wait for it, or give another folder"
            )
        file.truncate(0)
        file.write(json.dumps({"host": socket.gethostname(), "process": os.getpid()}))
        file.flush()
        yield


def _opened(out: Path) -> TextIO:
    try:
        out.mkdir(parents=True, exist_ok=True)
        return (out / LOCK).open("a+")
    except OSError as error:
        raise InputError(
            f"{out}: is no folder that can be written to ({error.strerror}: {error.filename}); "
            "make it one, or give another folder"
        ) from error


def _locked(file: TextIO) -> bool:
    # Someone who only looks holds the lock for a moment.
    for wait in (0.05, 0.2, 0.0):
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return True
        except _HELD:
            time.sleep(wait)
    return False


def holder(out: Path) -> str | None:
    """Who writes into an output folder at the moment; None where nobody does."""
    try:
        file = (out / LOCK).open("r")
    except OSError:
        return None
    with file:
        try:
            # A shared lock cannot be had while a run holds the folder, and harms no other reader.
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except _HELD:
            return _said(file.read())
        except OSError:
            # Where there are no locks, no run holds one.
            return None
    return None


def _said(text: str) -> str:
    try:
        who = json.loads(text)
        return f"process {who['process']} on {who['host']}"
    except (ValueError, KeyError, TypeError):
        return "of unknown place"
