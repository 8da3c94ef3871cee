"""SwAV (Caron et al. 2020): foretell the cluster of the other view, clusters filled evenly."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import jax
import jax.numpy as jnp
from flax import linen as nn

from benchmarks.zoo.heads import MLP, Headed, Outputs, Prototypes
from benchmarks.zoo.methods.method import Batch, Memoryless, halves


@dataclass(frozen=True, kw_only=True)
class SwAV(Memoryless):
    """Assignments by Sinkhorn's iteration; two views, as every method here has, no small crops.

    Attributes:
        prototypes: number of clusters.
        temperature: of the foretold assignment.
        epsilon: of the entropy in the even assignment.
        rounds: of Sinkhorn's iteration.
        even: whether clusters are filled evenly; without it all images fall into one.
    """

    name: ClassVar[str] = "SwAV"
    paradigm: ClassVar[str] = "clustering"
    prototypes: int = 128
    temperature: float = 0.1
    epsilon: float = 0.05
    rounds: int = 3
    even: bool = True

    def network(self, backbone: nn.Module) -> nn.Module:
        return Headed(backbone=backbone, projector=Prototypes(count=self.prototypes, mlp=MLP()))

    def value(self, outputs: Outputs, batch: Batch) -> jax.Array:
        del batch
        first, second = halves(outputs.projection)
        rounds = self.rounds if self.even else 0
        codes = [
            jax.lax.stop_gradient(sinkhorn(scores, epsilon=self.epsilon, rounds=rounds))
            for scores in (first, second)
        ]
        return 0.5 * (
            cross_entropy(codes[1], first / self.temperature)
            + cross_entropy(codes[0], second / self.temperature)
        )


def sinkhorn(scores: jax.Array, *, epsilon: float, rounds: int) -> jax.Array:
    """Assignment of points to clusters near ``exp(scores / epsilon)``, clusters filled evenly.

    Each round scales the clusters to equal sums, then the points to sums of 1 (equation 3 and
    Cuturi 2013); with no round the points alone are scaled.

    Args:
        scores: ``[b, c]``.
        epsilon: weight of the entropy, above 0.
        rounds: of the iteration.

    Returns:
        ``[b, c]``, rows that sum to 1.
    """
    # In logarithms nothing overflows.
    logs = scores / epsilon

    def one_round(_: int, logs: jax.Array) -> jax.Array:
        logs = logs - jax.nn.logsumexp(logs, axis=0, keepdims=True)
        return logs - jax.nn.logsumexp(logs, axis=1, keepdims=True)

    return jax.nn.softmax(jax.lax.fori_loop(0, rounds, one_round, logs), axis=1)


def cross_entropy(target: jax.Array, logits: jax.Array) -> jax.Array:
    """Mean over rows of ``-sum_j q_j log softmax(logits)_j``, both ``[b, c]``."""
    return -jnp.mean(jnp.sum(target * jax.nn.log_softmax(logits, axis=1), axis=1))
