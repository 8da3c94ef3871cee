"""Swin transformers of the first version, faithful to the published ones: see :class:`SwinSpec`."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn

from mgm_jax.encoders.networks.layers.activation import gelu
from mgm_jax.encoders.networks.layers.attention import QueriesKeysValues, attend
from mgm_jax.encoders.networks.layers.norm import layer_norm
from mgm_jax.encoders.networks.layers.patches import PatchConv
from mgm_jax.encoders.networks.layers.product import Dense
from mgm_jax.encoders.spec import LOGITS, SwinSpec

# Added to the score of two positions that only the shift has brought together.
_APART = -100.0


def relative_index(window: int) -> np.ndarray:
    """Row of the table of biases for each pair of positions of a window, ``[n, n]``, n its area.

    >>> relative_index(2)[0].tolist()
    [4, 3, 1, 0]
    """
    rows, columns = (axis.reshape(-1) for axis in np.indices((window, window)))
    down = rows[:, None] - rows[None, :] + window - 1
    across = columns[:, None] - columns[None, :] + window - 1
    return down * (2 * window - 1) + across


def shift_mask(rows: int, columns: int, *, window: int, shift: int) -> np.ndarray:
    """``[windows, 1, n, n]``: 0 between neighbours, -100 between what the shift brought together.

    The map is one of ``rows`` x ``columns`` positions, which the window divides, after the shift.
    """

    def part(length: int) -> np.ndarray:
        positions = np.arange(length)
        return (positions >= length - window).astype(int) + (positions >= length - shift)

    parts = 3 * part(rows)[:, None] + part(columns)[None, :]
    split = parts.reshape(rows // window, window, columns // window, window)
    flat = split.transpose(0, 2, 1, 3).reshape(-1, 1, window * window)
    return np.where(flat[..., :, None] == flat[..., None, :], 0.0, _APART).astype(np.float32)


class WindowAttention(nn.Module):
    """Attention within each window, with a bias that depends on the offset of two positions."""

    heads: int
    window: int
    shift: int

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """Maps ``[b, h, w, c]``."""
        window, shift, (_, height, width, channels) = self.window, self.shift, x.shape
        table = self.param(
            "relative_position_bias_table",
            nn.initializers.normal(0.02),
            ((2 * window - 1) ** 2, self.heads),
        )
        bias = table[relative_index(window)].transpose(2, 0, 1)[None].astype(jnp.float32)
        if shift:
            x = jnp.roll(x, (-shift, -shift), axis=(1, 2))
        x = jnp.pad(x, ((0, 0), (0, -height % window), (0, -width % window), (0, 0)))
        rows, columns = x.shape[1] // window, x.shape[2] // window
        if shift:
            bias = bias + shift_mask(x.shape[1], x.shape[2], window=window, shift=shift)
        x = x.reshape(-1, rows, window, columns, window, channels).transpose(0, 1, 3, 2, 4, 5)
        x = x.reshape(-1, window * window, channels)
        query, key, value = QueriesKeysValues(self.heads, name="qkv")(x)
        y = attend(query, key, value, bias=bias).transpose(0, 2, 1, 3)
        y = Dense(channels, name="proj")(y.reshape(-1, window * window, channels))
        y = y.reshape(-1, rows, columns, window, window, channels).transpose(0, 1, 3, 2, 4, 5)
        y = y.reshape(-1, rows * window, columns * window, channels)[:, :height, :width]
        return jnp.roll(y, (shift, shift), axis=(1, 2)) if shift else y


class Mlp(nn.Module):
    """Four times the channels, GELU, and back."""

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        channels = x.shape[-1]
        return Dense(channels, name="fc2")(gelu(Dense(4 * channels, name="fc1")(x), "exact"))


class Block(nn.Module):
    """Window attention and MLP, each normalised before and added after."""

    spec: SwinSpec
    stage: int
    shifted: bool

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        eps, window = self.spec.layer_norm_eps, self.spec.stage_windows[self.stage]
        # One window holds the whole map: there is nothing to shift to.
        shift = window // 2 if self.shifted and min(x.shape[1:3]) > window else 0
        attention = WindowAttention(self.spec.heads[self.stage], window, shift, name="attn")
        x = x + attention(layer_norm(eps, "norm1")(x))
        return x + Mlp(name="mlp")(layer_norm(eps, "norm2")(x))


class PatchEmbed(nn.Module):
    """Patches of 4x4 pixels, normalised."""

    spec: SwinSpec

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        x = PatchConv(self.spec.embed_dim, 4, name="proj")(x)
        return layer_norm(self.spec.layer_norm_eps, "norm")(x)


class Merging(nn.Module):
    """Every 2x2 positions to one of twice the channels; an odd map is filled up with zeros."""

    spec: SwinSpec

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        channels = x.shape[-1]
        x = jnp.pad(x, ((0, 0), (0, x.shape[1] % 2), (0, x.shape[2] % 2), (0, 0)))
        # The four neighbours in the order of columns, then rows.
        shape = x.shape[0], x.shape[1] // 2, 2, x.shape[2] // 2, 2, channels
        x = x.reshape(shape).transpose(0, 1, 3, 4, 2, 5)
        x = layer_norm(self.spec.layer_norm_eps, "norm")(x.reshape(*x.shape[:3], 4 * channels))
        return Dense(2 * channels, use_bias=False, name="reduction")(x)


class Stage(nn.Module):
    """Blocks of one width, behind a merging of positions where the width changes."""

    spec: SwinSpec
    number: int

    @nn.compact
    def __call__(self, x: jax.Array) -> list[jax.Array]:
        """The map behind every block."""
        if self.number:
            x = Merging(self.spec, name="downsample")(x)
        maps = []
        for i in range(self.spec.blocks[self.number]):
            x = Block(self.spec, self.number, i % 2 == 1, name=f"blocks_{i}")(x)
            maps.append(x)
        return maps


class Swin(nn.Module):
    """Patches, stages, norm, average pool.

    Reference: Liu et al. (2021), Swin transformer: hierarchical vision transformer using shifted
    windows.
    """

    spec: SwinSpec

    @nn.compact
    def __call__(self, x: jax.Array) -> dict[str, jax.Array]:
        """Normalised images ``[b, s, s, c]`` to every tap, maps as ``[b, h, w, c]``."""
        spec = self.spec
        x = PatchEmbed(spec, name="patch_embed")(x)
        taps = {"patch_embed": x}
        for stage in range(len(spec.blocks)):
            maps = Stage(spec, stage, name=f"layers_{stage}")(x)
            taps |= {f"stages.{stage}.{block}": one for block, one in enumerate(maps)}
            x = maps[-1]
        x = taps["norm"] = layer_norm(spec.layer_norm_eps, "norm")(x)
        x = taps["pool"] = x.mean(axis=(1, 2), dtype=jnp.float32)
        if spec.classes:
            taps[LOGITS] = Dense(spec.classes, name="head")(x)
        return taps
