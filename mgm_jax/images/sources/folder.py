"""Image files in a folder, one folder a class."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

from mgm_jax.errors import InputError
from mgm_jax.images.decode import decode_image
from mgm_jax.images.image_source import ImageSource
from mgm_jax.images.sources.class_folders import classes_by_folder, is_image

# How much of each end of a file enters its fingerprint.
FINGERPRINT_BYTES = 4096


def folder_source(folder: Path, *, name: str | None = None, depth: int = 1) -> ImageSource:
    """Source of the image files in a folder.

    Each folder directly inside is a class, with all image files at any depth within. A folder
    that holds images and no folders is one class, ``all``. The id of an image is its path within
    the folder; images come in the order of their ids. Hidden files and files that are no images
    by their ending are passed over.

    Args:
        folder: where the images are.
        name: what to call the source; None for the name of the folder.
        depth: how many folders name a class; with 2 ``greek/alpha`` is one.

    Raises:
        InputError: no such folder, no images in it, or images beside the folders of classes.
    """
    if not folder.is_dir():
        raise InputError(f"{folder} is no folder of images.")
    paths = sorted(_image_paths(folder))
    labels, classes = classes_by_folder(paths, where=str(folder), depth=depth)
    return ImageSource(
        name=name or folder.resolve().name,
        ids=tuple(paths),
        labels=labels,
        classes=classes,
        fingerprints=tuple(file_fingerprint(folder / path) for path in paths),
        reader=lambda position: decode_image(
            folder / paths[position], name=str(folder / paths[position])
        ),
    )


def _image_paths(folder: Path) -> list[str]:
    found = []
    # Folders of classes are often links to elsewhere.
    for where, folders, files in os.walk(folder, followlinks=True):
        folders[:] = [f for f in folders if not f.startswith(".")]
        found += [
            (Path(where) / file).relative_to(folder).as_posix() for file in files if is_image(file)
        ]
    return found


def file_fingerprint(path: Path) -> str:
    """Size of a file and the hash of its first and last 4096 bytes; not its time or its place.

    Raises:
        InputError: the file cannot be read.
    """
    try:
        size = path.stat().st_size
        with path.open("rb") as file:
            ends = file.read(FINGERPRINT_BYTES)
            if size > FINGERPRINT_BYTES:
                file.seek(max(FINGERPRINT_BYTES, size - FINGERPRINT_BYTES))
                ends += file.read(FINGERPRINT_BYTES)
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror or error}.") from error
    return f"{size}:{hashlib.sha256(ends).hexdigest()}"
