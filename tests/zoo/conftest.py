"""A small zoo in place of the shipped one."""

from __future__ import annotations

from pathlib import Path

import pytest

import mgm_jax.zoo
from tests.zoo.weights import write_zoo


@pytest.fixture
def small_zoo(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Folder of three encoders that stands for the shipped one."""
    folder = write_zoo(tmp_path / "zoo")
    monkeypatch.setattr(mgm_jax.zoo, "FOLDER", folder)
    return folder
