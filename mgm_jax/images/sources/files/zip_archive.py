"""Image files in a zip archive, one folder a class; nothing is unpacked to the disk."""

from __future__ import annotations

import stat
import struct
import zipfile
from pathlib import Path

from mgm_jax.errors import InputError
from mgm_jax.files.found_instead import found_instead
from mgm_jax.images.decode.formats import why_passed_over
from mgm_jax.images.image_source import ImageSource
from mgm_jax.images.sources.files.listing import FileListing, PassedOverFiles, source_of_files
from mgm_jax.images.sources.files.names import visible
from mgm_jax.images.sources.options import SourceOptions

_UTF8_FLAG = 0x800
_ENCRYPTED_FLAG = 1
_UNICODE_PATH = 0x7075


def zip_source(path: Path, options: SourceOptions) -> ImageSource:
    """Source of the image files in a zip archive.

    Classes, ids and digest are those of the folder that the archive would unpack to. Names may be
    joined by backslashes, and be encoded as UTF-8 with or without the flag for it, or in the
    code page 437 of the format.

    Args:
        path: the archive.
        options: a split is the folder of that name or meaning.

    Raises:
        InputError: no archive, encrypted images alone, no images in it, or images beside the
            folders of classes.
    """
    where, limits = visible(str(path)), options.limits
    try:
        archive = zipfile.ZipFile(path)
    except (OSError, zipfile.BadZipFile, NotImplementedError) as error:
        raise InputError(
            f"{where} cannot be read as a zip archive: {error}."
            + found_instead(path, meant="a zip archive")
        ) from error
    passed_over = PassedOverFiles()
    members: dict[str, zipfile.ZipInfo] = {}
    for member in archive.infolist():
        inner = member_path(_name(member))
        if not inner or inner.endswith("/"):
            continue
        reason = why_passed_over(inner) or _why_not(member)
        if "../" in f"{inner}/":
            reason = "names that lead out of the archive"
        elif reason is None and inner in members:
            reason = "earlier versions of files that the archive holds again"
        if reason is not None:
            passed_over.add(inner, reason)
        if reason is None or inner in members:
            # As everything that unpacks does: the last one is the one that stays.
            members[inner] = member
    if members and all(one.flag_bits & _ENCRYPTED_FLAG for one in members.values()):
        raise InputError(
            f"{where}: {visible(next(iter(members)))} is encrypted, as all images in it are; "
            "unpack the archive and name the folder."
        )
    unpacked = sum(one.file_size for one in members.values())
    limits.check("unpacked_bytes", unpacked, name=where, what="bytes of images when unpacked")
    paths = sorted(members)

    def read(position: int) -> bytes:
        member, title = members[paths[position]], f"{where}/{visible(paths[position])}"
        limits.check("file_bytes", member.file_size, name=title, what="bytes when unpacked")
        limits.check_ratio(member.file_size, member.compress_size, name=title)
        if member.flag_bits & _ENCRYPTED_FLAG:
            raise InputError(f"{title} is encrypted; unpack the archive and name the folder.")
        try:
            return archive.read(member)
        # A damaged member raises one of many types, zlib.error among them.
        except Exception as error:
            raise InputError(f"{title} cannot be unpacked: {error}") from error

    listing = FileListing(where=where, paths=paths, read=read, passed_over=passed_over)
    return source_of_files(listing, options.called(visible(path.stem)))


def member_path(name: str) -> str:
    """Path of a member as it would be unpacked: parts joined by ``/``, from the archive's root.

    >>> member_path("photos\\\\ant\\\\1.png"), member_path("C:/x/./1.png"), member_path("/a/")
    ('photos/ant/1.png', 'x/1.png', 'a/')
    """
    plain = name.replace("\\", "/")
    parts = [part for part in plain.split("/") if part not in ("", ".")]
    if parts and len(parts[0]) == 2 and parts[0][1] == ":":
        parts = parts[1:]
    return "/".join(parts) + ("/" if plain.endswith("/") and parts else "")


def _name(member: zipfile.ZipInfo) -> str:
    """The name that the maker of the archive meant."""
    if member.flag_bits & _UTF8_FLAG:
        return member.orig_filename
    try:
        raw = member.orig_filename.encode("cp437")
    except UnicodeEncodeError:
        return member.orig_filename
    stated = _stated_name(member.extra)
    # Many makers write UTF-8 without saying so, and no other encoding is UTF-8 by chance.
    for one in (stated, raw):
        try:
            if one is not None:
                return one.decode("utf-8")
        except UnicodeDecodeError:
            continue
    return member.orig_filename


def _stated_name(extra: bytes) -> bytes | None:
    """The name in the Info-ZIP field for it; None where there is none."""
    while len(extra) >= 4:
        kind, size = struct.unpack("<HH", extra[:4])
        if kind == _UNICODE_PATH and size > 5:
            return extra[9 : 4 + size]
        extra = extra[4 + size :]
    return None


def _why_not(member: zipfile.ZipInfo) -> str | None:
    mode = member.external_attr >> 16
    if stat.S_ISLNK(mode):
        return "links within the archive, not followed"
    # Makers that know no modes leave them empty.
    return "no regular files" if stat.S_IFMT(mode) and not stat.S_ISREG(mode) else None
