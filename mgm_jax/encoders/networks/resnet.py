"""ResNets of any depth and width, faithful to torchvision."""

from __future__ import annotations

import jax
import jax.numpy as jnp
from flax import linen as nn

from mgm_jax.encoders.networks.layers.beside import apart, beside, filled_up
from mgm_jax.encoders.networks.layers.convolution import Conv, max_pool, window_pads
from mgm_jax.encoders.networks.layers.product import Dense
from mgm_jax.encoders.spec import LOGITS, ResNetSpec

# Channels that a TPU computes with at once.
_LANES = 128


class ResidualBlock(nn.Module):
    """Basic (3x3, 3x3) or bottleneck (1x1, 3x3, 1x1) branch beside a shortcut.

    The stride sits in the first 3x3 convolution and, where the shape changes, in the 1x1
    convolution of the shortcut. ``images`` lie side by side, see ``beside``.
    """

    spec: ResNetSpec
    outputs: int
    stride: int
    project: bool
    images: int = 1

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        padding, outputs, images = self.spec.padding, self.outputs, self.images
        if self.spec.block == "basic":
            y = nn.relu(Conv(outputs, 3, self.stride, padding, images=images, name="conv1")(x))
            y = Conv(outputs, 3, 1, padding, images=images, name="conv2")(y)
        else:
            inner, groups = self.spec.inner_channels(outputs), self.spec.groups
            y = nn.relu(Conv(inner, 1, images=images, name="conv1")(x))
            conv2 = Conv(inner, 3, self.stride, padding, groups, images=images, name="conv2")
            y = nn.relu(conv2(y))
            y = Conv(outputs, 1, images=images, name="conv3")(y)
        if self.project:
            x = Conv(outputs, 1, self.stride, images=images, name="downsample_0")(x)
        return nn.relu(y + x)


class ResNet(nn.Module):
    """Stem, stages of residual blocks, average pool.

    Reference: He, Zhang, Ren and Sun (2016), Deep residual learning for image recognition.

    Attributes:
        spec: what it is.
        fill_lanes: whether images lie side by side in the stem and the first stage where these are
            too narrow for a TPU.
    """

    spec: ResNetSpec
    fill_lanes: bool = False

    @nn.compact
    def __call__(self, x: jax.Array) -> dict[str, jax.Array]:
        """Normalised images ``[b, s, s, 3]`` to every tap, maps as ``[b, h, w, c]``."""
        spec, taps, batch = self.spec, {}, x.shape[0]
        images, finite = self._images, None
        if images > 1:
            # One that is not would spoil those beside it.
            finite = jnp.isfinite(x).all(axis=(1, 2, 3))
            x = jnp.where(finite[:, None, None, None], x, 0)
            x = beside(filled_up(x, images), images)

        def one_by_one(x: jax.Array) -> jax.Array:
            return apart(x, images)[:batch] if images > 1 else x

        x = nn.relu(self._stem(x, images))
        taps["stem"] = one_by_one(x)
        for stage, (count, outputs) in enumerate(
            zip(spec.blocks, spec.stage_channels, strict=True), start=1
        ):
            if stage == 2:
                x, images = one_by_one(x), 1
            for block in range(count):
                module = ResidualBlock(
                    spec,
                    outputs,
                    stride=2 if stage > 1 and block == 0 else 1,
                    project=block == 0 and (stage > 1 or x.shape[-1] != outputs * images),
                    images=images,
                    name=f"layer{stage}_{block}",
                )
                x = module(x)
                taps[f"layer{stage}.{block}"] = one_by_one(x)
        x = one_by_one(x)
        x = taps["pool"] = x.mean(axis=(1, 2), dtype=jnp.float32)
        if spec.classes:
            taps[LOGITS] = Dense(spec.classes, name="head")(x)
        if finite is None:
            return taps
        return {tap: jax.vmap(_where_finite)(finite, value) for tap, value in taps.items()}

    @property
    def _images(self) -> int:
        """How many lie side by side at first."""
        spec = self.spec
        width = max(spec.channels, spec.inner_channels(spec.stage_channels[0]))
        narrow = width <= _LANES // 2 and spec.groups == 1
        return 2 if self.fill_lanes and narrow else 1

    def _stem(self, x: jax.Array, images: int) -> jax.Array:
        channels, padding = self.spec.channels, self.spec.padding
        if self.spec.stem == "cifar":
            return Conv(channels, 3, 1, padding, images=images, name="conv1")(x)

        def pool(y: jax.Array) -> jax.Array:
            return max_pool(y, size=3, stride=2, pads=window_pads(y.shape[1:3], 3, 2, padding))

        return Conv(channels, 7, 2, padding, images=images, name="conv1")(x, pool=pool)


def _where_finite(finite: jax.Array, value: jax.Array) -> jax.Array:
    return jnp.where(finite, value, jnp.nan)
