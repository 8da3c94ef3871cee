"""What methods put behind a backbone."""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp
from flax import linen as nn


class Outputs(NamedTuple):
    """What a network with heads gives.

    Attributes:
        features: of the backbone, ``[b, d]``.
        projection: behind the projector, ``[b, p]``.
        prediction: behind the predictor; the projection where there is none.
    """

    features: jax.Array
    projection: jax.Array
    prediction: jax.Array


class Headed(nn.Module):
    """A backbone, a projector and where wanted a predictor.

    Attributes:
        backbone: images to features.
        projector: features to projections.
        predictor: projections to predictions; None for none.
    """

    backbone: nn.Module
    projector: nn.Module
    predictor: nn.Module | None = None

    def __call__(self, images: jax.Array, *, train: bool) -> Outputs:
        features = self.backbone(images, train=train)
        projection = self.projector(features, train=train)
        if self.predictor is None:
            return Outputs(features, projection, projection)
        return Outputs(features, projection, self.predictor(projection, train=train))


class MLP(nn.Module):
    """Two linear layers with BatchNorm and ReLU between; all methods have the same projector.

    Attributes:
        hidden: width between the layers.
        width: of the output.
        last_norm: whether the output is normalised over the batch, without a scale of its own.
    """

    hidden: int = 1024
    width: int = 512
    last_norm: bool = False

    @nn.compact
    def __call__(self, x: jax.Array, *, train: bool) -> jax.Array:
        x = nn.Dense(self.hidden, use_bias=False)(x)
        x = nn.relu(nn.BatchNorm(use_running_average=not train, momentum=0.9)(x))
        x = nn.Dense(self.width)(x)
        if self.last_norm:
            x = nn.BatchNorm(
                use_running_average=not train, momentum=0.9, use_bias=False, use_scale=False
            )(x)
        return x


class Prototypes(nn.Module):
    """Cosines of vectors with learned directions.

    Attributes:
        count: of prototypes; the width of the output.
    """

    count: int

    @nn.compact
    def __call__(self, x: jax.Array, *, train: bool) -> jax.Array:
        del train  # It has no statistics.
        directions = self.param(
            "directions", nn.initializers.normal(1.0), (x.shape[-1], self.count)
        )
        return unit(x) @ unit(directions, axis=0)


def unit(x: jax.Array, *, axis: int = -1) -> jax.Array:
    """Vectors along an axis, at length 1; the zero vector stays (with a gradient of 0)."""
    return x * jax.lax.rsqrt(jnp.maximum(jnp.sum(x * x, axis=axis, keepdims=True), 1e-12))
