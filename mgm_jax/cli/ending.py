"""How a command ends: its exit status, and one message where a user can mend something."""

from __future__ import annotations

import errno
import io
import sys
import warnings
from typing import Any, NoReturn

import typer

from mgm_jax.errors import InputError, OldNameWarning
from mgm_jax.files.whole import out_of_space


def run_command(app: typer.Typer) -> None:
    """Run a command: whatever a user can mend is one clear message and status 2."""
    warnings.formatwarning = _note
    # A terminal that has no letters for a name gets its code points instead of an error.
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")
    try:
        app()
    except InputError as error:
        _end(str(error))
    except OSError as error:
        # A disk, a folder or a share; which one, the error says.
        named = " -> ".join(str(name) for name in (error.filename, error.filename2) if name)
        said = ": ".join(part for part in (named, error.strerror or str(error)) if part)
        _end(said + _remedy(error))
    except MemoryError as error:
        _end(f"the memory of this machine does not suffice ({error})")


_format = warnings.formatwarning


def _note(message: Warning | str, category: type[Warning], *where: Any, **line: Any) -> str:
    """An old name is a note to the user; every other warning is what it is elsewhere."""
    if issubclass(category, OldNameWarning):
        return f"note: {message}\n"
    return _format(message, category, *where, **line)


def _remedy(error: OSError) -> str:
    """What a user can do about a file that cannot be written."""
    again = "and run the command again: what is written is kept"
    if out_of_space(error):
        return f". Make room, or raise the quota or the limit (ulimit -f), {again}"
    if error.errno in (errno.EROFS, errno.EACCES, errno.EPERM):
        return f". Make it readable and writable for you, or name another place, {again}"
    return ""


def _end(message: str) -> NoReturn:
    typer.echo(f"error: {message}", err=True)
    sys.exit(2)
