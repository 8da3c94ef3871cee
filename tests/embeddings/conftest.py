"""Fixtures of the tests of embeddings."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import jax
import pytest

from mgm_jax.embeddings import batches

from .fakes import fake_canvases


@pytest.fixture
def counted(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """Use the fake loader, and count the calls that make views."""
    count = SimpleNamespace(views=0)
    make_views = batches.make_views

    def counting(*args: Any, **options: Any) -> jax.Array:
        count.views += 1
        return make_views(*args, **options)

    monkeypatch.setattr(batches, "canvases", fake_canvases)
    monkeypatch.setattr(batches, "make_views", counting)
    return count
