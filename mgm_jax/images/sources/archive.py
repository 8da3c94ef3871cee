"""Image files in a zip archive, one folder a class; nothing is unpacked to the disk."""

from __future__ import annotations

import zipfile
from pathlib import Path

import numpy as np

from mgm_jax.errors import InputError
from mgm_jax.images.decode import decode_image
from mgm_jax.images.image_source import ImageSource
from mgm_jax.images.sources.class_folders import classes_by_folder, is_image


def archive_source(
    path: Path, *, split: str | None = None, name: str | None = None, depth: int = 1
) -> ImageSource:
    """Source of the image files in a zip archive.

    Classes and ids are those of the folder that the archive would unpack to. Where all images lie
    in one folder that holds further ones, as archives are often wrapped, that folder is passed
    through. Fingerprints are the sizes and checksums of the archive's own directory.

    Args:
        path: the archive.
        split: take only the folder of that name inside; None for everything.
        name: what to call the source; None for the name of the file.
        depth: how many folders name a class; with 2 ``greek/alpha`` is one.

    Raises:
        InputError: no archive, encrypted images, no images in it, or images beside the folders
            of classes.
    """
    try:
        archive = zipfile.ZipFile(path)
    except (OSError, zipfile.BadZipFile) as error:
        raise InputError(f"{path} cannot be read as a zip archive: {error}") from error
    inside = "" if split is None else split.strip("/") + "/"
    members = {
        one.filename.removeprefix(inside): one
        for one in archive.infolist()
        if one.filename.startswith(inside) and not one.is_dir() and is_image(one.filename)
    }
    where = str(path) if split is None else f"{path}/{split}"
    members = _unwrapped(members)
    paths = sorted(members)
    locked = next((one for one in paths if members[one].flag_bits & 1), None)
    if locked is not None:
        raise InputError(f"{where}: {locked} is encrypted; unpack the archive and name the folder.")
    labels, classes = classes_by_folder(paths, where=where, depth=depth)

    def read(position: int) -> np.ndarray:
        member = members[paths[position]]
        try:
            content = archive.read(member)
        # A damaged member raises one of many types, zlib.error among them.
        except Exception as error:
            raise InputError(f"{where}/{paths[position]} cannot be unpacked: {error}") from error
        return decode_image(content, name=f"{where}/{paths[position]}")

    return ImageSource(
        name=name or (path.stem if split is None else f"{path.stem}/{split}"),
        ids=tuple(paths),
        labels=labels,
        classes=classes,
        fingerprints=tuple(f"{members[one].file_size}:{members[one].CRC:08x}" for one in paths),
        reader=read,
    )


def _unwrapped(members: dict[str, zipfile.ZipInfo]) -> dict[str, zipfile.ZipInfo]:
    """Without the outer folders that hold nothing but one folder."""
    while members:
        heads = {path.split("/", 1)[0] for path in members}
        if len(heads) > 1 or any(path.count("/") < 2 for path in members):
            break
        members = {path.split("/", 1)[1]: one for path, one in members.items()}
    return members
