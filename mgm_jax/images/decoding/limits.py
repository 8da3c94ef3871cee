"""How much an image set may ask of the memory, so that a small file cannot fill it."""

from __future__ import annotations

from dataclasses import dataclass, fields

from mgm_jax.errors import InputError

#: Bytes that may be unpacked from anything, however well it is compressed: what a program takes.
FREE_BYTES = 2**26


@dataclass(frozen=True, kw_only=True)
class Limits:
    """The largest things that are read; beyond them an image is refused by name.

    Attributes:
        pixels: of one image; the default is where Pillow itself refuses.
        file_bytes: of one image file, as it is stored and as it is unpacked from an archive.
        unpacked_bytes: of all that a compressed archive or array file unpacks to.
        ratio: of unpacked bytes to stored ones, where more than 64 MiB are unpacked. Photographs
            and drawings stay below 100; what is made to fill a memory reaches 1000.
        files: in a folder or archive.

    Raises:
        InputError: a limit that is not a whole number of 1 or more.

    >>> Limits(pixels=10**9).pixels
    1000000000
    """

    pixels: int = 178_956_970
    file_bytes: int = 2**30
    unpacked_bytes: int = 2**36
    ratio: int = 250
    files: int = 20_000_000

    def __post_init__(self) -> None:
        for one in fields(self):
            value = getattr(self, one.name)
            if isinstance(value, bool) or not isinstance(value, int) or value < 1:
                raise InputError(
                    f"limits: {one.name} must be a whole number of 1 or more; got {value!r}."
                )

    def check(self, limit: str, value: int, *, name: str, what: str) -> None:
        """Refuse a value above a limit.

        Args:
            limit: name of the limit.
            value: what is there.
            name: of the image or file.
            what: the value in words, such as ``bytes``.

        Raises:
            InputError: it is larger; the message says how to raise the limit.
        """
        most = getattr(self, limit)
        if value > most:
            raise InputError(
                f"{name} has {value:,} {what}; at most {most:,} are read. {_way(limit)}"
            )

    def check_ratio(self, unpacked: int, stored: int, *, name: str) -> None:
        """Refuse what is compressed further than images are.

        Args:
            unpacked: bytes in memory.
            stored: bytes in the file.
            name: of the image or file.

        Raises:
            InputError: the ratio is larger than the limit; the message says how to raise it.
        """
        if unpacked > FREE_BYTES and unpacked > self.ratio * max(stored, 1):
            raise InputError(
                f"{name} unpacks from {stored:,} to {unpacked:,} bytes, more than "
                f"{self.ratio} times as many, as files do that are made to fill a memory. "
                f"{_way('ratio')}"
            )


def _way(limit: str) -> str:
    return (
        f"If that is right, raise it: `limits: {{{limit}: NUMBER}}` of the image set in the study, "
        f"or open_source(..., limits=Limits({limit}=NUMBER))."
    )


#: The limits where nothing else is said.
LIMITS = Limits()
