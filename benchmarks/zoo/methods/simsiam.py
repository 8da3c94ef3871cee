"""SimSiam (Chen and He 2021): foretell the other view; no gradient through what is foretold."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
from flax import linen as nn

from benchmarks.zoo.heads import MLP, Headed, unit
from benchmarks.zoo.methods.method import Batch, Method, Outcome, Variables, both, forward, halves


@dataclass(frozen=True, kw_only=True)
class SimSiam(Method):
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

    def loss(
        self, network: nn.Module, variables: Variables, memory: Any, batch: Batch, key: jax.Array
    ) -> Outcome:
        del key
        outputs, stats = forward(network, variables, both(batch.views))
        told = outputs.projection
        told1, told2 = halves(jax.lax.stop_gradient(told) if self.stop else told)
        first, second = halves(outputs.prediction)
        value = 0.5 * (negative_cosine(first, told2) + negative_cosine(second, told1))
        return Outcome(value, stats, memory)


def negative_cosine(prediction: jax.Array, target: jax.Array) -> jax.Array:
    """Mean of ``-p z / (|p| |z|)`` over the rows of two ``[b, p]`` (equation 1)."""
    return -jnp.mean(jnp.sum(unit(prediction) * unit(target), axis=1))
