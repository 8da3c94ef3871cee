"""The two backbones, of comparable size, that every method of the zoo trains.

Both take normalised images ``[b, 64, 64, 3]`` and give features ``[b, d]``. Sub-modules carry the
names that torchvision (ResNet) and timm (ViT) give to them, dots as underscores, so that
:mod:`benchmarks.zoo.weights` can write their weights as those libraries would.
"""

from __future__ import annotations

from functools import partial

import jax
import jax.numpy as jnp
from flax import linen as nn

from benchmarks.zoo.networks.convolution import Conv, max_pool

PIXELS = 64

# As timm initialises its ViTs.
_SMALL = nn.initializers.truncated_normal(0.02)


class ResNet(nn.Module):
    """A ResNet-10 of torchvision's shape, a quarter as wide; 0.31 million weights, 128 features.

    Attributes:
        width: channels behind the stem; doubled from stage to stage.
        blocks: of each stage.
    """

    width: int = 16
    blocks: tuple[int, ...] = (1, 1, 1, 1)

    @nn.compact
    def __call__(self, images: jax.Array, *, train: bool) -> jax.Array:
        x = Conv(self.width, kernel=7, stride=2, name="conv1")(images)
        x = max_pool(nn.relu(_norm("bn1", train=train)(x)))
        for stage, count in enumerate(self.blocks):
            for block in range(count):
                x = BasicBlock(
                    width=self.width * 2**stage,
                    stride=2 if stage > 0 and block == 0 else 1,
                    name=f"layer{stage + 1}_{block}",
                )(x, train=train)
        return jnp.mean(x, axis=(1, 2))


class BasicBlock(nn.Module):
    """Two 3x3 convolutions and a shortcut (He et al. 2016, figure 2).

    Attributes:
        width: channels.
        stride: of the first convolution.
    """

    width: int
    stride: int

    @nn.compact
    def __call__(self, x: jax.Array, *, train: bool) -> jax.Array:
        y = Conv(self.width, kernel=3, stride=self.stride, name="conv1")(x)
        y = nn.relu(_norm("bn1", train=train)(y))
        y = _norm("bn2", train=train)(Conv(self.width, kernel=3, name="conv2")(y))
        if x.shape != y.shape:
            x = Conv(self.width, kernel=1, stride=self.stride, name="downsample_0")(x)
            x = _norm("downsample_1", train=train)(x)
        return nn.relu(x + y)


def _norm(name: str, *, train: bool) -> nn.BatchNorm:
    return nn.BatchNorm(use_running_average=not train, momentum=0.9, epsilon=1e-5, name=name)


class ViT(nn.Module):
    """A pre-norm ViT (Dosovitskiy et al. 2021); 0.52 million weights, 96 features.

    Its feature is the mean of the patches and not a class token, because all methods, the masked
    one included, train the patches themselves.

    Attributes:
        patch: side of a patch in pixels.
        width: of a token.
        layers: number of blocks.
        heads: of attention.
    """

    patch: int = 16
    width: int = 96
    layers: int = 4
    heads: int = 3

    def setup(self) -> None:
        patches = (PIXELS // self.patch) ** 2
        self.patch_embed_proj = nn.Dense(self.width, kernel_init=_SMALL)
        self.pos_embed = self.param("pos_embed", _SMALL, (1, patches, self.width))
        self.blocks = [Block(heads=self.heads) for _ in range(self.layers)]
        self.norm = nn.LayerNorm(epsilon=1e-6)

    def __call__(self, images: jax.Array, *, train: bool) -> jax.Array:
        del train  # Nothing in it differs between training and use.
        return jnp.mean(self.encode(self.embed(images)), axis=1)

    def embed(self, images: jax.Array) -> jax.Array:
        """Patches with their positions, ``[b, n, d]``."""
        return self.patch_embed_proj(to_patches(images, patch=self.patch)) + self.pos_embed

    def encode(self, tokens: jax.Array) -> jax.Array:
        """Tokens ``[b, t, d]``, any number of them, behind the last norm."""
        for block in self.blocks:
            tokens = block(tokens)
        return self.norm(tokens)


class Block(nn.Module):
    """Attention and an MLP, each behind a LayerNorm and beside a shortcut.

    Attributes:
        heads: of attention.
    """

    heads: int

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        width = x.shape[-1]
        dense = partial(nn.Dense, kernel_init=_SMALL)
        y = nn.LayerNorm(epsilon=1e-6, name="norm1")(x)
        query, key, value = (
            part.reshape(*x.shape[:2], self.heads, -1)
            for part in jnp.split(dense(3 * width, name="attn_qkv")(y), 3, axis=-1)
        )
        mixed = nn.dot_product_attention(query, key, value).reshape(x.shape)
        x = x + dense(width, name="attn_proj")(mixed)
        y = nn.LayerNorm(epsilon=1e-6, name="norm2")(x)
        y = nn.gelu(dense(4 * width, name="mlp_fc1")(y), approximate=False)
        return x + dense(width, name="mlp_fc2")(y)


def to_patches(images: jax.Array, *, patch: int) -> jax.Array:
    """Patches of images ``[b, h, w, c]``, row by row, ``[b, n, patch * patch * c]``."""
    b, h, w, c = images.shape
    x = images.reshape(b, h // patch, patch, w // patch, patch, c)
    return x.transpose(0, 1, 3, 2, 4, 5).reshape(b, -1, patch * patch * c)


BACKBONES: dict[str, type[nn.Module]] = {"resnet": ResNet, "vit": ViT}
