"""Fixtures that every room of the tests shares."""

from __future__ import annotations

from pathlib import Path

import pytest

SHARED = Path(__file__).resolve().parents[2] / "shared" / "data"


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Folder of real images and checkpoints beside the checkout; skips where it is missing."""
    if not SHARED.is_dir():
        pytest.skip(f"needs the real images and checkpoints in {SHARED.name}/ beside the checkout")
    return SHARED
