"""VICReg (Bardes et al. 2022): invariance, variance and covariance, each a term of its own."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import jax
import jax.numpy as jnp
from flax import linen as nn

from benchmarks.zoo.methods.method import Batch, Memoryless, halves
from benchmarks.zoo.networks.heads import Outputs


@dataclass(frozen=True, kw_only=True)
class VICReg(Memoryless):
    """Views close, features spread, features uncorrelated.

    Attributes:
        invariance: weight of the distance between the views.
        variance: weight of the hinge that keeps each feature's deviation above 1.
        covariance: weight of the covariances between features.
    """

    name: ClassVar[str] = "VICReg"
    paradigm: ClassVar[str] = "non-contrastive"
    invariance: float = 25.0
    variance: float = 25.0
    covariance: float = 1.0

    def value(self, outputs: Outputs, batch: Batch) -> jax.Array:
        del batch
        first, second = halves(outputs.projection)
        return (
            self.invariance * jnp.mean((first - second) ** 2)
            + self.variance * 0.5 * (variance_term(first) + variance_term(second))
            + self.covariance * (covariance_term(first) + covariance_term(second))
        )


def variance_term(z: jax.Array) -> jax.Array:
    """``mean_j max(0, 1 - sqrt(var(z_j) + 1e-4))`` of ``[b, p]``, unbiased (equations 1 and 2)."""
    return jnp.mean(nn.relu(1.0 - jnp.sqrt(jnp.var(z, axis=0, ddof=1) + 1e-4)))


def covariance_term(z: jax.Array) -> jax.Array:
    """``sum_{i != j} C_ij^2 / p`` with the unbiased covariance C of ``[b, p]`` (equation 4)."""
    centred = z - jnp.mean(z, axis=0)
    c = centred.T @ centred / (len(z) - 1)
    return (jnp.sum(c**2) - jnp.sum(jnp.diagonal(c) ** 2)) / z.shape[1]
