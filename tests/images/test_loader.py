"""Canvases: shape, order, failures, and what torchvision would make of the same image."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from mgm_jax.errors import InputError
from mgm_jax.images import ImageChanged
from mgm_jax.images.loader import canvases, make_canvas
from mgm_jax.images.sources.open_source import open_source
from tests.images.pictures import random_pixels, write_classes


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    return open_source(write_classes(tmp_path_factory.mktemp("images") / "pets"))


@pytest.fixture(scope="module")
def broken(tmp_path_factory):
    """A source whose second and seventh image cannot be decoded."""
    folder = write_classes(tmp_path_factory.mktemp("images") / "broken")
    for name in ("a/1.png", "b/2.png"):
        (folder / name).write_bytes((folder / name).read_bytes()[:40])
    return open_source(folder)


def test_batches_have_one_shape_and_keep_the_order(source):
    wanted = [7, 0, 3, 3, 11, 2, 9]
    batches = list(canvases(source, wanted, resize=9, crop=8, batch_size=3))
    assert [b.images.shape for b in batches] == [(3, 8, 8, 3)] * 3
    assert np.concatenate([b.index for b in batches]).tolist() == [*wanted, -1, -1]
    assert not batches[-1].images[1:].any()
    rows = np.concatenate([b.images for b in batches])
    for row, position in enumerate(wanted):
        np.testing.assert_array_equal(
            rows[row], make_canvas(source.read(position), resize=9, crop=8)
        )


@given(batch_size=st.integers(1, 14), threads=st.integers(1, 4))
@settings(max_examples=8, deadline=None)
def test_canvases_do_not_depend_on_batches_or_threads(source, batch_size, threads):
    def rows(batches):
        result = [
            (i, image)
            for b in batches
            for i, image in zip(b.index, b.images, strict=True)
            if i >= 0
        ]
        return [i for i, _ in result], np.stack([image for _, image in result])

    order, images = rows(canvases(source, resize=6, batch_size=batch_size, threads=threads))
    assert order == list(range(12))
    np.testing.assert_array_equal(images, rows(canvases(source, resize=6, batch_size=5))[1])


@pytest.mark.parametrize("interpolation", ["bilinear", "bicubic", "nearest"])
@pytest.mark.parametrize(("height", "width"), [(30, 47), (47, 30), (9, 9), (12, 13)])
def test_a_canvas_equals_torchvision(torchvision, height, width, interpolation):
    """Resize of the short side and centre crop, for larger, smaller and odd images."""
    from torchvision.transforms import InterpolationMode, functional

    pixels = random_pixels(height, height, width)
    resized = functional.resize(Image.fromarray(pixels), 12, InterpolationMode(interpolation))
    expected = np.asarray(functional.center_crop(resized, [10, 10]))
    ours = make_canvas(pixels, resize=12, crop=10, interpolation=interpolation)
    np.testing.assert_array_equal(ours, expected)


@pytest.mark.parametrize("shape", [(1, 70_000), (70_000, 1), (2, 40_000)])
def test_of_a_long_image_only_the_middle_is_resized(shape):
    """Its whole at this size would be gigabytes; the middle is that of a shorter piece of it."""
    pixels = random_pixels(4, *shape)
    short, long = min(shape), max(shape)
    margin = 10 * short
    middle = slice(long // 2 - margin, long // 2 + margin)
    piece = pixels[:, middle] if shape[1] == long else pixels[middle]
    result = make_canvas(pixels, resize=256, crop=224)
    expected = make_canvas(piece, resize=256, crop=224)
    assert np.abs(result.astype(int) - expected).max() <= 1


def test_an_image_that_changed_is_not_skipped(tmp_path):
    folder = write_classes(tmp_path / "pets", classes=1)
    source = open_source(folder)
    (folder / "a" / "2.png").write_bytes((folder / "a" / "1.png").read_bytes())
    with pytest.raises(ImageChanged, match=r"a/2\.png is not the image that it was"):
        list(canvases(source, resize=6, batch_size=2, on_error="skip"))
    assert len(list(canvases(source, [0, 1], resize=6, batch_size=2, on_error="skip"))) == 1


def test_an_image_that_cannot_be_decoded_stops_or_is_named(broken):
    with pytest.raises(InputError, match=r"a/1\.png cannot be decoded"):
        list(canvases(broken, resize=6, batch_size=4))
    batches = list(canvases(broken, resize=6, batch_size=4, on_error="skip"))
    index = np.concatenate([b.index for b in batches])
    assert np.flatnonzero(index < 0).tolist() == [1, 6]
    failures = list(itertools.chain.from_iterable(b.failures for b in batches))
    assert [image_id for image_id, _ in failures] == ["a/1.png", "b/2.png"]
    assert all("cannot be decoded" in message for _, message in failures)
    # The images beside it are as they would be without it.
    np.testing.assert_array_equal(
        batches[0].images[2], make_canvas(broken.read(2), resize=6, crop=6)
    )


def test_reading_may_stop_early_and_nothing_to_read_is_no_batch(source):
    first = next(canvases(source, resize=6, batch_size=2))
    assert first.index.tolist() == [0, 1]
    assert list(canvases(source, [], resize=6, batch_size=2)) == []


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"resize": 0}, "resize"),
        ({"crop": 9}, "crop"),
        ({"batch_size": 0}, "batch_size"),
        ({"threads": 0}, "threads"),
        ({"interpolation": "cubic"}, "interpolation"),
        ({"on_error": "ignore"}, "on_error"),
        ({"indices": [12, -1]}, "0 to 11 for pets; got 12, -1"),
        ({"indices": [0.5]}, "whole numbers"),
    ],
)
def test_wrong_arguments_are_named_before_anything_is_read(source, options, named):
    options = {"resize": 8, "batch_size": 2, **options}
    with pytest.raises(InputError, match=named):
        canvases(source, **options)
