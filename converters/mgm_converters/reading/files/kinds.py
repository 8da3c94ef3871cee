"""Files that are something else than a checkpoint, each named as what it is, with the way on."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path

# What a file opens with, what it then is, and what to do. Checkpoints open otherwise.
_OPENINGS: tuple[tuple[bytes, str, str], ...] = (
    (
        b"version https://git-lfs",
        "a Git LFS pointer, a text of three lines that stands for the weights",
        "run `git lfs pull` in its repository, or fetch the file itself",
    ),
    (
        b"version https://hawser",
        "a Git LFS pointer of an early version, not the weights",
        "run `git lfs pull` in its repository",
    ),
    (b"\x1f\x8b", "a gzip archive", "unpack it and convert what is inside"),
    (b"BZh", "a bzip2 archive", "unpack it and convert what is inside"),
    (b"\xfd7zXZ\x00", "an xz archive", "unpack it and convert what is inside"),
    (b"7z\xbc\xaf\x27\x1c", "a 7-Zip archive", "unpack it and convert what is inside"),
    (b"Rar!\x1a\x07", "a RAR archive", "unpack it and convert what is inside"),
    (b"\x28\xb5\x2f\xfd", "a Zstandard archive", "unpack it and convert what is inside"),
    (
        b"\x89HDF\r\n\x1a\n",
        "an HDF5 file, in which Keras keeps weights",
        "load it in Keras and pass its features, or save the same network from PyTorch",
    ),
    (
        b"GGUF",
        "a GGUF file of quantised weights",
        "fetch the weights that it was made from",
    ),
    (b"\x93NUMPY", "one NumPy array", "a checkpoint holds many arrays with names"),
    (b"\x89PNG\r\n\x1a\n", "a PNG picture", "name the checkpoint"),
    (b"\xff\xd8\xff", "a JPEG picture", "name the checkpoint"),
    (b"GIF8", "a GIF picture", "name the checkpoint"),
    (b"%PDF", "a PDF document", "name the checkpoint"),
    (b"\x7fELF", "a program", "name the checkpoint"),
    (b"SQLite format 3", "an SQLite database", "name the checkpoint"),
    (b"ARROW1", "an Arrow table", "name the checkpoint"),
    (b"PAR1", "a Parquet table", "name the checkpoint"),
)
# In words, for the documentation.
KINDS = (
    "Git LFS pointers",
    "web pages saved in place of a file",
    "JSON files",
    "texts",
    "archives (zip, tar, gzip, bzip2, xz, 7-Zip, RAR, Zstandard)",
    "NumPy archives without known names",
    "HDF5 and GGUF files",
    "pictures, documents, programs, databases",
    "files of zeros",
)
_PAGE = (b"<!doctype html", b"<html", b"<head", b"<body", b"<?xml", b"<!--")
_PAGE_ADVICE = (
    "it was saved in place of the file (a sign-in, a quota, a missing page): fetch it anew"
)

# As much as is read of a file to tell what it is.
_HEAD = 1024
_MAX_JSON_BYTES = 64 << 20


def other_kind(path: Path) -> str:
    """What a file is that is no checkpoint, and what to do; empty where it may be one.

    >>> import tempfile
    >>> file = Path(tempfile.mkdtemp()) / "weights.pth"
    >>> _ = file.write_text("<!DOCTYPE html><html></html>")
    >>> other_kind(file).split(";")[0]
    'it is a web page'
    """
    with path.open("rb") as stream:
        head = stream.read(_HEAD)
    for opening, kind, advice in _OPENINGS:
        if head.startswith(opening):
            return f"it is {kind}; {advice}"
    text = head.lstrip(b"\xef\xbb\xbf \t\r\n\x00").lower()
    if not text:
        return "it holds nothing but blanks or zeros; fetch it again" if head else ""
    if text.startswith(_PAGE):
        return f"it is a web page; {_PAGE_ADVICE}"
    if head[257:262] == b"ustar":
        return "it is a tar archive; unpack it and convert what is inside"
    if text[:1] in (b"{", b"["):
        return _json(path)
    if head.startswith(b"PK"):
        return _zip(path)
    if _is_text(head):
        first = head.splitlines()[0][:60].decode("utf-8", "replace")
        return f"it is a text that begins {first!r}; name the checkpoint, or fetch it again"
    return ""


def _json(path: Path) -> str:
    if path.stat().st_size > _MAX_JSON_BYTES:
        return ""
    try:
        values = json.loads(path.read_text(encoding="utf-8-sig"))
    except (OSError, ValueError, RecursionError):
        return ""
    keys = ", ".join(list(values)[:3]) if isinstance(values, dict) else ""
    shown = f" with {keys}" if keys else ""
    return (
        f"it is a JSON file{shown}: settings or an answer of a server, not weights; name the "
        "weights, or the folder that both lie in"
    )


def _zip(path: Path) -> str:
    """What a zip holds where it is none of PyTorch's."""
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
    # Directories of damaged zips fail in several ways; the reader names the damage.
    except Exception:
        return ""
    files = [name for name in names if not name.endswith("/")]
    if any(name.rpartition("/")[2] in ("data.pkl", "constants.pkl") for name in files):
        return ""
    if not files:
        return "it is an empty zip archive; fetch it again"
    if all(name.endswith(".npy") for name in files):
        return (
            f"it is a NumPy archive of {len(files)} arrays, none of them under names that are "
            "known; load it with numpy.load, and save the weights with safetensors"
        )
    shown = ", ".join(files[:3]) + (", ..." if len(files) > 3 else "")
    return (
        f"it is a zip archive of {len(files)} files ({shown}); unpack it and convert the "
        "checkpoint inside"
    )


def _is_text(head: bytes) -> bool:
    """Whether the bytes are all printable, or blanks."""
    try:
        text = head.decode("utf-8")
    except UnicodeDecodeError as error:
        # The last letter may be cut.
        if error.start < len(head) - 4:
            return False
        text = head[: error.start].decode("utf-8")
    return all(letter.isprintable() or letter in "\t\r\n" for letter in text)
