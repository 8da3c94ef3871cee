# pyright: strict
"""Formats of files by how they begin: one list for all that say what a file is.

What is to be done about one depends on what was meant, and is said by those who ask.
"""

from __future__ import annotations

LFS_POINTER = "a pointer of Git LFS"
WEB_PAGE = "a web page"
XML = "an XML text"
JSON = "a JSON text"
PICKLE = "a pickle of Python"
TAR = "a tar archive"
JPEG_XL = "a JPEG XL picture"

# In lower case: texts may be written in either, and stand behind blanks.
_TEXTS = (
    (b"version https://git-lfs", LFS_POINTER),
    (b"version https://hawser", LFS_POINTER),
    (b"<!doctype html", WEB_PAGE),
    (b"<html", WEB_PAGE),
    (b"<head", WEB_PAGE),
    (b"<body", WEB_PAGE),
    (b"<svg", "an SVG drawing"),
    (b"<?xml", XML),
    (b"<!--", XML),
    (b"%pdf", "a PDF document"),
    (b"%!ps", "a PostScript page"),
    (b"{", JSON),
)
_BYTES = (
    (b"\x1f\x8b", "a gzip archive"),
    (b"BZh", "a bzip2 archive"),
    (b"\xfd7zXZ\0", "an xz archive"),
    (b"\x28\xb5\x2f\xfd", "a Zstandard archive"),
    (b"7z\xbc\xaf\x27\x1c", "a 7-Zip archive"),
    (b"Rar!\x1a\x07", "a RAR archive"),
    (b"PK\x03\x04", "a zip archive"),
    (b"PK\x05\x06", "an empty zip archive"),
    (b"\x89HDF\r\n\x1a\n", "an HDF5 file"),
    (b"GGUF", "a GGUF file of quantised weights"),
    (b"\x93NUMPY", "an array of NumPy (.npy)"),
    (b"PAR1", "a Parquet table"),
    (b"ARROW1", "an Arrow table"),
    (b"SQLite format 3", "an SQLite database"),
    (b"\x7fELF", "a program"),
    (b"\x89PNG\r\n\x1a\n", "a PNG picture"),
    (b"\xff\xd8\xff", "a JPEG picture"),
    (b"GIF8", "a GIF picture"),
    (b"\xff\x0a", JPEG_XL),
    (b"\0\0\0\x0cjxl ", JPEG_XL),
    (b"\xc5\xd0\xd3\xc6", "a PostScript page"),
    *((bytes((0x80, protocol)), PICKLE) for protocol in range(2, 6)),
)


def format_of(content: bytes) -> str:
    """In words what a content is by its first bytes; empty where they tell nothing.

    Args:
        content: all of it, or how it begins.

    >>> format_of(b"GIF89a"), format_of(b" <!DOCTYPE html>"), format_of(b"abc")
    ('a GIF picture', 'a web page', '')
    """
    text = content[:512].lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    for known, start in ((_BYTES, content), (_TEXTS, text)):
        for opening, what in known:
            if start.startswith(opening):
                return what
    return TAR if content[257:262] == b"ustar" else ""
