"""MoCo (He et al. 2020): the other view of the same image against a queue of earlier ones."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import jax
import jax.numpy as jnp

from benchmarks.zoo.methods.method import Momentum, Variables, halves
from benchmarks.zoo.networks.heads import MLP, Outputs, unit


@dataclass(frozen=True, kw_only=True)
class MoCo(Momentum):
    """Contrast against keys of a slowly moving network; symmetric over the views.

    Attributes:
        temperature: of the cosines.
        queue: keys that are kept; a multiple of the keys of a batch.
    """

    name: ClassVar[str] = "MoCo"
    paradigm: ClassVar[str] = "contrastive"
    # Through the statistics of its batch a key could tell which image it is of: MoCo shuffles
    # batches against that, here the keys do without such statistics.
    running: ClassVar[bool] = True
    temperature: float = 0.2
    queue: int = 2048

    def start(self, variables: Variables, key: jax.Array) -> Any:
        keys = unit(jax.random.normal(key, (self.queue, MLP().width)))
        return {**super().start(variables, key), "queue": keys}

    def compare(self, outputs: Outputs, target: Outputs, memory: Any) -> tuple[jax.Array, Any]:
        keys = unit(target.projection)
        queries, (key1, key2) = halves(unit(outputs.projection)), halves(keys)
        value = 0.5 * sum(
            info_nce(query, other, memory["queue"], temperature=self.temperature)
            for query, other in zip(queries, (key2, key1), strict=True)
        )
        queue = jnp.concatenate([keys, memory["queue"]])[: self.queue]
        return jnp.asarray(value), {**memory, "queue": queue}


def info_nce(
    query: jax.Array, key: jax.Array, queue: jax.Array, *, temperature: float
) -> jax.Array:
    """Mean of ``-log(exp(q k / t) / (exp(q k / t) + sum_n exp(q n / t)))`` (equation 1).

    Args:
        query: at length 1, ``[b, p]``.
        key: of the other views, at length 1.
        queue: keys of other images, at length 1, ``[n, p]``.
        temperature: t.
    """
    positive = jnp.sum(query * key, axis=1, keepdims=True)
    scores = jnp.concatenate([positive, query @ queue.T], axis=1) / temperature
    return jnp.mean(jax.nn.logsumexp(scores, axis=1) - scores[:, 0])
