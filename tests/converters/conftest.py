"""What the tests of the converters share: live PyTorch networks and files written on the spot."""

from __future__ import annotations

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
