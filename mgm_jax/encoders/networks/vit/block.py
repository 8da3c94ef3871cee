"""The parts of a vision transformer: patches, attention, MLPs, one block."""

from __future__ import annotations

import math

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn
from jax import lax

from mgm_jax.encoders.networks.layers.product import Dense, batched, product
from mgm_jax.encoders.networks.vit.positions import rotate
from mgm_jax.encoders.spec import ViTSpec

# Sines and cosines a patch; None where positions were added to the tokens.
Tables = tuple[jax.Array, jax.Array] | None


def gelu(x: jax.Array, variant: str) -> jax.Array:
    """Gaussian error linear unit: ``exact`` (error function), ``tanh`` or ``quick`` (sigmoid).

    Computed in float32. The exact one is ``x / 2 * (1 + erf(x / sqrt(2)))`` as PyTorch has it;
    with ``erfc``, as in ``jax.nn.gelu``, it takes 2.5 times as long on the CPU.
    """
    wide = x.astype(jnp.float32)
    if variant == "quick":
        wide = wide * jax.nn.sigmoid(1.702 * wide)
    elif variant == "tanh":
        wide = jax.nn.gelu(wide, approximate=True)
    else:
        wide = 0.5 * wide * (1 + lax.erf(wide * np.float32(math.sqrt(0.5))))
    return wide.astype(x.dtype)


def attend(query: jax.Array, key: jax.Array, value: jax.Array) -> jax.Array:
    """Softmax attention of ``[b, heads, t, d]`` arrays, of the same shape, scaled by 1/sqrt(d).

    Scores and softmax are float32. Heads come before tokens: on the CPU twice as fast as products
    over the layout ``[b, t, heads, d]``.
    """
    scores = batched(query, key, contract=(3, 3)) * np.float32(1 / math.sqrt(query.shape[-1]))
    weights = jax.nn.softmax(scores, axis=-1).astype(value.dtype)
    return batched(weights, value, contract=(3, 2)).astype(value.dtype)


def layer_norm(spec: ViTSpec, name: str) -> nn.LayerNorm:
    """A LayerNorm whose variance comes from differences: E[x^2] - E[x]^2 would lose digits."""
    return nn.LayerNorm(spec.layer_norm_eps, use_fast_variance=False, name=name)


class PatchEmbed(nn.Module):
    """Project every patch to one token; patches do not overlap, so this is one product."""

    spec: ViTSpec

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """Images ``[b, rows * patch, columns * patch, 3]`` to tokens ``[b, rows * columns, d]``."""
        patch = self.spec.patch
        rows, columns = x.shape[1] // patch, x.shape[2] // patch
        x = x.reshape(-1, rows, patch, columns, patch, 3).transpose(0, 1, 3, 2, 4, 5)
        x = x.reshape(-1, rows * columns, patch * patch * 3)
        return PatchProjection(self.spec, name="proj")(x)


class PatchProjection(nn.Module):
    """The kernel ``[patch, patch, 3, d]`` of a convolution, applied to flattened patches."""

    spec: ViTSpec

    @nn.compact
    def __call__(self, patches: jax.Array) -> jax.Array:
        patch, dim = self.spec.patch, self.spec.embed_dim
        kernel = self.param("kernel", nn.initializers.lecun_normal(), (patch, patch, 3, dim))
        x = product(patches, kernel.reshape(-1, dim))
        if self.spec.patch_bias:
            x = x + self.param("bias", nn.initializers.zeros_init(), (dim,))
        return x


class Attention(nn.Module):
    """Multi-head self-attention with queries, keys and values from one product."""

    spec: ViTSpec

    @nn.compact
    def __call__(self, x: jax.Array, tables: Tables) -> jax.Array:
        spec = self.spec
        batch, tokens, dim = x.shape
        qkv = Dense(3 * dim, use_bias=spec.qkv_bias, name="qkv")(x)
        parts = qkv.reshape(batch, tokens, 3, spec.heads, spec.head_dim)
        query, key, value = parts.transpose(2, 0, 3, 1, 4)
        if tables is not None:
            query, key = (rotate(part, tables, skip=spec.prefix) for part in (query, key))
        y = attend(query, key, value).transpose(0, 2, 1, 3)
        return Dense(dim, name="proj")(y.reshape(batch, tokens, dim))


class Mlp(nn.Module):
    """Two products with a GELU between them, or with a gate (``swiglu``)."""

    spec: ViTSpec

    @nn.compact
    def __call__(self, x: jax.Array, tables: Tables) -> jax.Array:
        spec = self.spec
        if spec.mlp == "swiglu":
            gate, up = jnp.split(Dense(2 * spec.mlp_dim, name="w12")(x), 2, axis=-1)
            return Dense(spec.embed_dim, name="w3")(jax.nn.silu(gate) * up)
        hidden = gelu(Dense(spec.mlp_dim, name="fc1")(x), spec.gelu)
        return Dense(spec.embed_dim, name="fc2")(hidden)


class LayerScale(nn.Module):
    """One learned factor a channel."""

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        return x * self.param("gamma", nn.initializers.ones_init(), (x.shape[-1],))


class Block(nn.Module):
    """Attention and MLP, each normalised before and added after."""

    spec: ViTSpec

    @nn.compact
    def __call__(self, x: jax.Array, tables: Tables) -> jax.Array:
        for number, branch in (
            (1, Attention(self.spec, name="attn")),
            (2, Mlp(self.spec, name="mlp")),
        ):
            y = branch(layer_norm(self.spec, f"norm{number}")(x), tables)
            x = x + (LayerScale(name=f"ls{number}")(y) if self.spec.layer_scale else y)
        return x
