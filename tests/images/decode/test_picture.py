"""Every kind of picture becomes eight-bit RGB."""

from __future__ import annotations

import io
import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from mgm_jax.errors import InputError
from mgm_jax.images import ImageChanged
from mgm_jax.images.decode.picture import array_to_rgb, decode_image
from mgm_jax.images.sources.arrays import array_source
from mgm_jax.images.sources.open_source import open_source
from tests.images.pictures import random_pixels, write_picture

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


def grey(values: np.ndarray, kind: str) -> bytes:
    if kind == "PGM":
        return b"P5 8 8 65535\n" + values.astype(">u2").tobytes()
    return encoded(Image.fromarray(values), kind)


@pytest.mark.parametrize("kind", ["PNG", "TIFF", "PGM"])
def test_sixteen_bits_have_one_scale_whatever_the_picture_holds(kind):
    ramp = np.linspace(0, 65535, 64).round().astype(np.uint16).reshape(8, 8)
    for values in (ramp, ramp // 257, np.full_like(ramp, 255), np.full_like(ramp, 256)):
        decoded = decode_image(grey(values, kind), name="x")
        expected = np.round(values.astype(np.float64) / 257)
        np.testing.assert_array_equal(decoded, np.repeat(expected[..., None], 3, axis=-1))


def test_values_that_state_no_scale_are_refused_and_a_range_states_it():
    whole = (np.arange(64, dtype=np.int32) - 32).reshape(8, 8)
    with pytest.raises(InputError, match=r"signed integers of 32 bits .* got -32 to 31"):
        decode_image(grey(whole, "TIFF"), name="x")
    decoded = decode_image(grey(whole, "TIFF"), name="x", value_range=(-32, 31))
    np.testing.assert_array_equal(decoded[..., 0], np.round((whole + 32) * 255 / 63))
    with pytest.raises(InputError, match=r"within \[-30, 31\]; got -32 to 31"):
        decode_image(grey(whole, "TIFF"), name="x", value_range=(-30, 31))
    deep = (whole + 32).astype(np.uint16) * 65
    narrow = decode_image(grey(deep, "PNG"), name="x", value_range=(0, 4095))
    np.testing.assert_array_equal(narrow[..., 1], np.round(deep * (255 / 4095)))
    unit = (np.arange(64, dtype=np.float32) / 63).reshape(8, 8)
    np.testing.assert_array_equal(
        decode_image(grey(unit, "TIFF"), name="x")[..., 2], np.round(unit * 255.0)
    )
    for broken, said in ((unit * 2, "got 0 to 2"), (unit / 0 * 0, "got no finite value")):
        with np.errstate(all="ignore"), pytest.raises(InputError, match=said):
            decode_image(grey(np.asarray(broken), "TIFF"), name="x")
    for value_range in ((1, 0), (0,), "ab", (0, float("nan"))):
        with pytest.raises(InputError, match="value_range must be two numbers"):
            array_source(deep[None], value_range=value_range)
    source = array_source(deep[None], value_range=(0, 4095))
    np.testing.assert_array_equal(source.read(0), narrow)
    assert source.digest != array_source(deep[None]).digest


def test_the_range_of_deep_images_is_reported(tmp_path):
    for position, top in enumerate((100, 4095)):
        values = np.linspace(3, top, 64).astype(np.uint16).reshape(8, 8)
        write_picture(tmp_path / "deep" / f"{position}.png", values)
    write_picture(tmp_path / "deep" / "8.png", RGB)
    with pytest.warns(UserWarning, match="2 images hold uint16 values from 3 to 4095; 0 is black"):
        source = open_source(tmp_path / "deep")
    assert source.read(1).max() == 16
    wide = open_source(tmp_path / "deep", value_range=(0, 4095), warn=False)
    assert wide.read(1).max() == 255 and wide.digest != source.digest


def test_an_array_that_changes_after_the_opening_is_never_read():
    images = np.zeros((3, 4, 4), np.uint8)
    source = array_source(images)
    images[1] += 1
    assert source.read(0).max() == 0
    with pytest.raises(ImageChanged, match="image 1 is not the image"):
        source.read(1)


def png(depth: int, colour: int, row: bytes, *chunks: tuple[bytes, bytes]) -> bytes:
    """A PNG file of one row of two pixels, with chunks before them."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        check = zlib.crc32(kind + data)
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", check)

    head = struct.pack(">IIBBBBB", 2, 1, depth, colour, 0, 0, 0)
    parts = [(b"IHDR", head), *chunks, (b"IDAT", zlib.compress(b"\0" + row)), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunk(*one) for one in parts)


def test_the_transparent_value_of_deep_grey_is_laid_over_white() -> None:
    row = np.array([40000, 257], ">u2").tobytes()
    clear = png(16, 0, row, (b"tRNS", struct.pack(">H", 40000)))
    assert decode_image(clear, name="x")[0, :, 0].tolist() == [255, 1]
    assert decode_image(png(16, 0, row), name="x")[0, :, 0].tolist() == [156, 1]


@pytest.mark.parametrize("kind", [b"zTXt", b"iTXt", b"iCCP"])
def test_texts_larger_than_pillow_unpacks_cost_no_picture(kind: bytes) -> None:
    packed = zlib.compress(b"a" * 2**21)
    data = b"k\0\1\0\0\0" + packed if kind == b"iTXt" else b"k\0\0" + packed
    content = png(8, 2, bytes([10, 100, 200] * 2), (kind, data))
    assert decode_image(content, name="x").tolist() == [[[10, 100, 200]] * 2]


def test_what_is_no_bytes_is_named() -> None:
    for wrong in ("x.png", RGB):
        with pytest.raises(InputError, match=r"^x must be given as the bytes of its file"):
            decode_image(wrong, name="x")  # type: ignore[arg-type]


def test_a_part_of_an_avif_file_is_no_film() -> None:
    content = encoded(Image.fromarray(RGB), "AVIF")
    with pytest.raises(InputError, match="AVIF, cut short"):
        decode_image(content[: len(content) // 2], name="x")
