"""What a safetensors file says of its arrays before they begin."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any


def safetensors_head(path: str | Path) -> tuple[dict[str, Any], int]:
    """The head of a safetensors file, JSON behind its length in 8 bytes, and where the data begin.

    Raises:
        ValueError: it has no such head.
    """
    path = Path(path)
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        if not 2 <= length <= path.stat().st_size - 8:
            raise ValueError("its head is longer than the file")
        head = json.loads(file.read(length))
    if not isinstance(head, dict):
        raise ValueError("its head is no mapping")
    return head, 8 + length
