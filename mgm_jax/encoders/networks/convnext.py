"""ConvNeXt of both versions, faithful to the published ones: see :class:`ConvNeXtSpec`."""

from __future__ import annotations

import jax
import jax.numpy as jnp
from flax import linen as nn

from mgm_jax.encoders.networks.layers.activation import gelu
from mgm_jax.encoders.networks.layers.convolution import Conv
from mgm_jax.encoders.networks.layers.norm import ResponseNorm, layer_norm
from mgm_jax.encoders.networks.layers.patches import PatchConv
from mgm_jax.encoders.networks.layers.product import Dense
from mgm_jax.encoders.spec import LOGITS, ConvNeXtSpec


class Mlp(nn.Module):
    """Four times the channels, GELU, in the second version their response norm, and back."""

    spec: ConvNeXtSpec

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        channels = x.shape[-1]
        x = gelu(Dense(4 * channels, name="fc1")(x), "exact")
        if self.spec.response_norm:
            x = ResponseNorm(name="grn")(x)
        return Dense(channels, name="fc2")(x)


class Block(nn.Module):
    """Depthwise 7x7 convolution, norm and MLP beside an identity."""

    spec: ConvNeXtSpec

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        channels = x.shape[-1]
        y = Conv(channels, 7, groups=channels, name="conv_dw")(x)
        y = Mlp(self.spec, name="mlp")(layer_norm(self.spec.layer_norm_eps, "norm")(y))
        if self.spec.layer_scale:
            y = y * self.param("gamma", nn.initializers.ones_init(), (channels,))
        return x + y


class Stage(nn.Module):
    """Blocks of one width, behind a norm and a halving where the width changes."""

    spec: ConvNeXtSpec
    number: int

    @nn.compact
    def __call__(self, x: jax.Array) -> list[jax.Array]:
        """The map behind every block."""
        spec = self.spec
        if self.number:
            x = layer_norm(spec.layer_norm_eps, "downsample_0")(x)
            x = PatchConv(spec.channels[self.number], 2, name="downsample_1")(x)
        maps = []
        for block in range(spec.blocks[self.number]):
            x = Block(spec, name=f"blocks_{block}")(x)
            maps.append(x)
        return maps


class ConvNeXt(nn.Module):
    """Patches, stages, average pool, norm.

    Reference: Liu et al. (2022), A ConvNet for the 2020s; Woo et al. (2023), ConvNeXt V2.
    """

    spec: ConvNeXtSpec

    @nn.compact
    def __call__(self, x: jax.Array) -> dict[str, jax.Array]:
        """Normalised images ``[b, s, s, c]`` to every tap, maps as ``[b, h, w, c]``."""
        spec = self.spec
        x = PatchConv(spec.channels[0], 4, name="stem_0")(x)
        x = layer_norm(spec.layer_norm_eps, "stem_1")(x)
        taps = {"stem": x}
        for stage in range(len(spec.blocks)):
            maps = Stage(spec, stage, name=f"stages_{stage}")(x)
            taps |= {f"stages.{stage}.{block}": one for block, one in enumerate(maps)}
            x = maps[-1]
        x = taps["pool"] = x.mean(axis=(1, 2), dtype=jnp.float32)
        if spec.final_norm:
            x = taps["norm"] = layer_norm(spec.layer_norm_eps, "norm")(x)
        if spec.classes:
            taps[LOGITS] = Dense(spec.classes, name="head")(x)
        return taps
