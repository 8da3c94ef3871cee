"""SimSiam (Chen and He 2021): foretell the other view; no gradient through what is foretold."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import jax
import jax.numpy as jnp
from flax import linen as nn

from benchmarks.zoo.methods.method import Batch, Memoryless, halves
from benchmarks.zoo.networks.heads import MLP, Headed, Outputs, unit


@dataclass(frozen=True, kw_only=True)
class SimSiam(Memoryless):
    """A predictor with a bottleneck, and the same network on both sides.

    Attributes:
        stop: whether the gradient stops at the other view; without it the network collapses.
    """

    name: ClassVar[str] = "SimSiam"
    paradigm: ClassVar[str] = "non-contrastive"
    stop: bool = True

    def network(self, backbone: nn.Module) -> nn.Module:
        return Headed(
            backbone=backbone, projector=MLP(last_norm=True), predictor=MLP(hidden=MLP().width // 4)
        )

    def value(self, outputs: Outputs, batch: Batch) -> jax.Array:
        del batch
        told = outputs.projection
        told1, told2 = halves(jax.lax.stop_gradient(told) if self.stop else told)
        first, second = halves(outputs.prediction)
        return 0.5 * (negative_cosine(first, told2) + negative_cosine(second, told1))


def negative_cosine(prediction: jax.Array, target: jax.Array) -> jax.Array:
    """Mean of ``-p z / (|p| |z|)`` over the rows of two ``[b, p]`` (equation 1)."""
    return -jnp.mean(jnp.sum(unit(prediction) * unit(target), axis=1))
