"""The thin ResNets for CIFAR: 20, 32, 44, 56 layers, shortcuts without weights."""

from __future__ import annotations

import jax
import jax.numpy as jnp
from flax import linen as nn

from mgm_jax.encoders.networks.layers.convolution import Conv
from mgm_jax.encoders.networks.layers.product import Dense
from mgm_jax.encoders.spec import LOGITS, CifarResNetSpec


class CifarBlock(nn.Module):
    """Two 3x3 convolutions beside an identity, subsampled and padded where the shape changes."""

    channels: int
    stride: int

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        y = nn.relu(Conv(self.channels, stride=self.stride, name="conv1")(x))
        y = Conv(self.channels, name="conv2")(y)
        x = x[:, :: self.stride, :: self.stride]
        missing = self.channels - x.shape[-1]
        before = missing // 2
        shortcut = jnp.pad(x, ((0, 0), (0, 0), (0, 0), (before, missing - before)))
        return nn.relu(y + shortcut)


class CifarResNet(nn.Module):
    """Stem, three stages, average pool.

    Reference: He, Zhang, Ren and Sun (2016), Deep residual learning for image recognition,
    section 4.2, shortcut option A.
    """

    spec: CifarResNetSpec

    @nn.compact
    def __call__(self, x: jax.Array) -> dict[str, jax.Array]:
        """Normalised images ``[b, s, s, 3]`` to every tap, maps as ``[b, h, w, c]``."""
        taps = {}
        x = taps["stem"] = nn.relu(Conv(self.spec.channels, name="conv1")(x))
        for stage, channels in enumerate(self.spec.stage_channels, start=1):
            for block in range(self.spec.blocks):
                stride = 2 if stage > 1 and block == 0 else 1
                module = CifarBlock(channels, stride, name=f"layer{stage}_{block}")
                x = taps[f"layer{stage}.{block}"] = module(x)
        x = taps["pool"] = x.mean(axis=(1, 2), dtype=jnp.float32)
        if self.spec.classes:
            taps[LOGITS] = Dense(self.spec.classes, name="head")(x)
        return taps
