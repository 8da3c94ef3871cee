"""Which class an image belongs to, by the folders that it lies in."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import PurePosixPath

import numpy as np

from mgm_jax.errors import InputError, name_some

IMAGE_ENDINGS = frozenset(
    (".jpg", ".jpeg", ".png", ".bmp", ".gif", ".webp", ".tif", ".tiff", ".ppm", ".pgm", ".pbm")
)


def is_image(path: str) -> bool:
    """Whether a path ends like an image and no part of it is hidden.

    >>> is_image("cats/1.JPEG"), is_image("cats/._1.JPEG"), is_image("cats/notes.txt")
    (True, False, False)
    """
    pure = PurePosixPath(path)
    shown = not any(part.startswith((".", "__MACOSX")) for part in pure.parts)
    return shown and pure.suffix.lower() in IMAGE_ENDINGS


def classes_by_folder(
    paths: Sequence[str], *, where: str, depth: int = 1
) -> tuple[np.ndarray, tuple[str, ...]]:
    """Class of every image and the names of the classes.

    Args:
        paths: of images, relative, parts joined by ``/``.
        where: what an error calls the place.
        depth: how many folders name a class: 1 is the outermost, 2 also the one inside, whose
            names are then joined by ``/``. Images with no folder at all are one class, ``all``.

    Returns:
        Position of each image's class ``[n]``, and the class names, sorted.

    Raises:
        InputError: no image, or images that lie in fewer folders than ``depth``.

    >>> classes_by_folder(["greek/alpha/1.png", "greek/beta/1.png"], where="x", depth=2)[1]
    ('greek/alpha', 'greek/beta')
    """
    if not paths:
        raise InputError(
            f"{where} holds no image files ({', '.join(sorted(IMAGE_ENDINGS))}). "
            "Expected one folder a class, or images side by side."
        )
    folders = [path.split("/")[:-1] for path in paths]
    if depth == 1 and not any(folders):
        return np.zeros(len(paths), np.int64), ("all",)
    loose = [path for path, inside in zip(paths, folders, strict=True) if len(inside) < depth]
    if loose:
        kind = "folders of classes" if depth == 1 else f"classes {depth} folders deep"
        raise InputError(
            f"{where} holds {kind} and, beside them, images of no class: "
            f"{name_some(loose, most=3)}. Move these into a folder."
        )
    of_class = ["/".join(inside[:depth]) for inside in folders]
    classes, labels = np.unique(of_class, return_inverse=True)
    return labels, tuple(str(c) for c in classes)
