"""Fetch a file over HTTP: resumable, and checked before it gets its name."""

from __future__ import annotations

import hashlib
import http.client
import os
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

from mgm_jax.errors import InputError
from mgm_jax.progress import progress

_BLOCK = 1 << 20
_TIMEOUT = 60.0
_PART = ".part"


def cache_folder() -> Path:
    """Where downloads are kept: ``$MGM_CACHE``, else ``mgm_jax`` in the user's cache."""
    own = os.environ.get("MGM_CACHE")
    shared = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(own) if own else Path(shared) / "mgm_jax" / "checkpoints"


def download(address: str, file: Path, *, sha256: str = "", tries: int = 3) -> Path:
    """Fetch ``address`` into ``file``, unless the file is there already.

    What arrives is written to ``FILE.part``, and a later call goes on from there. The file gets
    its name once it is whole and its digest fits.

    Args:
        address: http or https.
        file: where it shall be; its folder is made.
        sha256: of the file, or the first digits of it; not checked where empty.
        tries: how often a broken connection is taken up again.

    Raises:
        InputError: no connection, an answer other than success, or another digest (the partial
            file is removed then).
    """
    if file.is_file():
        return file
    if not address.startswith(("https://", "http://")):
        raise InputError(f"{address}: expected an address that begins with https:// or http://")
    file.parent.mkdir(parents=True, exist_ok=True)
    part = file.with_name(file.name + _PART)
    for left in reversed(range(tries)):
        try:
            _fetch(address, part)
            break
        except _Interrupted as error:
            if left == 0:
                raise InputError(
                    f"{address}: the connection broke off ({error}); {part} keeps what has "
                    "arrived, and the same command goes on from there"
                ) from error
    _check(part, address, sha256)
    os.replace(part, file)
    return file


class _Interrupted(Exception):
    """A connection that broke off before the end."""


def _fetch(address: str, part: Path) -> None:
    """Go on with ``part`` where the server still has the same file, else start over."""
    tag_file = part.with_name(part.name + ".tag")
    tag = tag_file.read_text(encoding="utf-8") if tag_file.is_file() else ""
    have = part.stat().st_size if part.is_file() and tag else 0
    request = urllib.request.Request(address, headers={"User-Agent": "mgm_jax"})
    if have:
        request.add_header("Range", f"bytes={have}-")
        # Without this, two halves of two versions could end in one file.
        request.add_header("If-Range", tag)
    try:
        with urllib.request.urlopen(request, timeout=_TIMEOUT) as answer:
            tag_file.write_text(_tag(answer), encoding="utf-8")
            _receive(answer, part, have if answer.status == 206 else 0)
        tag_file.unlink()
    except urllib.error.HTTPError as error:
        if error.code == 416 and error.headers.get("Content-Range") == f"bytes */{have}":
            # Nothing is left to send: the last call was stopped between the end and the name.
            return
        raise InputError(
            f"{address}: the server answers {error.code} {error.reason}; fetch the file by hand, "
            "then run `mgm convert FILE`"
        ) from error
    except urllib.error.URLError as error:
        raise InputError(
            f"{address}: no connection ({error.reason}); where there is no network, fetch the "
            "file elsewhere, then run `mgm convert FILE`"
        ) from error
    except (OSError, http.client.HTTPException) as error:
        raise _Interrupted(str(error) or type(error).__name__) from error


def _tag(answer: Any) -> str:
    """What the server calls this version of the file; empty where it does not say."""
    tag = answer.headers.get("ETag", "")
    # A weak tag promises the same meaning, not the same bytes.
    return tag if tag and not tag.startswith("W/") else answer.headers.get("Last-Modified", "")


def _receive(answer: Any, part: Path, start: int) -> None:
    length = answer.headers.get("Content-Length")
    total = start + int(length) if length and length.isdecimal() else 0
    with (
        part.open("ab" if start else "wb") as stream,
        progress("download", total=-(-total // _BLOCK), unit="MiB") as bar,
    ):
        bar.advance(start // _BLOCK)
        while block := answer.read(_BLOCK):
            stream.write(block)
            bar.advance()
    arrived = part.stat().st_size
    if arrived < total:
        raise _Interrupted(f"{arrived} of {total} bytes arrived")


def _check(part: Path, address: str, sha256: str) -> None:
    if not sha256:
        return
    with part.open("rb") as stream:
        found = hashlib.file_digest(stream, "sha256").hexdigest()
    if not found.startswith(sha256):
        part.unlink()
        raise InputError(
            f"{address}: expected a file with the SHA-256 {sha256}{'...' * (len(sha256) < 64)}, "
            f"got {found}; it was removed. The file has changed, or was damaged on its way"
        )
