"""Small picture files for the tests of the sources."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image


def random_pixels(seed: int, height: int = 10, width: int = 12) -> np.ndarray:
    """Random uint8 ``[h, w, 3]``."""
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)


def write_picture(path: Path, pixels: np.ndarray, **options: object) -> Path:
    """Write pixels to a file of the kind its name says, with its folder."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path, **options)
    return path


def write_classes(folder: Path, *, classes: int = 3, images: int = 4) -> Path:
    """Folder of classes ``a``, ``b``, ... with PNG pictures of different sizes."""
    for c in range(classes):
        for i in range(images):
            pixels = random_pixels(10 * c + i, 10 + i, 12 + c)
            write_picture(folder / "abcdefgh"[c] / f"{i}.png", pixels)
    return folder
