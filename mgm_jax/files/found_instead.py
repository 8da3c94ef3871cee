# pyright: strict
"""What lies in place of a file that was meant: a pointer, a web page, nothing, another format.

Downloads end so, whatever the file was to be, and the libraries that read arrays, tables and
archives say no more than that something is no file of theirs, or advise to load it unsafely.
"""

from __future__ import annotations

from pathlib import Path

from mgm_jax.files.formats import JSON, LFS_POINTER, PICKLE, WEB_PAGE, XML, format_of

# What is said behind the name of a format.
_MORE = {
    LFS_POINTER: ": fetch the file itself with `git lfs pull`",
    WEB_PAGE: ", as servers send instead of a file: download it again",
    XML: ", as storage servers send instead of a file: download it again",
    JSON: ", or what a server answered instead of a file",
    PICKLE: ", which is never loaded: save numbers or texts instead",
    **dict.fromkeys(("a 7-Zip archive", "a RAR archive"), ": unpack it"),
}
_HEAD = 2048


def stands_for_another(content: bytes) -> str | None:
    """In words what a content is that stands in place of the one that was meant.

    Args:
        content: all of it, or how it begins.

    >>> stands_for_another(b"")
    'empty (0 bytes)'
    >>> stands_for_another(b"PK") is None
    True
    """
    if not content:
        return "empty (0 bytes)"
    if not content.strip(b"\0"):
        return f"{len(content):,} bytes of zero, as a copy leaves that was not finished"
    what = format_of(content)
    return what + _MORE[what] if what in (LFS_POINTER, WEB_PAGE) else None


def found_instead(source: str | Path | bytes, *, meant: str = "") -> str:
    """A sentence on what a file is that could not be read as what it should be.

    Args:
        source: the file, or how its content begins.
        meant: what it should be, as it would be called here.

    Returns:
        With a blank before it, to stand behind the error of a library; empty where nothing tells.

    >>> import tempfile
    >>> file = Path(tempfile.mkdtemp()) / "set.zip"
    >>> _ = file.write_text("<!DOCTYPE html><html></html>")
    >>> found_instead(file)
    ' The file is a web page, as servers send instead of a file: download it again.'
    """
    if isinstance(source, bytes):
        head = source[:_HEAD]
    else:
        try:
            with Path(source).open("rb") as stream:
                head = stream.read(_HEAD)
        except OSError:
            return ""
    if not head:
        return " The file is empty: get it again."
    if not head.strip(b"\0"):
        return " The file begins with zeros, as a copy leaves that was not finished: get it again."
    what = format_of(head)
    if what and what == meant:
        return " It begins as one, and is cut short or damaged: get it again."
    return f" The file is {what}{_MORE.get(what, '')}." if what else ""
