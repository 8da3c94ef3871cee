"""Patches of the two photographs that come with scikit-learn."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np

from mgm_jax.images.image_source import ImageSource
from mgm_jax.images.sources.arrays import array_source

# Side of a patch in pixels. The photographs are 427 x 640: six rows of ten.
PATCH = 64
_ROWS, _COLUMNS = ("top", "bottom"), ("left", "right")


def photo_patches_source() -> ImageSource:
    """Source of 120 patches of 64 x 64 pixels out of two photographs; nothing is downloaded.

    The photographs are ``china.jpg`` (a pavilion above a lake) and ``flower.jpg`` (a dahlia) of
    scikit-learn, cut into a grid of patches side by side, none of which shares a pixel with
    another. A class is the quarter of a photograph that a patch is cut from, fifteen patches each:
    so it stands for one place in one picture, and not for a kind of object.

    >>> source = photo_patches_source()
    >>> len(source), source.classes[:2]
    (120, ('china bottom left', 'china bottom right'))
    """
    from sklearn.datasets import load_sample_image

    patches, classes, ids = [], [], []
    for photo in ("china", "flower"):
        pixels: Any = load_sample_image(f"{photo}.jpg")
        grid = _grid(np.asarray(pixels))
        rows, columns = grid.shape[:2]
        for row in range(rows):
            for column in range(columns):
                patches.append(grid[row, column])
                quarter = _ROWS[2 * row // rows], _COLUMNS[2 * column // columns]
                classes.append(" ".join((photo, *quarter)))
                ids.append(f"{photo}-{row}-{column}")
    source = array_source(np.stack(patches), classes, name="photo-patches")
    return dataclasses.replace(source, ids=tuple(ids))


def _grid(pixels: np.ndarray) -> np.ndarray:
    """Patches ``[rows, columns, 64, 64, 3]`` of the middle of an image; the rest is margin."""
    rows, columns = (side // PATCH for side in pixels.shape[:2])
    top, left = ((side % PATCH) // 2 for side in pixels.shape[:2])
    middle = pixels[top : top + rows * PATCH, left : left + columns * PATCH]
    return middle.reshape(rows, PATCH, columns, PATCH, 3).swapaxes(1, 2)
