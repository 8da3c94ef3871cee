"""Vision transformers of any size, faithful to the published ones: see :class:`ViTSpec`."""

from __future__ import annotations

import jax
import jax.numpy as jnp
from flax import linen as nn

from mgm_jax.encoders.networks.layers.product import Dense
from mgm_jax.encoders.networks.vit.block import AttentionPool, Block, PatchEmbed, layer_norm
from mgm_jax.encoders.networks.vit.positions import (
    indexed_tables,
    learned_positions,
    rotary_tables,
)
from mgm_jax.encoders.spec import LOGITS, ViTSpec


class ViT(nn.Module):
    """Patches, class and register tokens, blocks, final norm.

    Reference: Dosovitskiy et al. (2021), An image is worth 16x16 words; registers: Darcet et al.
    (2024), Vision transformers need registers; rotations: Siméoni et al. (2025), DINOv3.
    """

    spec: ViTSpec

    @nn.compact
    def __call__(self, x: jax.Array) -> dict[str, jax.Array]:
        """Normalised images ``[b, h, w, 3]`` to every tap, tokens as ``[b, t, d]``.

        The patch divides height and width.
        """
        spec = self.spec
        rows, columns = x.shape[1] // spec.patch, x.shape[2] // spec.patch
        x = patches = PatchEmbed(spec, name="patch_embed")(x)
        taps = {"patch_embed": patches}
        if spec.class_token:
            x = jnp.concatenate([self._tokens("cls_token", 1, x), x], axis=1)
        tables = None
        if spec.positions == "rope":
            quarter = (spec.head_dim // 4,)
            periods = self.param("rope_periods", nn.initializers.ones_init(), quarter)
            tables = rotary_tables(periods, rows, columns)
        else:
            shape = (1, spec.class_token + spec.grid**2, spec.embed_dim)
            stored = self.param("pos_embed", nn.initializers.normal(0.02), shape)
            x = x + learned_positions(stored, rows, columns, spec=spec).astype(x.dtype)
        if spec.positions == "both":
            tables = indexed_tables(spec.head_dim, rows, columns)
        if spec.registers:
            registers = self._tokens("register_tokens", spec.registers, x)
            first = int(spec.class_token)
            x = jnp.concatenate([x[:, :first], registers, x[:, first:]], axis=1)
        if spec.pre_norm:
            x = taps["norm_pre"] = layer_norm(spec, "norm_pre")(x)
        for i in range(spec.layers):
            x = taps[f"blocks.{i}"] = Block(spec, name=f"blocks_{i}")(x, tables)
        return taps | self._features(taps)

    def _features(self, taps: dict[str, jax.Array]) -> dict[str, jax.Array]:
        """What is read behind the last block."""
        spec = self.spec
        last = taps[f"blocks.{spec.layers - 1}"]
        norm = layer_norm(spec, "norm") if spec.final_norm else lambda tokens: tokens
        tokens = norm(last)
        made = {"norm": tokens} if spec.final_norm else {}
        mean = made["patch_mean"] = _patch_mean(tokens, spec)
        if spec.class_token:
            cls = made["cls"] = tokens[:, 0]
            made["cls_patch_mean"] = jnp.concatenate([cls, mean], axis=-1)
        if "cls_last4" in spec.tap_widths:
            four = [taps[f"blocks.{spec.layers - i}"][:, 0] for i in (4, 3, 2, 1)]
            made["cls_last4"] = jnp.concatenate([norm(one) for one in four], axis=-1)
        if spec.fc_norm:
            made["fc_norm"] = layer_norm(spec, "fc_norm")(_patch_mean(last, spec))
        if spec.attention_pool:
            made["attention_pool"] = AttentionPool(spec, name="attn_pool")(tokens)
        if spec.proj_dim:
            made["proj"] = Dense(spec.proj_dim, use_bias=False, name="proj")(made["cls"])
        if spec.classes:
            feature = (taps | made)[spec.default_tap]
            made[LOGITS] = Dense(spec.classes, name="head")(
                feature[:, 0] if feature.ndim == 3 else feature
            )
        return made

    def _tokens(self, name: str, count: int, x: jax.Array) -> jax.Array:
        """Learned tokens ``[1, count, d]``, the same for every image of the batch."""
        token = self.param(name, nn.initializers.normal(1e-6), (1, count, x.shape[-1]))
        return jnp.broadcast_to(token, (x.shape[0], count, x.shape[-1])).astype(x.dtype)


def _patch_mean(tokens: jax.Array, spec: ViTSpec) -> jax.Array:
    return tokens[:, spec.prefix :].mean(axis=1, dtype=jnp.float32)
