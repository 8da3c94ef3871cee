"""Barlow Twins (Zbontar et al. 2021): views agree in each feature, features do not repeat."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import jax
import jax.numpy as jnp

from benchmarks.zoo.methods.method import Batch, Memoryless, halves
from benchmarks.zoo.networks.heads import Outputs


@dataclass(frozen=True, kw_only=True)
class BarlowTwins(Memoryless):
    """The correlation of the two views' features, drawn to the identity.

    Attributes:
        redundancy: weight of what lies off the diagonal.
    """

    name: ClassVar[str] = "Barlow Twins"
    paradigm: ClassVar[str] = "non-contrastive"
    redundancy: float = 0.005

    def value(self, outputs: Outputs, batch: Batch) -> jax.Array:
        del batch
        return cross_correlation_loss(*halves(outputs.projection), redundancy=self.redundancy)


def cross_correlation_loss(first: jax.Array, second: jax.Array, *, redundancy: float) -> jax.Array:
    """``sum_i (1 - c_ii)^2 + redundancy sum_{i != j} c_ij^2`` (equations 1 and 2).

    c is the correlation over the batch of feature i of the first views with j of the second.

    Args:
        first: projections of first views, ``[b, p]``.
        second: of second views of the same images.
        redundancy: weight of the second sum.
    """
    c = _standard(first).T @ _standard(second) / len(first)
    on = jnp.diagonal(c)
    return jnp.sum((1.0 - on) ** 2) + redundancy * (jnp.sum(c**2) - jnp.sum(on**2))


def _standard(x: jax.Array) -> jax.Array:
    centred = x - jnp.mean(x, axis=0)
    return centred * jax.lax.rsqrt(jnp.mean(centred**2, axis=0) + 1e-5)
