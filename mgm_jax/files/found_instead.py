# pyright: strict
"""What lies in place of a file that was meant: a pointer, a web page, nothing, another format.

Downloads end so, whatever the file was to be, and the libraries that read arrays, tables and
archives say no more than that something is no file of theirs, or advise to load it unsafely.
"""

from __future__ import annotations

from pathlib import Path

_ANEW = "download it again"

#: How a content begins that stands for another one, what it is, and what to do.
PLACEHOLDERS: tuple[tuple[bytes, str], ...] = (
    (b"version https://git-lfs", "a pointer of Git LFS: fetch the file itself with `git lfs pull`"),
    (b"version https://hawser", "a pointer of Git LFS: fetch the file itself with `git lfs pull`"),
    (b"<!doctype html", f"a web page, as servers send instead of a file: {_ANEW}"),
    (b"<html", f"a web page, as servers send instead of a file: {_ANEW}"),
)

# Formats by their first bytes, in lower case.
_FORMATS: tuple[tuple[bytes, str], ...] = (
    (b"<?xml", f"an XML text, as storage servers send instead of a file: {_ANEW}"),
    (b"{", "a JSON text, or what a server answered instead of a file"),
    (b"pk\x03\x04", "a zip archive"),
    (b"pk\x05\x06", "an empty zip archive"),
    (b"\x1f\x8b", "compressed by gzip"),
    (b"bzh", "compressed by bzip2"),
    (b"\xfd7zxz\0", "compressed by xz"),
    (b"\x28\xb5\x2f\xfd", "compressed by Zstandard"),
    (b"7z\xbc\xaf\x27\x1c", "a 7-Zip archive: unpack it"),
    (b"rar!\x1a\x07", "a RAR archive: unpack it"),
    (b"\x89hdf\r\n\x1a\n", "an HDF5 file"),
    (b"\x93numpy", "an array of NumPy (.npy)"),
    (b"par1", "a Parquet table"),
    (b"arrow1", "an Arrow table"),
    (b"%pdf", "a PDF document"),
    (b"\x89png\r\n\x1a\n", "a PNG picture"),
    (b"\xff\xd8\xff", "a JPEG picture"),
    (b"\x80\x02", "a pickle of Python, which is never loaded: save numbers or texts instead"),
    (b"\x80\x03", "a pickle of Python, which is never loaded: save numbers or texts instead"),
    (b"\x80\x04", "a pickle of Python, which is never loaded: save numbers or texts instead"),
    (b"\x80\x05", "a pickle of Python, which is never loaded: save numbers or texts instead"),
)
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
    return _by_start(content, PLACEHOLDERS)


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
    what = _by_start(head, PLACEHOLDERS) or _by_start(head, _FORMATS)
    if what is None and head[257:262] == b"ustar":
        what = "a tar archive"
    if what is None:
        return ""
    if what == meant:
        return " It begins as one, and is cut short or damaged: get it again."
    return f" The file is {what}."


def _by_start(content: bytes, known: tuple[tuple[bytes, str], ...]) -> str | None:
    start = content[:512].lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    return next((what for head, what in known if start.startswith(head)), None)
