"""Zip archives of checkpoints: their checksums, and those that PyTorch was told not to write."""

from __future__ import annotations

import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_PIECE = 2**20


@contextmanager
def open_zip(path: Path) -> Iterator[zipfile.ZipFile]:
    """An archive whose files without a checksum are read as they are.

    PyTorch can be told to compute none (``torch.serialization.set_crc32_options(False)``) and
    writes 0 then, which the module ``zipfile`` would take for the sum of a damaged file.
    """
    with zipfile.ZipFile(path) as archive:
        for entry in archive.infolist():
            if not entry.CRC:
                # Without the attribute nothing is compared.
                del entry.CRC
        yield archive


def damaged_member(path: Path) -> str:
    """The first file within a zip whose content is not that of its checksum; empty for none.

    PyTorch's reader does not look at the sums, so that a flipped bit would be another weight.
    """
    if not zipfile.is_zipfile(path):
        return ""
    with open_zip(path) as archive:
        for entry in archive.infolist():
            try:
                with archive.open(entry) as member:
                    while member.read(_PIECE):
                        pass
            # Damage of another kind is named by the reader of the checkpoint.
            except Exception as error:
                return entry.filename if "CRC" in str(error) else ""
    return ""
