"""Names of files, from texts that may hold anything."""

from __future__ import annotations

import hashlib
import re


def safe_name(text: str, *, most: int = 80) -> str:
    """Turn any text into a file name: letters, digits, ``.``, ``_``, ``-``, ``@``, ``=`` kept.

    Names that had to be changed or cut get eight digits of their hash, so that two different
    texts never meet in one file.

    >>> safe_name("resnet18-s0")
    'resnet18-s0'
    >>> safe_name("a/b")
    'a-b-c14cddc0'
    """
    kept = re.sub(r"[^A-Za-z0-9._@=-]+", "-", text).strip(".-") or "unnamed"
    if kept == text and len(kept) <= most:
        return kept
    return f"{kept[:most]}-{hashlib.sha256(text.encode(errors='surrogatepass')).hexdigest()[:8]}"
