"""Files that are something else than a checkpoint, each named as what it is, with the way on."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path

from mgm_jax.files.formats import JPEG_XL, JSON, LFS_POINTER, PICKLE, TAR, WEB_PAGE, XML, format_of

_PAGE_ADVICE = (
    "it was saved in place of the file (a sign-in, a quota, a missing page): fetch it anew"
)
_UNPACK = "unpack it and convert what is inside"
# What to do instead.
_ADVICE = {
    LFS_POINTER: "run `git lfs pull` in its repository, or fetch the file itself",
    WEB_PAGE: _PAGE_ADVICE,
    XML: _PAGE_ADVICE,
    **dict.fromkeys(
        (
            "a gzip archive",
            "a bzip2 archive",
            "an xz archive",
            "a Zstandard archive",
            "a 7-Zip archive",
            "a RAR archive",
            TAR,
        ),
        _UNPACK,
    ),
    "an HDF5 file": "Keras keeps weights in such files: load it in Keras and pass its features, or "
    "save the same network from PyTorch",
    "a GGUF file of quantised weights": "fetch the weights that it was made from",
    "an array of NumPy (.npy)": "a checkpoint holds many arrays with names",
}
# Checkpoints begin as pickles and zips do, and two bytes of a picture may be a length.
_LOOKED_INTO = (PICKLE, JSON, "a zip archive", "an empty zip archive", JPEG_XL)
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
    kind = format_of(head)
    if kind and kind not in _LOOKED_INTO:
        return f"it is {kind}; {_ADVICE.get(kind, 'name the checkpoint')}"
    text = head.lstrip(b"\xef\xbb\xbf \t\r\n\x00").lower()
    if not text:
        return "it holds nothing but blanks or zeros; fetch it again" if head else ""
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
