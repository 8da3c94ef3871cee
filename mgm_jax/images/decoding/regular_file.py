"""Reading a file that must be one: pipes, devices and sockets are never opened for long."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from mgm_jax.errors import InputError
from mgm_jax.images.decoding.limits import LIMITS, Limits

_KINDS = (
    (stat.S_ISFIFO, "a pipe"),
    (stat.S_ISSOCK, "a socket"),
    (stat.S_ISCHR, "a device"),
    (stat.S_ISBLK, "a device"),
    (stat.S_ISDIR, "a folder"),
)


def kind_of(mode: int) -> str | None:
    """What a file is that is none with a content of its own; None for a regular file.

    >>> kind_of(stat.S_IFIFO), kind_of(stat.S_IFREG)
    ('a pipe', None)
    """
    return next((name for test, name in _KINDS if test(mode)), None)


def read_regular(path: Path | str, *, name: str, limits: Limits = LIMITS) -> bytes:
    """All bytes of a regular file.

    Args:
        path: where it lies.
        name: what an error calls it.
        limits: of its size.

    Raises:
        InputError: it is no regular file, or too large.
        OSError: it cannot be read.
    """
    # Opening a pipe waits for its other end, but for this flag; on a regular file it does nothing.
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    with open(descriptor, "rb") as file:
        facts = os.fstat(descriptor)
        if kind := kind_of(facts.st_mode):
            raise InputError(f"{name} is {kind}, and is not opened as an image.")
        limits.check("file_bytes", facts.st_size, name=name, what="bytes")
        return file.read()
