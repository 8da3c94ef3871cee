"""Files that are either whole or absent, whatever interrupts the writing."""

from __future__ import annotations

import errno
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

#: How the names of temporary files begin.
PART = ".part-"


@contextmanager
def whole_file(path: str | Path, *, replace: bool = True) -> Iterator[Path]:
    """Give a temporary path beside ``path`` to write to; rename it into place at the end.

    Readers see the old file or the new one, never a part. If the body raises, the temporary file
    is removed and ``path`` is left as it was. An ``OSError`` of the temporary file names ``path``,
    which is the one that a user knows. Without ``replace`` it is a ``FileExistsError`` that
    another file has the name by now: of several writers at once one gets through.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     with whole_file(Path(folder) / "a.txt") as part:
    ...         _ = part.write_text("done")
    ...     (Path(folder) / "a.txt").read_text()
    'done'
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    part: Path | None = None
    try:
        # The suffix stays last, because writers choose their format by it.
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=PART, suffix=path.suffix)
        os.close(handle)
        part = Path(name)
        yield part
        with part.open("rb") as file:
            os.fsync(file.fileno())
        # mkstemp makes private files; a result is as readable as the user's other files.
        part.chmod(0o666 & ~_umask())
        if replace:
            os.replace(part, path)
        else:
            _take_name(part, path)
    except OSError as error:
        if _is_about_the_part(error, path):
            raise OSError(error.errno, error.strerror, str(path)) from error
        raise
    finally:
        if part is not None:
            part.unlink(missing_ok=True)


def _take_name(part: Path, path: Path) -> None:
    try:
        # A rename would replace another process's file without a word; a hard link fails.
        os.link(part, path)
    except FileExistsError:
        raise
    except OSError:
        # This file system knows no hard links.
        os.replace(part, path)


def _is_about_the_part(error: OSError, path: Path) -> bool:
    """Whether what failed is the temporary file beside ``path``, or a write that names no file."""
    if error.filename is None:
        return error.errno in _NO_SPACE
    if not isinstance(error.filename, str | bytes):
        return False
    failed = Path(os.fsdecode(error.filename))
    return failed.name.startswith(PART) and failed.parent.name == path.parent.name


#: What was moved out of the way because it is damaged has this at the end of its name.
DAMAGED = ".damaged"


def set_aside(path: Path) -> Path:
    """Move a damaged file or folder out of the way, in place of an earlier one; where it is now."""
    aside = path.with_name(path.name + DAMAGED)
    if aside.is_dir():
        shutil.rmtree(aside)
    os.replace(path, aside)
    return aside


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


# A file system that is full, a quota that is used up, a file larger than is allowed.
_NO_SPACE = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


def out_of_space(error: BaseException | None) -> bool:
    """Whether an error, or what it came from, says that nothing more can be written.

    >>> out_of_space(OSError(errno.ENOSPC, "No space left on device"))
    True
    """
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        if isinstance(error, OSError) and error.errno in _NO_SPACE:
            return True
        # TensorStore names the number in its text only.
        if any(f"os_error_code='{number}'" in str(error) for number in _NO_SPACE):
            return True
        error = error.__cause__ or error.__context__
    return False
