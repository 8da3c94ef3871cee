"""Resizing and cutting against Pillow."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from mgm_jax.encoders import Preprocess
from mgm_jax.encoders.framing import frame

FILTERS = {
    "nearest": Image.Resampling.NEAREST,
    "bilinear": Image.Resampling.BILINEAR,
    "bicubic": Image.Resampling.BICUBIC,
}


def by_pillow(image: np.ndarray, preprocess: Preprocess) -> np.ndarray:
    """Short side to ``resize``, centre cut, as torchvision's transforms do with Pillow."""
    height, width = image.shape[:2]
    short = min(height, width)
    height, width = (preprocess.resize * side // short for side in (height, width))
    resized = Image.fromarray(image).resize((width, height), FILTERS[preprocess.interpolation])
    top, left = (round((side - preprocess.size) / 2) for side in (height, width))
    box = (left, top, left + preprocess.size, top + preprocess.size)
    return np.asarray(resized.crop(box), np.float64) / 255


def photo(height: int, width: int) -> np.ndarray:
    """Smooth colours with an edge and a little noise, uint8 [height, width, 3]."""
    rng = np.random.default_rng(height * width)
    rows, columns = np.mgrid[0:height, 0:width]
    waves = np.stack([np.sin(rows / 9), np.cos(columns / 7), np.sin((rows + columns) / 5)], -1)
    waves[height // 3 :, : width // 2] *= -1
    return np.clip(128 + 100 * waves + rng.normal(0, 8, waves.shape), 0, 255).astype(np.uint8)


@pytest.mark.parametrize("interpolation", FILTERS)
@pytest.mark.parametrize(("height", "width"), [(90, 131), (40, 30), (24, 24)])
def test_equals_pillow_within_one_level(interpolation: str, height: int, width: int) -> None:
    preprocess = Preprocess(size=21, resize=24, interpolation=interpolation)  # type: ignore[arg-type]
    image = photo(height, width)
    got = np.asarray(frame(image[None], preprocess)[0], np.float64)
    difference = np.abs(got - by_pillow(image, preprocess)) * 255
    # Pillow rounds after each of its two passes, so one level is what can differ.
    assert difference.max() <= 1.001
    assert difference.mean() < 0.2


def test_enlarging_overshoots_are_cut() -> None:
    image = np.zeros((1, 8, 8, 3), np.uint8)
    image[:, :, 4:] = 255
    framed = np.asarray(frame(image, Preprocess(size=32, resize=32, interpolation="bicubic")))
    assert framed.min() == 0.0
    assert framed.max() == 1.0


def test_an_image_of_the_right_size_is_left_alone() -> None:
    image = photo(32, 32)[None]
    framed = frame(image, Preprocess(size=32, resize=32))
    np.testing.assert_allclose(framed, image / 255.0, atol=1e-7)
