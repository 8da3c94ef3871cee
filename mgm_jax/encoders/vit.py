"""Vision transformers of any size, faithful to DINO and timm."""

from __future__ import annotations

import jax
import jax.numpy as jnp
from flax import linen as nn

from mgm_jax.encoders.spec import ViTSpec


def gelu(x: jax.Array, variant: str) -> jax.Array:
    """Gaussian error linear unit: ``exact`` (error function), ``tanh`` or ``quick`` (sigmoid)."""
    if variant == "quick":
        return x * jax.nn.sigmoid(1.702 * x)
    return jax.nn.gelu(x, approximate=variant == "tanh")


class PatchEmbed(nn.Module):
    """Project every patch to one token; patches do not overlap, so this is one product."""

    spec: ViTSpec

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        grid, patch = self.spec.grid, self.spec.patch
        x = x.reshape(-1, grid, patch, grid, patch, 3).transpose(0, 1, 3, 2, 4, 5)
        return PatchProjection(self.spec, name="proj")(x.reshape(-1, grid**2, patch * patch * 3))


class PatchProjection(nn.Module):
    """The kernel ``[patch, patch, 3, d]`` of a convolution, applied to flattened patches."""

    spec: ViTSpec

    @nn.compact
    def __call__(self, patches: jax.Array) -> jax.Array:
        patch, dim = self.spec.patch, self.spec.embed_dim
        kernel = self.param("kernel", nn.initializers.lecun_normal(), (patch, patch, 3, dim))
        bias = self.param("bias", nn.initializers.zeros_init(), (dim,))
        return patches @ kernel.reshape(-1, dim) + bias


class Attention(nn.Module):
    """Multi-head self-attention with queries, keys and values from one product."""

    spec: ViTSpec

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        batch, tokens, dim = x.shape
        qkv = nn.Dense(3 * dim, use_bias=self.spec.qkv_bias, name="qkv")(x)
        query, key, value = jnp.moveaxis(
            qkv.reshape(batch, tokens, 3, self.spec.heads, dim // self.spec.heads), 2, 0
        )
        y = jax.nn.dot_product_attention(query, key, value, implementation="xla")
        return nn.Dense(dim, name="proj")(y.reshape(batch, tokens, dim))


class Mlp(nn.Module):
    """Two products with a GELU between them."""

    spec: ViTSpec

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        hidden = gelu(nn.Dense(self.spec.mlp_dim, name="fc1")(x), self.spec.gelu)
        return nn.Dense(self.spec.embed_dim, name="fc2")(hidden)


class LayerScale(nn.Module):
    """One learned factor a channel."""

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        return x * self.param("gamma", nn.initializers.ones_init(), (x.shape[-1],))


class Block(nn.Module):
    """Attention and MLP, each normalised before and added after."""

    spec: ViTSpec

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        for number, branch in (
            (1, Attention(self.spec, name="attn")),
            (2, Mlp(self.spec, name="mlp")),
        ):
            y = branch(layer_norm(self.spec, f"norm{number}")(x))
            x = x + (LayerScale(name=f"ls{number}")(y) if self.spec.layer_scale else y)
        return x


def layer_norm(spec: ViTSpec, name: str) -> nn.LayerNorm:
    """A LayerNorm whose variance comes from differences: E[x^2] - E[x]^2 would lose digits."""
    return nn.LayerNorm(spec.layer_norm_eps, use_fast_variance=False, name=name)


class ViT(nn.Module):
    """Patches, class and register tokens, blocks, final norm.

    Reference: Dosovitskiy et al. (2021), An image is worth 16x16 words; registers: Darcet et al.
    (2024), Vision transformers need registers.
    """

    spec: ViTSpec

    @nn.compact
    def __call__(self, x: jax.Array) -> dict[str, jax.Array]:
        """Normalised images ``[b, s, s, 3]`` to every tap, tokens as ``[b, t, d]``."""
        spec = self.spec
        taps = {}
        x = taps["patch_embed"] = PatchEmbed(spec, name="patch_embed")(x)
        if spec.class_token:
            x = jnp.concatenate([self._tokens("cls_token", 1, x), x], axis=1)
        positions = (1, x.shape[1], spec.embed_dim)
        x = x + self.param("pos_embed", nn.initializers.normal(0.02), positions)
        if spec.registers:
            registers = self._tokens("register_tokens", spec.registers, x)
            first = int(spec.class_token)
            x = jnp.concatenate([x[:, :first], registers, x[:, first:]], axis=1)
        for i in range(spec.layers):
            x = taps[f"blocks.{i}"] = Block(spec, name=f"blocks_{i}")(x)
        x = taps["norm"] = layer_norm(spec, "norm")(x)
        taps["patch_mean"] = x[:, spec.prefix :].mean(axis=1, dtype=jnp.float32)
        if spec.class_token:
            taps["cls"] = x[:, 0]
        return taps

    def _tokens(self, name: str, count: int, x: jax.Array) -> jax.Array:
        """Learned tokens ``[1, count, d]``, the same for every image of the batch."""
        token = self.param(name, nn.initializers.normal(1e-6), (1, count, x.shape[-1]))
        return jnp.broadcast_to(token, (x.shape[0], count, x.shape[-1])).astype(x.dtype)
