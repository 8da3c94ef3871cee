"""Decoding: any picture to eight-bit RGB, the way it should be looked at."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from mgm_jax.errors import InputError

# Depth of a grey picture with 16 bits, to that of one with 8: 65535 becomes 255.
SIXTEEN_TO_EIGHT = 257.0


def decode_image(content: bytes | Path, *, name: str) -> np.ndarray:
    """Decode a picture file to RGB.

    The EXIF orientation is applied, transparency is laid over white, grey becomes three equal
    channels, 16 bits become 8, and of an animation the first picture is taken.

    Args:
        content: the file's bytes, or where it lies.
        name: what an error calls the picture.

    Returns:
        uint8 ``[h, w, 3]``.

    Raises:
        InputError: not a picture, damaged or cut short; the message says which and why.
    """
    try:
        with Image.open(io.BytesIO(content) if isinstance(content, bytes) else content) as picture:
            picture.load()
            return to_rgb(ImageOps.exif_transpose(picture), name=name)
    # Pillow raises many types for damaged files, SyntaxError and struct.error among them.
    except InputError:
        raise
    except Exception as error:
        raise InputError(f"{name} cannot be decoded as an image: {error}") from error


def to_rgb(picture: Image.Image, *, name: str) -> np.ndarray:
    """RGB pixels of an open picture of any mode.

    Returns:
        uint8 ``[h, w, 3]``.

    Raises:
        InputError: float pixels outside of [0, 1].
    """
    if picture.mode.startswith("I;16") or picture.mode in ("I", "F"):
        return _deep_to_rgb(np.asarray(picture), name=name)
    if picture.mode in ("RGBA", "LA", "PA", "La", "RGBa") or "transparency" in picture.info:
        picture = picture.convert("RGBA")
        white = Image.new("RGBA", picture.size, "white")
        picture = Image.alpha_composite(white, picture)
    return np.array(picture.convert("RGB"))


def _deep_to_rgb(pixels: np.ndarray, *, name: str) -> np.ndarray:
    if np.issubdtype(pixels.dtype, np.floating):
        scaled = unit_to_bytes(pixels, name=name)
    else:
        # Pillow opens some 16-bit files with 32 bits a pixel; the largest value tells.
        deep = pixels.dtype != np.int32 or int(pixels.max(initial=0)) > 255
        values = pixels / SIXTEEN_TO_EIGHT if deep else pixels
        scaled = np.clip(np.round(values), 0, 255).astype(np.uint8)
    return np.repeat(scaled[..., None], 3, axis=-1)


def unit_to_bytes(pixels: np.ndarray, *, name: str) -> np.ndarray:
    """Floats in [0, 1] to bytes, rounded.

    Raises:
        InputError: a value that is not finite or lies outside of [0, 1].
    """
    if not np.isfinite(pixels).all() or pixels.min(initial=0) < 0 or pixels.max(initial=0) > 1:
        raise InputError(
            f"{name}: floating-point pixels must be finite and within [0, 1]; "
            f"got {pixels.min():g} to {pixels.max():g}. Scale them, or store bytes."
        )
    return np.round(pixels * 255.0).astype(np.uint8)


def array_to_rgb(pixels: np.ndarray, *, name: str) -> np.ndarray:
    """RGB bytes of one image held as an array.

    Args:
        pixels: ``[h, w]`` or ``[h, w, c]`` with 1 (grey), 3 (RGB) or 4 (RGB, alpha over white)
            channels; uint8, uint16, bool, or floats in [0, 1].
        name: what an error calls the image.

    Returns:
        uint8 ``[h, w, 3]``.

    Raises:
        InputError: another shape or type, or floats outside of [0, 1].
    """
    if pixels.ndim == 2:
        pixels = pixels[..., None]
    if pixels.ndim != 3 or pixels.shape[-1] not in (1, 3, 4) or 0 in pixels.shape:
        raise InputError(
            f"{name}: an image must be [h, w] or [h, w, c] with 1, 3 or 4 channels; "
            f"got {list(pixels.shape)}. Channels come last."
        )
    if pixels.dtype == np.uint16:
        pixels = np.round(pixels / SIXTEEN_TO_EIGHT).astype(np.uint8)
    elif pixels.dtype == np.bool_:
        pixels = pixels.astype(np.uint8) * np.uint8(255)
    elif np.issubdtype(pixels.dtype, np.floating):
        pixels = unit_to_bytes(pixels, name=name)
    elif pixels.dtype != np.uint8:
        raise InputError(
            f"{name}: pixels must be uint8, uint16, bool or floats in [0, 1]; got {pixels.dtype}."
        )
    if pixels.shape[-1] == 1:
        return np.repeat(pixels, 3, axis=-1)
    if pixels.shape[-1] == 4:
        return to_rgb(Image.fromarray(np.ascontiguousarray(pixels)), name=name)
    return np.array(pixels)
