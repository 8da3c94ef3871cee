"""A backbone that compiles in a second, and images to go with it."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn

from benchmarks.zoo.methods import Batch

COUNT, PIXELS, CLASSES = 64, 8, 4


class Tiny(nn.Module):
    """Two linear layers on the pixels."""

    width: int = 24

    @nn.compact
    def __call__(self, images: jax.Array, *, train: bool) -> jax.Array:
        x = nn.Dense(48, name="first")(images.reshape(len(images), -1))
        return nn.Dense(self.width, name="second")(nn.relu(x))


@pytest.fixture(scope="session")
def batch() -> Batch:
    """Two noisy views of images of four classes; what views share is worth learning."""
    rng = np.random.default_rng(0)
    labels = np.arange(COUNT) % CLASSES
    classes = rng.normal(size=(CLASSES, PIXELS, PIXELS, 3))
    images = classes[labels] + 0.7 * rng.normal(size=(COUNT, PIXELS, PIXELS, 3))
    views = images + 0.5 * rng.normal(size=(2, COUNT, PIXELS, PIXELS, 3))
    return Batch(jnp.asarray(views, jnp.float32), jnp.asarray(labels, jnp.int32))
