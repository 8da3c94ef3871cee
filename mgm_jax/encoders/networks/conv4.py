"""Conv4, the small network of few-shot learning."""

from __future__ import annotations

from functools import partial

import jax
from flax import linen as nn

from mgm_jax.encoders.networks.layers.convolution import Conv, max_pool
from mgm_jax.encoders.spec import Conv4Spec

HALVE = partial(max_pool, size=2, stride=2, pads=((0, 0), (0, 0)))


class Conv4Block(nn.Module):
    """3x3 convolution with BatchNorm folded in, ReLU, 2x2 max pool."""

    channels: int

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        return nn.relu(Conv(self.channels, name="conv")(x, pool=HALVE))


class Conv4(nn.Module):
    """Four blocks; the feature is the last map, flattened channel by channel as PyTorch does.

    Reference: Snell, Swersky and Zemel (2017), Prototypical networks for few-shot learning.
    """

    spec: Conv4Spec

    @nn.compact
    def __call__(self, x: jax.Array) -> dict[str, jax.Array]:
        """Normalised images ``[b, s, s, 3]`` to every tap, maps as ``[b, h, w, c]``."""
        taps = {}
        for i in range(4):
            x = taps[f"block{i}"] = Conv4Block(self.spec.channels, name=f"blocks_{i}")(x)
        taps["flatten"] = x.transpose(0, 3, 1, 2).reshape(x.shape[0], -1)
        return taps
