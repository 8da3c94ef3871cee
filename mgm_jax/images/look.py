"""The views of images that an encoder would get, to be looked at or used elsewhere."""

from __future__ import annotations

from typing import Any

import numpy as np

from mgm_jax.errors import InputError
from mgm_jax.images.loader import canvases
from mgm_jax.images.settings import Setting, find_setting
from mgm_jax.images.sources.open_source import open_source
from mgm_jax.images.views import image_key, make_views

_BATCH = 16


def views(
    images: Any,
    setting: str | Setting = "augs",
    *,
    views: int = 8,
    strength: float = 1.0,
    seed: int = 0,
    size: int = 224,
    encoder: Any = None,
    count: int | None = None,
) -> np.ndarray:
    """Views of images under an augmentation setting, as an encoder gets them before its mean.

    Args:
        images: what :func:`~mgm_jax.images.open_source` opens: a path, an array, a data set.
        setting: a name, or a setting of your own.
        views: of each image; of ``semantic`` one.
        strength: 0 (nothing happens) or more; 1 is the setting as it is defined.
        seed: of the draws.
        size: side of a view, where no encoder says so; the image is resized to 8/7 of it.
        encoder: one whose size, resizing and interpolation are taken.
        count: how many images, the first ones; None for all.

    Returns:
        float32 ``[n, v, size, size, 3]`` in [0, 1]. A study draws the same views of the same ids.

    Raises:
        InputError: images that cannot be opened or read, an unknown setting, numbers out of range.

    Example:
        >>> views("digits", "crop", views=3, size=8, count=2).shape
        (2, 3, 8, 8, 3)
    """
    chosen = find_setting(setting)
    for name, value in (("views", views), ("size", size), ("count", count)):
        if value is not None and value < 1:
            raise InputError(f"{name} must be at least 1; got {value}.")
    source = open_source(images, warn=False)
    rule = None if encoder is None else encoder.preprocess
    side = size if rule is None else rule.size
    numbers = np.arange(views if chosen.operations else 1)
    taken = np.arange(len(source) if count is None else min(count, len(source)))
    made = []
    for batch in canvases(
        source,
        taken,
        resize=round(size * 8 / 7) if rule is None else rule.resize,
        interpolation="bicubic" if rule is None else rule.interpolation,
        batch_size=min(_BATCH, len(taken)),
    ):
        rows = batch.index >= 0
        keys = np.array([image_key(source.ids[max(i, 0)]) for i in batch.index], np.int64)
        of_batch = make_views(
            batch.images, keys, numbers, setting=chosen, strength=strength, seed=seed, size=side
        )
        made.append(np.asarray(of_batch)[rows])
    return np.concatenate(made)
