"""Errors of the output folder, which are no cell's fault: they end a study, and leave no failure.

A failure of a cell is noted and not tried again unless asked for. A disk that is full, a share
that went away or a folder that somebody deleted has nothing to do with the cell at hand: the study
stops, and the same command goes on when the cause is gone.
"""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from mgm_jax.embeddings import ChunkLost
from mgm_jax.errors import InputError
from mgm_jax.files.seals import DamagedError
from mgm_jax.files.whole import out_of_space
from mgm_jax.sweep.output.hold import LOCK

# A file system that was made read-only, a share or disk that went away.
_GONE = (errno.EROFS, errno.EIO, errno.ESTALE, errno.ENOTCONN, errno.ENODEV, errno.EHOSTDOWN)


class OutputError(InputError):
    """The output folder cannot be used any more; the message says why and what to do."""


def output_error(out: Path, error: BaseException) -> OutputError | None:
    """The error that ends a study, where ``error`` comes from its output folder; None elsewhere."""
    if isinstance(error, OutputError):
        return error
    if out_of_space(error):
        return OutputError(
            f"{out}: no space is left ({error}); make room, and the same command goes on"
        )
    if any(isinstance(one, ChunkLost) and _lies_in(one.folder, out) for one in _causes(error)):
        # Probes read large embeddings bit by bit, long after they were opened.
        return OutputError(_changed(error))
    if not (out / LOCK).exists() and _is_of_a_file(error):
        return OutputError(
            f"{out}: was deleted or moved while the run was at work; the same command computes "
            "again what is missing"
        )
    if any(_is_below(one, out) for one in _causes(error)):
        return OutputError(
            f"{out}: cannot be written or read ({_said(error)}); make it writable, and the same "
            "command goes on"
        )
    return None


@contextmanager
def own_files(out: Path) -> Iterator[None]:
    """A body that reads what earlier stages have left; what it lacks is no fault of the cell.

    Raises:
        OutputError: a file of the output is gone or damaged.
    """
    try:
        yield
    except (InputError, OSError, DamagedError) as error:
        if known := output_error(out, error):
            raise known from error
        raise OutputError(_changed(error)) from error


def _changed(error: BaseException) -> str:
    return (
        f"{error}; it was changed while the run was at work, and the same command computes it again"
    )


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        yield error
        error = error.__cause__ or error.__context__


def _is_of_a_file(error: BaseException) -> bool:
    return any(
        isinstance(one, (OSError, InputError)) or "os_error_code" in str(one)
        for one in _causes(error)
    )


def _lies_in(path: Path, out: Path) -> bool:
    return path.resolve().is_relative_to(out.resolve())


def _is_below(error: BaseException, out: Path) -> bool:
    if isinstance(error, OSError):
        names = [name for name in (error.filename, error.filename2) if isinstance(name, str | Path)]
        return error.errno in _GONE or any(Path(name).is_relative_to(out) for name in names)
    # TensorStore names the file and the number in its text only.
    return "os_error_code" in str(error) and str(out) in str(error)


def _said(error: BaseException) -> str:
    for one in _causes(error):
        if isinstance(one, OSError) and one.strerror:
            return f"{one.strerror}: {one.filename}" if one.filename else one.strerror
    return str(error) or type(error).__name__
