"""PNG files without their texts, which Pillow refuses to unpack from one megabyte on.

What editors keep in them, such as the history of a picture, may be larger, and is none of its
pixels. Where the orientation stands in such a text alone it is lost with it; that of an ``eXIf``
chunk stays.
"""

from __future__ import annotations

_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_TEXTS = frozenset((b"tEXt", b"zTXt", b"iTXt", b"iCCP"))


def has_large_texts(error: Exception) -> bool:
    """Whether that is what Pillow says of a picture."""
    return "MAX_TEXT" in str(error)


def without_texts(content: bytes) -> bytes:
    """The file without its texts and its colour profile, which is not looked at either.

    Args:
        content: of a PNG file; what is damaged is left as it is, for the decoder to say.

    >>> head = _SIGNATURE + (1).to_bytes(4, "big")
    >>> without_texts(head + b"tEXt" + b"a" + b"crc4" + b"rest") == _SIGNATURE + b"rest"
    True
    """
    kept, at = [_SIGNATURE], len(_SIGNATURE)
    while at + 8 <= len(content):
        end = at + 12 + int.from_bytes(content[at : at + 4], "big")
        if content[at + 4 : at + 8] not in _TEXTS:
            kept.append(content[at:end])
        at = end
    return b"".join(kept) + content[at:]
