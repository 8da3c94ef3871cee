"""Fetch a file over HTTPS: resumable, and checked before it gets its name.

No connection leaves HTTPS, wherever a server redirects it. A file whose digest nobody published is
recorded beside it (``FILE.sha256``) when it is fetched first, and compared whenever it is used or
fetched again.
"""

from __future__ import annotations

import hashlib
import http.client
import os
import urllib.error
import urllib.parse
import urllib.request
from pathlib import Path
from typing import Any

from mgm_jax.errors import InputError
from mgm_jax.progress import progress

_BLOCK = 1 << 20
_TIMEOUT = 60.0
_PART = ".part"
_RECORD = ".sha256"


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
        address: https; http from this machine alone.
        file: where it shall be; its folder is made.
        sha256: of the file, or the first digits of it; where empty, what was recorded when it was
            fetched first.
        tries: how often a broken connection is taken up again.

    Raises:
        InputError: no connection, one that leaves HTTPS, an answer other than success, or another
            digest (the partial file is removed then).
    """
    record = file.with_name(file.name + _RECORD)
    recorded = "" if sha256 else _recorded(record)
    if file.is_file():
        if recorded:
            _compare(file, recorded, record)
        return file
    if not _is_safe(address):
        raise InputError(
            f"{address}: expected an address that begins with https://, because anybody on the way "
            "can change what comes without it; fetch the file by hand, then run `mgm convert FILE`"
        )
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
    if recorded:
        _compare(part, recorded, record)
    elif not sha256:
        record.write_text(f"{_digest(part)}  {address}\n", encoding="utf-8")
    os.replace(part, file)
    return file


def _recorded(record: Path) -> str:
    """The digest of an earlier download; empty where there is none."""
    try:
        return record.read_text(encoding="utf-8").split()[0]
    except (OSError, IndexError, UnicodeDecodeError):
        return ""


def _compare(file: Path, recorded: str, record: Path) -> None:
    digest = _digest(file)
    if digest != recorded:
        if file.name.endswith(_PART):
            file.unlink()
        raise InputError(
            f"{file}: has the SHA-256 {digest}, and {recorded} when it was fetched first; its "
            "authors replaced it, or somebody else did. Where the new one is meant, delete "
            f"{record}"
        )


def _digest(file: Path) -> str:
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _is_safe(address: str) -> bool:
    """Whether nobody on the way can change what comes: HTTPS, or this machine."""
    parts = urllib.parse.urlsplit(address)
    own = parts.scheme == "http" and parts.hostname in ("127.0.0.1", "localhost", "::1")
    return parts.scheme == "https" or own


class _SafeRedirects(urllib.request.HTTPRedirectHandler):
    """Follows a redirect only to where an address itself may lead."""

    def redirect_request(
        self, req: Any, fp: Any, code: int, msg: str, headers: Any, newurl: str
    ) -> urllib.request.Request | None:
        """The next request."""
        if not _is_safe(newurl):
            raise InputError(
                f"{req.full_url}: the server redirects to {newurl}, which is not HTTPS; it was not "
                "followed. Fetch the file by hand, then run `mgm convert FILE`"
            )
        return super().redirect_request(req, fp, code, msg, headers, newurl)


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
        opener = urllib.request.build_opener(_SafeRedirects)
        with opener.open(request, timeout=_TIMEOUT) as answer:
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
    digest = _digest(part)
    if not digest.startswith(sha256):
        part.unlink()
        raise InputError(
            f"{address}: expected a file with the SHA-256 {sha256}{'...' * (len(sha256) < 64)}, "
            f"got {digest}; it was removed. The file has changed, or was damaged on its way"
        )
