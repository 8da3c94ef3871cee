"""Fixtures that every room of the tests shares: real data, and the libraries to compare with."""

from __future__ import annotations

import atexit
import importlib
import importlib.util
import os
import re
import shutil
import tempfile
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

SHARED = Path(__file__).resolve().parents[2] / "shared" / "data"

# What one process has compiled the others read: many tests start programs, and most of a short
# program's time is compiling. The folder is new each time, so nothing of an earlier JAX is in it.
if "JAX_COMPILATION_CACHE_DIR" not in os.environ:
    _compiled = tempfile.mkdtemp(prefix="mgm_jax_compiled_")
    atexit.register(shutil.rmtree, _compiled, ignore_errors=True)
    os.environ["JAX_COMPILATION_CACHE_DIR"] = _compiled
    os.environ["JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"] = "0.2"
    # XLA says of each program that it reads which instructions it was compiled for, and tests look
    # at what a program writes to standard error.
    os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"

# A library takes its declarations back when it is collected.
_KEPT: list[Any] = []


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Folder of real images and checkpoints beside the checkout; skips where it is missing."""
    if not SHARED.is_dir():
        pytest.skip(f"needs the real images and checkpoints in {SHARED.name}/ beside the checkout")
    return SHARED


@pytest.fixture(scope="session")
def torchvision() -> ModuleType:
    """torchvision, also where its compiled operators do not fit the PyTorch at hand.

    The networks need none of them, but the import registers shapes for them, so the missing ones
    are declared first.
    """
    torch = pytest.importorskip("torch")
    found = importlib.util.find_spec("torchvision")
    if found is None or not found.submodule_search_locations:
        pytest.skip("compares with torchvision, which is not installed")
    try:
        return importlib.import_module("torchvision")
    except RuntimeError:
        source = Path(found.submodule_search_locations[0], "_meta_registrations.py").read_text()
    library = torch.library.Library("torchvision", "FRAGMENT")
    for operator in sorted(set(re.findall(r'"torchvision::(\w+)"', source))):
        library.define(f"{operator}() -> ()")
    _KEPT.append(library)
    return importlib.import_module("torchvision")


@pytest.fixture(scope="session")
def timm(torchvision: ModuleType) -> ModuleType:
    """timm, which imports torchvision."""
    return pytest.importorskip("timm")
