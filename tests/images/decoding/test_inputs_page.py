"""The page on inputs says what the tables of the code say."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path

from mgm_jax.images.decoding.formats import TAR_SUFFIXES, UNREAD_SUFFIXES, open_formats
from mgm_jax.images.decoding.limits import LIMITS
from mgm_jax.images.sources.files.layout import SPLIT_NAMES
from mgm_jax.images.sources.open_table import TABLE_SUFFIXES, WDS_PREFIX
from mgm_jax.images.sources.tables.fields import (
    ID_COLUMNS,
    IMAGE_COLUMNS,
    LABEL_COLUMNS,
    PATH_COLUMNS,
    SPLIT_COLUMNS,
)

PAGE = Path(__file__).parents[3] / "docs" / "inputs.md"


def test_the_page_holds_every_entry_of_the_tables():
    lines = PAGE.read_text(encoding="utf-8").splitlines()
    for suffix, why in UNREAD_SUFFIXES.items():
        assert any(f"`{suffix}`" in line and line.endswith(f"| {why} |") for line in lines), suffix
    for kind, names in SPLIT_NAMES.items():
        [line] = [line for line in lines if line.startswith(f"| {kind} |")]
        assert all(f"`{name}`" in line for name in names)
    for one in fields(LIMITS):
        assert f"| `{one.name}` | {getattr(LIMITS, one.name):,} |" in lines
    text = "\n".join(lines)
    for names in (IMAGE_COLUMNS, PATH_COLUMNS, LABEL_COLUMNS, ID_COLUMNS, SPLIT_COLUMNS):
        assert any(line.endswith(f"| {', '.join(f'`{one}`' for one in names)} |") for line in lines)
    assert all(f"`{suffix}`" in text for suffix in (*TABLE_SUFFIXES, WDS_PREFIX + "PLACE"))
    assert all(f"`{suffix}`" in text for suffix in TAR_SUFFIXES)
    # Pillow's own list changes with its version; these are in all of them.
    for name in ("JPEG", "PNG", "TIFF", "GIF", "WEBP", "PPM", "BMP"):
        assert name in open_formats() and any(line.startswith(f"| {name} |") for line in lines)
