"""Small images packed without loss: every row of a PNG file is one image."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np

from mgm_jax.errors import InputError
from mgm_jax.images.decoding.decode import decode_image
from mgm_jax.images.image_source import ImageSource
from mgm_jax.images.sources.arrays import array_source


def rows_source(folder: Path, *, name: str | None = None) -> ImageSource:
    """Source of the square images in the PNG files of a folder.

    Row i of a file, ``h * h`` pixels wide, is its i-th image, row by row; the files come in the
    order of their names. One JSON file beside them gives ``labels``, a number or text an image,
    and may give ``classes``, the names of the numbers.

    Args:
        folder: where the files are.
        name: what to call the source; None for the name of the folder.

    Raises:
        InputError: no PNG file, rows that are no square or differ, several JSON files, or labels
            that do not fit.
    """
    sheets = sorted(folder.glob("*.png"))
    if not sheets:
        raise InputError(f"{folder} holds no PNG files whose rows could be images.")
    parts = []
    for sheet in sheets:
        pixels = decode_image(sheet, name=str(sheet))
        side = math.isqrt(pixels.shape[1])
        if side * side != pixels.shape[1] or (parts and side != parts[0].shape[1]):
            raise InputError(
                f"{sheet} must be a square number of pixels wide, as every file beside it; "
                f"got {pixels.shape[1]}. Each row is one image."
            )
        parts.append(pixels.reshape(-1, side, side, 3))
    return array_source(np.concatenate(parts), _labels(folder), name=name or folder.resolve().name)


def _labels(folder: Path) -> np.ndarray | None:
    files = sorted(folder.glob("*.json"))
    if not files:
        return None
    if len(files) > 1:
        raise InputError(
            f"{folder} must hold one JSON file of labels; got {', '.join(f.name for f in files)}."
        )
    try:
        content = json.loads(files[0].read_text(encoding="utf-8"))
        labels = np.asarray(content["labels"])
        classes = content.get("classes")
        # Names as labels; the numbers were only positions among them.
        return labels if classes is None else np.asarray(classes)[labels]
    except (OSError, ValueError, KeyError, IndexError, TypeError, AttributeError) as error:
        raise InputError(
            f"{files[0]} must give labels, a list, and may give classes, their names: {error!r}"
        ) from error
