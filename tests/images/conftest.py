"""What the tests of the images share: a picture, and torchvision to compare with."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest


@pytest.fixture(scope="session")
def picture() -> np.ndarray:
    """A picture of 40 x 40 pixels with flat, smooth and noisy parts, float32 in [0, 1]."""
    noise = np.random.default_rng(3).random((40, 40, 3))
    y, x = np.mgrid[0:40, 0:40] / 39.0
    smooth = np.stack([x, y, 0.5 + 0.5 * np.sin(6 * x + 4 * y)], axis=-1)
    mixed = 0.8 * smooth + 0.2 * noise
    mixed[5:12, 20:32] = [0.9, 0.1, 0.1]
    mixed[25:30, 3:9] = 0.5
    return mixed.astype(np.float32)


@pytest.fixture(scope="session")
def oracle(torchvision: Any) -> Callable[..., np.ndarray]:
    """``oracle(name, image, *args)``: a functional of torchvision on ``[h, w, 3]`` floats."""
    import torch
    from torchvision.transforms.v2 import functional

    def apply(name: str, image: np.ndarray, *args: Any, **options: Any) -> np.ndarray:
        tensor = torch.from_numpy(np.ascontiguousarray(np.asarray(image).transpose(2, 0, 1)))
        return getattr(functional, name)(tensor, *args, **options).numpy().transpose(1, 2, 0)

    return apply


@pytest.fixture(scope="session")
def keys() -> Callable[[int], jax.Array]:
    """``keys(n)``: n random keys."""
    return lambda n: jax.random.split(jax.random.key(11), n)


@pytest.fixture(scope="session")
def strengths() -> dict[str, jax.Array]:
    """Strengths as the views hand them to operations."""
    return {name: jnp.float32(value) for name, value in (("none", 0), ("half", 0.5), ("full", 1))}
