"""The handwritten digits that come with scikit-learn."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np

from mgm_jax.images.image_source import ImageSource
from mgm_jax.images.sources.arrays import array_source

# Digits are counts of 0 to 16 ink points in each 4 x 4 block.
MAX_INK = 16


def digits_source() -> ImageSource:
    """Source of 1797 handwritten digits, 8 x 8 pixels, ten classes; nothing is downloaded.

    From the test set of the UCI optical recognition of handwritten digits (Kaynak 1995), as
    distributed with scikit-learn; bright ink on black.

    >>> digits_source().classes[:3]
    ('0', '1', '2')
    """
    from sklearn.datasets import load_digits

    bunch: Any = load_digits()
    ink = np.asarray(bunch["images"])
    pixels = np.round(ink * (255 / MAX_INK)).astype(np.uint8)
    source = array_source(pixels, bunch["target"], name="digits")
    return dataclasses.replace(source, ids=tuple(f"digit-{i}" for i in source.ids))
