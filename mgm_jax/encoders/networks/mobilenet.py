"""MobileNetV2 and EfficientNet-Lite, faithful to torchvision and timm: see MobileNetSpec."""

from __future__ import annotations

import jax
import jax.numpy as jnp
from flax import linen as nn

from mgm_jax.encoders.networks.layers.convolution import Conv
from mgm_jax.encoders.networks.layers.product import Dense
from mgm_jax.encoders.spec import LOGITS, MobileNetSpec


class InvertedResidual(nn.Module):
    """Widen, convolve channel by channel, narrow; beside an identity where the shape stays."""

    spec: MobileNetSpec
    stage: int
    first: bool

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        spec, inputs = self.spec, x.shape[-1]
        expand, outputs = spec.expand[self.stage], spec.channels[self.stage]
        stride, inner = spec.strides[self.stage] if self.first else 1, inputs * expand
        y = x if expand == 1 else nn.relu6(Conv(inner, 1, name="conv_pw")(x))
        size = spec.kernels[self.stage]
        y = nn.relu6(Conv(inner, size, stride, spec.padding, inner, name="conv_dw")(y))
        y = Conv(outputs, 1, name="conv_pw" if expand == 1 else "conv_pwl")(y)
        return x + y if stride == 1 and inputs == outputs else y


class MobileNet(nn.Module):
    """Stem, stages of inverted residuals, a wide 1x1 convolution, average pool.

    Reference: Sandler et al. (2018), MobileNetV2: inverted residuals and linear bottlenecks.
    """

    spec: MobileNetSpec

    @nn.compact
    def __call__(self, x: jax.Array) -> dict[str, jax.Array]:
        """Normalised images ``[b, s, s, c]`` to every tap, maps as ``[b, h, w, c]``."""
        spec = self.spec
        x = nn.relu6(Conv(spec.stem, 3, 2, spec.padding, name="conv_stem")(x))
        taps = {"stem": x}
        for stage, count in enumerate(spec.repeats):
            for i in range(count):
                block = InvertedResidual(spec, stage, i == 0, name=f"blocks_{stage}_{i}")
                x = taps[f"blocks.{stage}.{i}"] = block(x)
        x = taps["head"] = nn.relu6(Conv(spec.head, 1, name="conv_head")(x))
        x = taps["pool"] = x.mean(axis=(1, 2), dtype=jnp.float32)
        if spec.classes:
            taps[LOGITS] = Dense(spec.classes, name="head")(x)
        return taps
