"""ResNets of any depth and width, faithful to torchvision."""

from __future__ import annotations

import jax
import jax.numpy as jnp
from flax import linen as nn

from mgm_jax.encoders.networks.layers.convolution import Conv, max_pool, window_pads
from mgm_jax.encoders.networks.layers.product import Dense
from mgm_jax.encoders.spec import LOGITS, ResNetSpec


class ResidualBlock(nn.Module):
    """Basic (3x3, 3x3) or bottleneck (1x1, 3x3, 1x1) branch beside a shortcut.

    The stride sits in the first 3x3 convolution and, where the shape changes, in the 1x1
    convolution of the shortcut.
    """

    spec: ResNetSpec
    outputs: int
    stride: int
    project: bool

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        padding, outputs = self.spec.padding, self.outputs
        if self.spec.block == "basic":
            y = nn.relu(Conv(outputs, 3, self.stride, padding, name="conv1")(x))
            y = Conv(outputs, 3, 1, padding, name="conv2")(y)
        else:
            inner, groups = self.spec.inner_channels(outputs), self.spec.groups
            y = nn.relu(Conv(inner, 1, name="conv1")(x))
            y = nn.relu(Conv(inner, 3, self.stride, padding, groups, name="conv2")(y))
            y = Conv(outputs, 1, name="conv3")(y)
        if self.project:
            x = Conv(outputs, 1, self.stride, name="downsample_0")(x)
        return nn.relu(y + x)


class ResNet(nn.Module):
    """Stem, stages of residual blocks, average pool.

    Reference: He, Zhang, Ren and Sun (2016), Deep residual learning for image recognition.
    """

    spec: ResNetSpec

    @nn.compact
    def __call__(self, x: jax.Array) -> dict[str, jax.Array]:
        """Normalised images ``[b, s, s, 3]`` to every tap, maps as ``[b, h, w, c]``."""
        spec = self.spec
        taps = {}
        x = taps["stem"] = nn.relu(self._stem(x))
        for stage, (count, outputs) in enumerate(
            zip(spec.blocks, spec.stage_channels, strict=True), start=1
        ):
            for block in range(count):
                module = ResidualBlock(
                    spec,
                    outputs,
                    stride=2 if stage > 1 and block == 0 else 1,
                    project=block == 0 and (stage > 1 or x.shape[-1] != outputs),
                    name=f"layer{stage}_{block}",
                )
                x = taps[f"layer{stage}.{block}"] = module(x)
        x = taps["pool"] = x.mean(axis=(1, 2), dtype=jnp.float32)
        if spec.classes:
            taps[LOGITS] = Dense(spec.classes, name="head")(x)
        return taps

    def _stem(self, x: jax.Array) -> jax.Array:
        channels, padding = self.spec.channels, self.spec.padding
        if self.spec.stem == "cifar":
            return Conv(channels, 3, 1, padding, name="conv1")(x)

        def pool(y: jax.Array) -> jax.Array:
            return max_pool(y, size=3, stride=2, pads=window_pads(y.shape[1:3], 3, 2, padding))

        return Conv(channels, 7, 2, padding, name="conv1")(x, pool=pool)
