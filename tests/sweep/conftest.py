"""An undisturbed run that others are compared with."""

from __future__ import annotations

from pathlib import Path

import pytest

from mgm_jax.sweep import run_study
from tests.sweep.small_study import small_study


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tables of the small study; not to be changed."""
    out = tmp_path_factory.mktemp("finished")
    assert not run_study(small_study(), out).failures
    return out
