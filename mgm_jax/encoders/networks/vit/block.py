"""The parts of a vision transformer: patches, attention, MLPs, one block."""

from __future__ import annotations

from dataclasses import replace

import jax
import jax.numpy as jnp
from flax import linen as nn

from mgm_jax.encoders.networks.layers.activation import gelu
from mgm_jax.encoders.networks.layers.attention import QueriesKeysValues, attend
from mgm_jax.encoders.networks.layers.norm import layer_norm as norm_of
from mgm_jax.encoders.networks.layers.patches import PatchConv
from mgm_jax.encoders.networks.layers.product import Dense
from mgm_jax.encoders.networks.vit.positions import rotate, rotate_pairs
from mgm_jax.encoders.spec import ViTSpec

# Sines and cosines a patch; None where positions were added to the tokens.
Tables = tuple[jax.Array, jax.Array] | None


def layer_norm(spec: ViTSpec, name: str) -> nn.LayerNorm:
    """The LayerNorm of ``spec``."""
    return norm_of(spec.layer_norm_eps, name)


class PatchEmbed(nn.Module):
    """Project every patch to one token; patches do not overlap, so this is one product."""

    spec: ViTSpec

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """Images ``[b, rows * patch, columns * patch, 3]`` to tokens ``[b, rows * columns, d]``."""
        spec = self.spec
        x = PatchConv(spec.embed_dim, spec.patch, use_bias=spec.patch_bias, name="proj")(x)
        return x.reshape(x.shape[0], -1, spec.embed_dim)


class Attention(nn.Module):
    """Multi-head self-attention."""

    spec: ViTSpec

    @nn.compact
    def __call__(self, x: jax.Array, tables: Tables) -> jax.Array:
        spec = self.spec
        batch, tokens, dim = x.shape
        query, key, value = QueriesKeysValues(spec.heads, spec.qkv_bias, name="qkv")(x)
        if tables is not None:
            turn = rotate_pairs if spec.positions == "both" else rotate
            query, key = (turn(part, tables, skip=spec.prefix) for part in (query, key))
        y = attend(query, key, value).transpose(0, 2, 1, 3).reshape(batch, tokens, dim)
        if spec.attention_norm:
            y = layer_norm(spec, "norm")(y)
        return Dense(dim, name="proj")(y)


class Mlp(nn.Module):
    """Two products with a GELU between them, or with a gate (``swiglu``)."""

    spec: ViTSpec

    @nn.compact
    def __call__(self, x: jax.Array, tables: Tables = None) -> jax.Array:
        spec = self.spec
        if spec.mlp == "swiglu":
            gate, up = jnp.split(Dense(2 * spec.mlp_dim, name="w12")(x), 2, axis=-1)
            hidden = jax.nn.silu(gate) * up
        else:
            hidden = gelu(Dense(spec.mlp_dim, name="fc1")(x), spec.gelu)
        if spec.mlp_norm:
            hidden = layer_norm(spec, "norm")(hidden)
        return Dense(spec.embed_dim, name="w3" if spec.mlp == "swiglu" else "fc2")(hidden)


class AttentionPool(nn.Module):
    """One learned query attends to all tokens; an MLP is added to what it finds.

    Reference: Zhai et al. (2022), Scaling vision transformers; Zhai et al. (2023), SigLIP.
    """

    spec: ViTSpec

    @nn.compact
    def __call__(self, tokens: jax.Array) -> jax.Array:
        """Tokens ``[b, t, d]`` to ``[b, d]``."""
        spec = self.spec
        batch, _, dim = tokens.shape

        def split(x: jax.Array) -> jax.Array:
            return x.reshape(*x.shape[:2], -1, spec.head_dim).transpose(0, 2, 1, 3)

        latent = self.param("latent", nn.initializers.normal(dim**-0.5), (1, 1, dim))
        query = split(Dense(dim, name="q")(latent.astype(tokens.dtype)))
        key, value = jnp.split(split(Dense(2 * dim, name="kv")(tokens)), 2, axis=1)
        query = jnp.broadcast_to(query, (batch, *query.shape[1:]))
        pooled = attend(query, key, value).transpose(0, 2, 1, 3).reshape(batch, dim)
        pooled = Dense(dim, name="proj")(pooled)
        plain = replace(spec, mlp="gelu", mlp_norm=False)
        return pooled + Mlp(plain, name="mlp")(layer_norm(spec, "norm")(pooled))


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
