"""A backbone that compiles in a second, and images to go with it; which tests are nightly."""

from __future__ import annotations

import subprocess
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn

from benchmarks.zoo.methods import Batch
from tests.launch import ROOT

LONG = {"test_collapse.py", "test_train.py", "test_methods.py", "test_backbones.py"}

COUNT, PIXELS, CLASSES = 64, 8, 4


def _is_changed() -> bool:
    """Whether the trainer is another one than before this branch, or than before the last commit.

    Unknown, as in an unpacked archive, is unchanged.
    """

    def git(*words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(["git", *words], cwd=ROOT, capture_output=True, text=True)

    try:
        for main in ("origin/main", "main"):
            base = git("merge-base", "HEAD", main).stdout.strip()
            if base and base != git("rev-parse", "HEAD").stdout.strip():
                break
        else:
            base = "HEAD^"
        return git("diff", "--quiet", base, "--", "benchmarks/zoo").returncode == 1
    except OSError:
        return False


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The long tests wait for the night, unless what they test is what was changed."""
    long = [item for item in items if item.path.parent == Path(__file__).parent]
    long = [item for item in long if item.path.name in LONG]
    mark = pytest.mark.slow if long and _is_changed() else pytest.mark.nightly
    for item in long:
        item.add_marker(mark)


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
