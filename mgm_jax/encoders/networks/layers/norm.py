"""Norms over channels: LayerNorm, and the response normalisation of ConvNeXt V2."""

from __future__ import annotations

import jax
import jax.numpy as jnp
from flax import linen as nn

# Added to the mean response, as the authors have it.
_EPS = 1e-6


def layer_norm(eps: float, name: str) -> nn.LayerNorm:
    """A LayerNorm whose variance comes from differences: E[x^2] - E[x]^2 would lose digits."""
    return nn.LayerNorm(eps, use_fast_variance=False, name=name)


class ResponseNorm(nn.Module):
    """Each channel times its share of the response of all: ``x + scale * x * n + bias``.

    ``n`` is the channel's 2-norm over the positions of the image, divided by the mean of that norm
    over channels. Sums are float32.

    Reference: Woo et al. (2023), ConvNeXt V2, section 3.2.
    """

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """Maps ``[b, h, w, c]``."""
        channels = (x.shape[-1],)
        scale = self.param("scale", nn.initializers.zeros_init(), channels)
        bias = self.param("bias", nn.initializers.zeros_init(), channels)
        wide = x.astype(jnp.float32)
        norms = jnp.sqrt(jnp.sum(wide * wide, axis=(1, 2), keepdims=True))
        share = norms / (norms.mean(axis=-1, keepdims=True) + _EPS)
        return (wide + scale * (wide * share) + bias).astype(x.dtype)
