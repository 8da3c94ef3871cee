"""What the tests of the converters share: live PyTorch networks and files written on the spot."""

from __future__ import annotations

import importlib.util
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch")


@pytest.fixture
def write(tmp_path: Path) -> Callable[..., Path]:
    """Write an object with torch.save; returns the path."""

    def save(content: Any, name: str = "weights.pth", **options: Any) -> Path:
        path = tmp_path / name
        torch.save(content, path, **options)
        return path

    return save


@pytest.fixture(scope="session")
def torchvision() -> Any:
    """torchvision, also where its compiled operators do not match the PyTorch at hand.

    Its package index may lag behind PyTorch's. The networks need none of the operators, but the
    import registers shapes for them, so the missing ones are declared first.
    """
    found = importlib.util.find_spec("torchvision")
    if found is None or not found.submodule_search_locations:
        pytest.skip("compares with torchvision, which is not installed")
    try:
        return importlib.import_module("torchvision")
    except RuntimeError:
        folder = Path(found.submodule_search_locations[0])
        source = (folder / "_meta_registrations.py").read_text()
    library = torch.library.Library("torchvision", "FRAGMENT")
    for operator in sorted(set(re.findall(r'register_fake\("torchvision::(\w+)"', source))):
        library.define(f"{operator}() -> ()")
    _KEPT.append(library)
    return importlib.import_module("torchvision")


# A library takes its declarations back when it is collected.
_KEPT: list[Any] = []


@pytest.fixture(scope="session")
def timm(torchvision: Any) -> Any:
    """timm, which imports torchvision."""
    return pytest.importorskip("timm")


@pytest.fixture(scope="session")
def transformers(torchvision: Any) -> Any:
    """transformers, which imports torchvision where it is installed."""
    module = pytest.importorskip("transformers")
    module.logging.set_verbosity_error()
    return module


@pytest.fixture(scope="session")
def randomised() -> Callable[..., Any]:
    """Give a network weights and statistics that are nowhere at their initial 0 or 1."""

    def randomise(network: Any, seed: int = 0) -> Any:
        generator = torch.Generator().manual_seed(seed)

        def draw(tensor: Any, low: float, high: float) -> None:
            tensor.copy_(torch.rand(tensor.shape, generator=generator) * (high - low) + low)

        with torch.no_grad():
            for name, tensor in network.state_dict().items():
                if name.endswith("running_var"):
                    draw(tensor, 0.5, 2.0)
                elif tensor.ndim == 1 and name.endswith("weight"):
                    draw(tensor, 0.5, 1.5)
                elif tensor.ndim == 1 and tensor.is_floating_point():
                    draw(tensor, -0.5, 0.5)
                elif name.endswith(("cls_token", "pos_embed", "reg_token", "embeddings")):
                    draw(tensor, -1.0, 1.0)
        return network.eval()

    return randomise
