"""SimCLR (Chen et al. 2020): the other view of the same image among all views of the batch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import jax
import jax.numpy as jnp

from benchmarks.zoo.methods.method import Batch, Memoryless, halves
from benchmarks.zoo.networks.heads import Outputs, unit


@dataclass(frozen=True, kw_only=True)
class SimCLR(Memoryless):
    """Contrast within the batch.

    Attributes:
        temperature: of the cosines.
    """

    name: ClassVar[str] = "SimCLR"
    paradigm: ClassVar[str] = "contrastive"
    temperature: float = 0.2

    def value(self, outputs: Outputs, batch: Batch) -> jax.Array:
        del batch
        return nt_xent(*halves(outputs.projection), temperature=self.temperature)


def nt_xent(first: jax.Array, second: jax.Array, *, temperature: float) -> jax.Array:
    """Mean over both views of ``-log(exp(s_ij / t) / sum_{k != i} exp(s_ik / t))`` (equation 1).

    Args:
        first: projections of first views, ``[b, p]``.
        second: of second views of the same images.
        temperature: t.
    """
    z = unit(jnp.concatenate([first, second]))
    scores = z @ z.T / temperature
    n = len(z)
    scores = jnp.where(jnp.eye(n, dtype=bool), -jnp.inf, scores)
    partner = jnp.roll(jnp.arange(n), n // 2)
    positive = scores[jnp.arange(n), partner]
    return jnp.mean(jax.nn.logsumexp(scores, axis=1) - positive)
