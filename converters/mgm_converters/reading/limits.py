"""How much a checkpoint may unfold to: a small hostile file must not fill the memory.

PyTorch never packs what it writes, so the parts of an honest file are about as large as the file.
A part that unfolds to many times its size, a pickle of a size that no training writes, or one that
takes minutes to walk through is refused, and the message says how to allow it.
"""

from __future__ import annotations

import zipfile
from dataclasses import dataclass
from pathlib import Path

from mgm_jax.errors import InputError

_MIB = 1 << 20


@dataclass(frozen=True, kw_only=True)
class Limits:
    """What a checkpoint may unfold to.

    Attributes:
        ratio: unpacked over packed size of an archive; what unpacks to 64 MiB in all is let pass.
        unpacked: bytes of an archive, unpacked.
        entries: files in an archive.
        pickle: bytes of the pickle that says what an archive holds; tensors lie beside it.
        seconds: for walking through that pickle.
    """

    ratio: float = 20.0
    unpacked: int = 256 << 30
    entries: int = 1_000_000
    pickle: int = 256 * _MIB
    seconds: float = 120.0

    def times(self, factor: float) -> Limits:
        """All limits raised by a factor (1 keeps them).

        Raises:
            InputError: a factor below 1.

        >>> Limits().times(10).ratio
        200.0
        """
        if not factor >= 1:
            raise InputError(f"limits: expected a factor of at least 1, got {factor}")
        return Limits(
            ratio=self.ratio * factor,
            unpacked=int(self.unpacked * factor),
            entries=int(self.entries * factor),
            pickle=int(self.pickle * factor),
            seconds=self.seconds * factor,
        )


#: What ends every message of this file.
RAISE = "If you trust where the file comes from, raise the limits: --limits 10 (limits= in Python)"


class BeyondLimits(Exception):
    """A file that unfolds to more than it may; the message says which limit and by how much."""


def check_archive(path: Path, limits: Limits) -> None:
    """Look at the directory of a zip before anything of it is unpacked.

    Raises:
        BeyondLimits: it would unfold to too much.
    """
    size = path.stat().st_size
    try:
        with zipfile.ZipFile(path) as archive:
            entries = archive.infolist()
    # Directories of damaged zips fail in several ways; its reader names the damage.
    except Exception:
        return
    if len(entries) > limits.entries:
        raise BeyondLimits(f"{len(entries)} files in one archive, at most {limits.entries}")
    unpacked = sum(entry.file_size for entry in entries)
    if unpacked > limits.unpacked:
        raise BeyondLimits(f"{unpacked} bytes unpacked, at most {limits.unpacked}")
    if unpacked > max(64 * _MIB, limits.ratio * size):
        raise BeyondLimits(
            f"{size} bytes that unpack to {unpacked}, {unpacked / max(size, 1):.0f} times as much "
            f"and at most {limits.ratio:g} times; PyTorch packs nothing"
        )
    for entry in entries:
        if entry.filename.endswith("data.pkl") and entry.file_size > limits.pickle:
            raise BeyondLimits(
                f"a pickle of {entry.file_size} bytes beside the tensors, at most {limits.pickle}"
            )
