"""Image files in a tar archive, compressed or not, one folder a class."""

from __future__ import annotations

import bz2
import gzip
import json
import lzma
import os
import shutil
import tarfile
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

from mgm_jax.errors import InputError
from mgm_jax.files.found_instead import found_instead
from mgm_jax.files.whole import out_of_space
from mgm_jax.images.decode.formats import TAR_SUFFIXES, why_passed_over
from mgm_jax.images.decode.limits import FREE_BYTES, Limits
from mgm_jax.images.image_source import ImageSource
from mgm_jax.images.sources.files.listing import FileListing, PassedOverFiles, source_of_files
from mgm_jax.images.sources.files.names import visible
from mgm_jax.images.sources.files.zip_archive import member_path
from mgm_jax.images.sources.options import SourceOptions
from mgm_jax.images.sources.tables.fields import LABEL_COLUMNS

_MAGIC = {b"\x1f\x8b": "gzip", b"BZh": "bz2", b"\xfd7zXZ": "xz", b"\x28\xb5\x2f\xfd": "zstd"}
_PIECE = 2**20


def tar_source(path: Path, options: SourceOptions) -> ImageSource:
    """Source of the image files in a tar archive.

    Classes, ids and digest are those of the folder that the archive would unpack to. A compressed
    archive, which cannot be read at random, is decompressed once into a file without a name in the
    folder for temporary files, which goes with the source.

    Args:
        path: the archive: plain, or compressed by gzip, bzip2, xz or zstd.
        options: a split is the folder of that name or meaning.

    Raises:
        InputError: no archive, damaged, too large, no room to decompress it, no images in it, or
            images beside the folders of classes.
    """
    where, limits = visible(str(path)), options.limits
    passed_over = PassedOverFiles()
    members: dict[str, tuple[int, int]] = {}
    beside: dict[str, tuple[str, tarfile.TarInfo]] = {}
    file = plain_tar(path, where, limits)
    for inner, member in tar_members(file, where):
        reason = why_passed_over(inner)
        if "../" in f"{inner}/":
            reason = "names that lead out of the archive"
        elif reason is None and (member.issym() or member.islnk()):
            reason = "links within the archive, not followed"
        elif reason is None and (not member.isreg() or member.issparse()):
            reason = "no regular files"
        elif reason is None and inner in members:
            passed_over.add(inner, "earlier versions of files that the archive holds again")
        if reason is not None:
            passed_over.add(inner, reason)
            if member.isreg() and inner.lower().endswith((".cls", ".json")):
                beside[inner.rpartition(".")[0]] = (inner, member)
            continue
        members[inner] = member.offset_data, member.size
        limits.check("files", len(members), name=where, what="image files")
    paths = sorted(members)
    if _is_of_samples(file, paths, beside):
        from mgm_jax.images.sources.files.webdataset import webdataset_source

        return webdataset_source([path], options.called(_stem(path)), where=where)
    file.seek(0)
    if not paths and (instead := found_instead(file.read(4096))):
        # What begins with zeros is an archive that ends at once.
        raise InputError(f"{where} cannot be read as a tar archive.{instead}")

    def read(position: int) -> bytes:
        start, size = members[paths[position]]
        title = f"{where}/{visible(paths[position])}"
        limits.check("file_bytes", size, name=title, what="bytes")
        content = os.pread(file.fileno(), size, start)
        if len(content) != size:
            raise InputError(f"{title} is cut short: {len(content)} of {size} bytes are there.")
        return content

    listing = FileListing(where=where, paths=paths, read=read, passed_over=passed_over)
    return source_of_files(listing, options.called(_stem(path)))


def _stem(path: Path) -> str:
    for suffix in sorted(TAR_SUFFIXES, key=len, reverse=True):
        if path.name.lower().endswith(suffix):
            return visible(path.name[: -len(suffix)])
    return path.name


def _is_of_samples(
    file: IO[bytes], paths: list[str], beside: dict[str, tuple[str, tarfile.TarInfo]]
) -> bool:
    """Whether images without folders of classes have labels in files beside them, as a webdataset.

    Args:
        file: the archive.
        paths: its images.
        beside: its ``.cls`` and ``.json`` files, by their paths without the suffix.
    """
    if len({path.rpartition("/")[0] for path in paths}) != 1:
        return False
    first = next(
        (beside[one] for path in paths if (one := path.rpartition(".")[0]) in beside), None
    )
    if first is None:
        return False
    name, member = first
    if name.lower().endswith(".cls"):
        return True
    content = os.pread(file.fileno(), min(member.size, _PIECE), member.offset_data)
    try:
        said = json.loads(content)
    except ValueError:
        return False
    return isinstance(said, dict) and any(one in said for one in LABEL_COLUMNS)


def tar_members(
    file: IO[bytes], where: str, *, start: int = 0
) -> Iterator[tuple[str, tarfile.TarInfo]]:
    """Path and facts of every member but folders, of the archive that begins at a byte.

    Raises:
        InputError: it is damaged.
    """
    file.seek(start)
    try:
        with tarfile.open(fileobj=file, mode="r:", errors="surrogateescape") as archive:
            for member in archive:
                inner = member_path(member.name)
                if inner and not member.isdir():
                    yield inner, member
            _refuse_early_end(file, archive.offset, where)
    except InputError:
        raise
    except (tarfile.TarError, OSError, ValueError, EOFError) as error:
        file.seek(start)
        raise InputError(
            f"{where} cannot be read as a tar archive: {error}."
            f"{found_instead(file.read(4096), meant='a tar archive')}"
        ) from error


def _refuse_early_end(file: IO[bytes], end: int, where: str) -> None:
    """Raise InputError where members follow that the reader of archives does not come to.

    It takes a head that is cut short or damaged, unless it is the first, for the end.

    Args:
        file: the archive.
        end: byte where its end was found.
        where: what an error calls it.
    """
    file.seek(end)
    block = file.read(tarfile.BLOCKSIZE)
    if block.strip(b"\0"):
        raise InputError(
            f"{where} is cut short or damaged at byte {end:,}, where a file's head should stand: "
            "get it again."
        )
    while block and not block.strip(b"\0"):
        block = file.read(_PIECE)
    if block and block.lstrip(b"\0")[257:262] == b"ustar":
        raise InputError(
            f"{where} holds another archive behind its end, as `cat` joins them; name the archives "
            "one by one, or join them by `tar --concatenate`."
        )


def plain_tar(
    path: Path, where: str, limits: Limits, *, target: IO[bytes] | None = None
) -> IO[bytes]:
    """The archive, or what it decompresses to, to be read at random.

    Args:
        path: the archive.
        where: what an error calls it.
        limits: of what it unpacks to.
        target: a file to whose end it is decompressed, if it is compressed; None makes one.

    Raises:
        InputError: it cannot be read or decompressed, or there is no room for it.
    """
    try:
        file = path.open("rb")
    except OSError as error:
        raise InputError(f"{where} cannot be read: {error.strerror or error}.") from error
    head = file.read(8)
    kind = next((kind for magic, kind in _MAGIC.items() if head.startswith(magic)), None)
    if kind is None:
        return file
    target = tempfile.TemporaryFile() if target is None else target  # noqa: SIM115
    stored = path.stat().st_size
    unpacked = 0
    try:
        with file:
            file.seek(0)
            for piece in _pieces(file, kind):
                unpacked += len(piece)
                limits.check("unpacked_bytes", unpacked, name=where, what="bytes when unpacked")
                limits.check_ratio(unpacked, stored, name=where)
                if unpacked > FREE_BYTES and shutil.disk_usage(tempfile.gettempdir()).free < 2**28:
                    raise InputError(
                        f"{where}: no room to decompress it in {tempfile.gettempdir()}; set "
                        "TMPDIR to another folder, or decompress it yourself."
                    )
                target.write(piece)
        target.flush()
    except InputError:
        raise
    except Exception as error:  # every decompressor has errors of its own
        if out_of_space(error):
            raise InputError(
                f"{where}: no room to decompress it in {tempfile.gettempdir()}; set TMPDIR to "
                "another folder, or decompress it yourself."
            ) from error
        raise InputError(f"{where} cannot be decompressed ({kind}): {error}") from error
    return target


def _pieces(file: IO[bytes], kind: str) -> Iterator[bytes]:
    stream: Any
    if kind == "zstd":
        import pyarrow

        stream = pyarrow.CompressedInputStream(pyarrow.PythonFile(file, mode="r"), kind)
    else:
        stream = {"gzip": gzip.open, "bz2": bz2.open, "xz": lzma.open}[kind](file)
    while piece := stream.read(_PIECE):
        yield bytes(piece)
