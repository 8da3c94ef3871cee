"""Decoding: any picture to eight-bit RGB, the way it should be looked at."""

from __future__ import annotations

import io
import threading
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from mgm_jax.errors import InputError
from mgm_jax.images.decode.formats import open_formats, what_it_is
from mgm_jax.images.decode.grey_depth import ValueRange, deep_to_bytes
from mgm_jax.images.decode.limits import LIMITS, Limits
from mgm_jax.images.decode.png_texts import has_large_texts, without_texts
from mgm_jax.images.decode.regular_file import read_regular

# Pictures of more pixels are decoded one at a time: a dozen of them side by side, each some ten
# bytes a pixel while it is converted, would need more memory than many machines have.
_LARGE_PIXELS = 2**25
_ONE_LARGE = threading.Lock()

# Formats whose grey of 16 bits Pillow may open with 32 bits a pixel, scaled to 0 .. 65535.
_SIXTEEN_BITS = frozenset(("PNG", "PPM", "JPEG2000"))

# First bytes of formats that have no more than eight bits, and that most image sets are of.
_EIGHT_BIT_HEADS = (b"\xff\xd8\xff", b"GIF8", b"RIFF", b"BM")


def decode_image(
    content: bytes | Path,
    *,
    name: str,
    value_range: ValueRange | None = None,
    limits: Limits = LIMITS,
) -> np.ndarray:
    """Decode a picture file to RGB.

    The EXIF orientation is applied, transparency is laid over white, grey becomes three equal
    channels, deeper values become bytes by the rule of
    :mod:`~mgm_jax.images.decode.grey_depth`, and of an animation the first picture is taken.

    Args:
        content: the file's bytes, or where it lies.
        name: what an error calls the picture.
        value_range: of values deeper than eight bits, the ones of black and white.
        limits: of the picture's size.

    Returns:
        uint8 ``[h, w, 3]``.

    Raises:
        InputError: not a picture, damaged, cut short or too large; the message says which and why.
    """
    if isinstance(content, Path):
        try:
            content = read_regular(content, name=name, limits=limits)
        except OSError as error:
            raise InputError(f"{name} cannot be read: {error.strerror or error}.") from error
    if not isinstance(content, bytes | bytearray | memoryview):
        raise InputError(
            f"{name} must be given as the bytes of its file, or as a Path; got "
            f"{type(content).__name__}."
        )
    try:
        with _opened(content, limits) as picture:
            width, height = picture.size
            limits.check("pixels", width * height, name=name, what="pixels")
            # As Pillow holds them: three channels take four bytes.
            unpacked = width * height * (1 if picture.mode in ("1", "L", "P") else 4)
            limits.check_ratio(unpacked, len(content), name=name)
            if width * height <= _LARGE_PIXELS:
                return _pixels(picture, name=name, value_range=value_range)
            with _ONE_LARGE:
                return _pixels(picture, name=name, value_range=value_range)
    # Pillow raises many types for damaged files, SyntaxError and struct.error among them.
    except InputError:
        raise
    except Image.DecompressionBombError as error:
        raise InputError(
            f"{name} has more pixels than are read, {limits.pixels:,} ({error}). If that is right, "
            "raise the limit `pixels`."
        ) from error
    except Exception as error:
        if has_large_texts(error) and len(bare := without_texts(content)) < len(content):
            return decode_image(bare, name=name, value_range=value_range, limits=limits)
        what = what_it_is(content)
        said = f"it is {what}" if what else _said(error)
        raise InputError(f"{name} cannot be decoded as an image: {said}") from error


def _opened(content: bytes, limits: Limits) -> Image.Image:
    most = Image.MAX_IMAGE_PIXELS
    if most is not None and limits.pixels > max(2 * most, LIMITS.pixels):
        # Pillow's own limit is one for the whole process. It is raised where the user raised ours.
        Image.MAX_IMAGE_PIXELS = limits.pixels
    return Image.open(io.BytesIO(content), formats=open_formats())


def _said(error: Exception) -> str:
    # Pillow names the object in memory that it read from, which tells a reader nothing.
    return "its format is not known" if "BytesIO" in str(error) else str(error) or repr(error)


def _pixels(picture: Image.Image, *, name: str, value_range: ValueRange | None) -> np.ndarray:
    picture.load()
    kind = picture.format
    return to_rgb(ImageOps.exif_transpose(picture), name=name, value_range=value_range, kind=kind)


def to_rgb(
    picture: Image.Image,
    *,
    name: str,
    value_range: ValueRange | None = None,
    kind: str | None = None,
) -> np.ndarray:
    """RGB pixels of an open picture of any mode.

    Args:
        picture: the picture.
        name: what an error calls it.
        value_range: of values deeper than eight bits, the ones of black and white.
        kind: the format that it came from, by Pillow's name.

    Returns:
        uint8 ``[h, w, 3]``.

    Raises:
        InputError: values deeper than eight bits that do not fit the rule for them.
    """
    if _is_deep(picture):
        values = _deep_values(picture, kind)
        grey = deep_to_bytes(values, name=name, value_range=value_range)
        # One value of a grey PNG may stand for transparent, which is laid over white.
        if isinstance(clear := picture.info.get("transparency"), int):
            grey[values == clear] = 255
        return np.repeat(grey[..., None], 3, axis=-1)
    if picture.mode in ("RGBA", "LA", "PA", "La", "RGBa") or "transparency" in picture.info:
        picture = picture.convert("RGBA")
        white = Image.new("RGBA", picture.size, "white")
        picture = Image.alpha_composite(white, picture)
    return np.array(picture if picture.mode == "RGB" else picture.convert("RGB"))


def deep_span(content: bytes) -> tuple[str, float, float] | None:
    """Type of the values of a picture deeper than eight bits, the smallest and the largest.

    Returns:
        None for pictures of eight bits, and for what cannot be decoded.
    """
    if content.startswith(_EIGHT_BIT_HEADS):
        return None
    # A PNG file says its depth in the 25th byte.
    if content.startswith(b"\x89PNG") and content[24:25] != b"\x10":
        return None
    try:
        with Image.open(io.BytesIO(content), formats=open_formats()) as picture:
            # Of large pictures the range is found when they are read.
            if not _is_deep(picture) or picture.width * picture.height > _LARGE_PIXELS:
                return None
            picture.load()
            values = _deep_values(picture, picture.format)
            return str(values.dtype), float(np.nanmin(values)), float(np.nanmax(values))
    except Exception:
        return None


def _is_deep(picture: Image.Image) -> bool:
    return picture.mode.startswith("I;16") or picture.mode in ("I", "F")


def _deep_values(picture: Image.Image, kind: str | None) -> np.ndarray:
    values = np.asarray(picture)
    if picture.mode.startswith("I;16"):
        return values.astype(np.uint16)
    return values.astype(np.uint16) if picture.mode == "I" and kind in _SIXTEEN_BITS else values


def array_to_rgb(
    pixels: np.ndarray, *, name: str, value_range: ValueRange | None = None
) -> np.ndarray:
    """RGB bytes of one image held as an array.

    Args:
        pixels: ``[h, w]`` or ``[h, w, c]`` with 1 (grey), 3 (RGB) or 4 (RGB, alpha over white)
            channels; uint8, bool, uint16, floats in [0, 1], or any numbers with a value range.
        name: what an error calls the image.
        value_range: of values deeper than eight bits, the ones of black and white.

    Returns:
        uint8 ``[h, w, 3]``.

    Raises:
        InputError: another shape or type, or values that do not fit the rule for them.
    """
    if pixels.ndim == 2:
        pixels = pixels[..., None]
    if pixels.ndim != 3 or pixels.shape[-1] not in (1, 3, 4) or 0 in pixels.shape:
        raise InputError(
            f"{name}: an image must be [h, w] or [h, w, c] with 1, 3 or 4 channels; "
            f"got {list(pixels.shape)}. Channels come last."
        )
    if pixels.dtype.kind not in "uifb":
        raise InputError(
            f"{name}: pixels must be uint8, uint16, bool or floats in [0, 1]; got {pixels.dtype}."
        )
    if pixels.dtype == np.bool_:
        pixels = pixels.astype(np.uint8) * np.uint8(255)
    elif pixels.dtype != np.uint8:
        pixels = deep_to_bytes(pixels, name=name, value_range=value_range)
    if pixels.shape[-1] == 1:
        return np.repeat(pixels, 3, axis=-1)
    if pixels.shape[-1] == 4:
        return to_rgb(Image.fromarray(np.ascontiguousarray(pixels)), name=name)
    return np.array(pixels)
