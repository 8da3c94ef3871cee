"""SwAV (Caron et al. 2020): foretell the cluster of the other view, clusters filled evenly."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
from flax import linen as nn

from benchmarks.zoo.methods.method import Batch, Method, Outcome, Variables, both, forward, halves
from benchmarks.zoo.networks.heads import MLP, Headed, Prototypes, unit


@dataclass(frozen=True, kw_only=True)
class SwAV(Method):
    """Assignments by Sinkhorn's iteration; two views, as every method here has, no small crops.

    Attributes:
        prototypes: number of clusters.
        temperature: of the foretold assignment.
        epsilon: of the entropy in the even assignment.
        rounds: of Sinkhorn's iteration.
        queue: earlier projections that are assigned along with a batch smaller than the number of
            clusters, which could not fill them evenly by itself (section 5.1).
        even: whether clusters are filled evenly; without it all images fall into one.
    """

    name: ClassVar[str] = "SwAV"
    paradigm: ClassVar[str] = "clustering"
    prototypes: int = 128
    temperature: float = 0.1
    epsilon: float = 0.05
    rounds: int = 3
    queue: int = 1024
    even: bool = True

    def network(self, backbone: nn.Module) -> nn.Module:
        return Headed(
            backbone=backbone, projector=MLP(), predictor=Prototypes(count=self.prototypes)
        )

    def start(self, variables: Variables, key: jax.Array) -> Any:
        del variables
        return {"queue": unit(jax.random.normal(key, (self.queue, MLP().width)))}

    def loss(
        self, network: nn.Module, variables: Variables, memory: Any, batch: Batch, key: jax.Array
    ) -> Outcome:
        del key
        outputs, stats = forward(network, variables, both(batch.views))
        views = halves(outputs.prediction)
        directions = unit(variables["params"]["predictor"]["directions"], axis=0)
        earlier = memory["queue"] @ directions
        rounds = self.rounds if self.even else 0
        codes = [
            sinkhorn(jnp.concatenate([scores, earlier]), epsilon=self.epsilon, rounds=rounds)
            for scores in views
        ]
        first, second = (jax.lax.stop_gradient(code[: len(views[0])]) for code in codes)
        value = 0.5 * (
            cross_entropy(second, views[0] / self.temperature)
            + cross_entropy(first, views[1] / self.temperature)
        )
        latest = unit(jax.lax.stop_gradient(outputs.projection))
        queue = jnp.concatenate([latest, memory["queue"]])[: self.queue]
        return Outcome(value, stats, {"queue": queue})


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
