"""MAE (He et al. 2022): paint the patches that were left out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
from flax import linen as nn

from benchmarks.zoo.methods.method import Batch, Method, Outcome, Variables, both, forward
from benchmarks.zoo.networks.backbones import Block, ViT, to_patches


@dataclass(frozen=True, kw_only=True)
class MAE(Method):
    """The encoder sees a quarter of the patches, a small decoder paints the rest; ViT only.

    Attributes:
        masked: share of the patches that are left out.
    """

    name: ClassVar[str] = "MAE"
    paradigm: ClassVar[str] = "masked"
    backbones: ClassVar[tuple[str, ...]] = ("vit",)
    masked: float = 0.75

    def network(self, backbone: nn.Module) -> nn.Module:
        if not isinstance(backbone, ViT):
            raise ValueError("mae: only a ViT can leave patches out; take the backbone vit")
        return Painter(backbone=backbone)

    def loss(
        self, network: nn.Module, variables: Variables, memory: Any, batch: Batch, key: jax.Array
    ) -> Outcome:
        images = both(batch.views)
        patches = to_patches(images, patch=network.backbone.patch)
        count = patches.shape[1]
        # A random order a view: its first patches are seen, the others are painted.
        order = jnp.argsort(jax.random.uniform(key, patches.shape[:2]), axis=1)
        seen = count - round(self.masked * count)
        painted, stats = forward(network, variables, images, order=order, seen=seen)
        hidden = jnp.take_along_axis(painted, order[:, seen:, None], axis=1)
        truth = jnp.take_along_axis(standardise(patches), order[:, seen:, None], axis=1)
        return Outcome(jnp.mean((hidden - truth) ** 2), stats, memory)


class Painter(nn.Module):
    """A ViT and a decoder of two narrower blocks.

    Attributes:
        backbone: encoder.
        width: of a token of the decoder.
    """

    backbone: ViT
    width: int = 64

    @nn.compact
    def __call__(
        self,
        images: jax.Array,
        *,
        train: bool,
        order: jax.Array | None = None,
        seen: int | None = None,
    ) -> jax.Array:
        """Painted patches, all of them, ``[b, n, patch * patch * 3]``.

        Args:
            images: normalised, ``[b, h, w, 3]``.
            train: nothing here depends on it.
            order: of the patches, ``[b, n]``; as they are where None.
            seen: how many of the first in this order the encoder sees; all where None.
        """
        del train
        tokens = self.backbone.embed(images)
        b, n, _ = tokens.shape
        if order is None:
            order = jnp.broadcast_to(jnp.arange(n), (b, n))
        seen = n if seen is None else seen
        visible = jnp.take_along_axis(tokens, order[:, :seen, None], axis=1)
        x = nn.Dense(self.width, name="narrow")(self.backbone.encode(visible))
        small = nn.initializers.truncated_normal(0.02)
        mask = self.param("mask", small, (1, 1, self.width))
        x = jnp.concatenate([x, jnp.broadcast_to(mask, (b, n - seen, self.width))], axis=1)
        # Back to the places in the image.
        x = jnp.take_along_axis(x, jnp.argsort(order, axis=1)[:, :, None], axis=1)
        x = x + self.param("positions", small, (1, n, self.width))
        for block in range(2):
            x = Block(heads=2, name=f"decoder_{block}")(x)
        return nn.Dense(self.backbone.patch**2 * 3, name="paint")(nn.LayerNorm()(x))


def standardise(patches: jax.Array) -> jax.Array:
    """Each patch ``[..., p]`` less its mean, over its deviation (He et al. 2022, section 4.1)."""
    centred = patches - jnp.mean(patches, axis=-1, keepdims=True)
    return centred * jax.lax.rsqrt(jnp.var(patches, axis=-1, keepdims=True, ddof=1) + 1e-6)
