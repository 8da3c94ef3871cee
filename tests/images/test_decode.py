"""Every kind of picture becomes eight-bit RGB."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from mgm_jax.errors import InputError
from mgm_jax.images.decode import array_to_rgb, decode_image
from tests.images.pictures import random_pixels

RGB = random_pixels(0)


def encoded(picture: Image.Image, kind: str = "PNG", **options: object) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, kind, **options)
    return buffer.getvalue()


def test_colour_is_read_as_it_is():
    decoded = decode_image(encoded(Image.fromarray(RGB)), name="x")
    np.testing.assert_array_equal(decoded, RGB)
    assert decoded.dtype == np.uint8


def test_grey_and_palette_become_rgb():
    grey = Image.fromarray(RGB[..., 0])
    np.testing.assert_array_equal(
        decode_image(encoded(grey), name="x"), np.repeat(RGB[..., :1], 3, axis=-1)
    )
    palette = Image.fromarray(RGB // 128 * 255).quantize(8)
    np.testing.assert_array_equal(decode_image(encoded(palette), name="x"), RGB // 128 * 255)


def test_transparency_lies_over_white():
    alpha = np.zeros((10, 12, 1), np.uint8)
    alpha[:5] = 255
    decoded = decode_image(
        encoded(Image.fromarray(np.concatenate([RGB, alpha], axis=-1))), name="x"
    )
    np.testing.assert_array_equal(decoded[:5], RGB[:5])
    assert (decoded[5:] == 255).all()
    keyed = encoded(Image.fromarray(np.zeros((4, 4), np.uint8)), transparency=0)
    assert (decode_image(keyed, name="x") == 255).all()


def test_orientation_is_applied():
    """Orientation 6: the picture is stored turned a quarter to the left."""
    exif = Image.Exif()
    exif[0x0112] = 6
    decoded = decode_image(encoded(Image.fromarray(RGB), exif=exif), name="x")
    np.testing.assert_array_equal(decoded, np.rot90(RGB, -1))


def test_sixteen_bits_become_eight():
    deep = (RGB[..., 0].astype(np.uint16) * 257).astype(np.uint16)
    decoded = decode_image(encoded(Image.fromarray(deep)), name="x")
    np.testing.assert_array_equal(decoded, np.repeat(RGB[..., :1], 3, axis=-1))


def test_print_colours_become_rgb():
    decoded = decode_image(encoded(Image.new("CMYK", (3, 2), (0, 0, 0, 0)), "TIFF"), name="x")
    np.testing.assert_array_equal(decoded, np.full((2, 3, 3), 255))


@pytest.mark.parametrize(
    "content",
    [b"", b"no picture", encoded(Image.fromarray(RGB))[:-60], encoded(Image.fromarray(RGB))[:30]],
    ids=["empty", "text", "cut short", "header only"],
)
def test_damaged_files_are_named(content):
    with pytest.raises(InputError, match=r"cat\.png"):
        decode_image(content, name="cat.png")


@pytest.mark.parametrize(
    ("pixels", "expected"),
    [
        (RGB, RGB),
        (RGB[..., 0], np.repeat(RGB[..., :1], 3, axis=-1)),
        (RGB.astype(np.uint16) * 257, RGB),
        (RGB / 255, RGB),
        (RGB > 127, (RGB > 127) * 255),
        (np.concatenate([RGB, np.zeros_like(RGB[..., :1])], axis=-1), np.full_like(RGB, 255)),
    ],
    ids=["uint8", "grey", "uint16", "float", "bool", "transparent"],
)
def test_arrays_become_rgb(pixels, expected):
    rgb = array_to_rgb(pixels, name="x")
    np.testing.assert_array_equal(rgb, expected)
    assert rgb.dtype == np.uint8


@pytest.mark.parametrize(
    ("pixels", "named"),
    [
        (np.zeros((3, 8, 8), np.uint8), "Channels come last"),
        (np.zeros((0, 8, 3), np.uint8), "an image must be"),
        (np.full((2, 2, 3), 1.5), r"within \[0, 1\]"),
        (np.full((2, 2, 3), np.nan), "finite"),
        (np.zeros((2, 2, 3), np.int64), "signed integers of 64 bits"),
    ],
)
def test_arrays_that_are_no_images_are_refused(pixels, named):
    with pytest.raises(InputError, match=named):
        array_to_rgb(pixels, name="x")
