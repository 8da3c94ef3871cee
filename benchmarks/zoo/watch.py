"""What an encoder is worth while it trains, and whether it collapsed: on classes it never saw."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn

from benchmarks.zoo.images import Images, normalise
from mgm_jax.metrics.panel import panel
from mgm_jax.probe.knn import knn_accuracy

BATCH = 250

#: Neighbours that vote.
K = 10


@dataclass(frozen=True, kw_only=True)
class Watched:
    """State of an encoder.

    Attributes:
        knn_accuracy: leave-one-out, k = 10, cosine; on unseen classes.
        knn_interval: 95 % interval over images.
        mean_cosine: between different images; near 1 the features are one narrow cone.
        rankme: effective rank of the features (Garrido et al. 2023); 1 is a line.
    """

    knn_accuracy: float
    knn_interval: tuple[float, float]
    mean_cosine: float
    rankme: float


def watch(features: np.ndarray, labels: np.ndarray) -> Watched:
    """Measure features ``[n, d]`` of images with these labels."""
    accuracy = knn_accuracy(features, labels, k=K)
    cloud = panel(features)
    return Watched(
        knn_accuracy=accuracy.accuracy,
        knn_interval=(accuracy.low, accuracy.high),
        mean_cosine=cloud.mean_cosine,
        rankme=cloud.rankme,
    )


def features_of(backbone: nn.Module, variables: dict[str, Any], images: Images) -> np.ndarray:
    """Features of images as a study would have them: running statistics, no augmentation."""
    parts = []
    for start in range(0, len(images), BATCH):
        pixels = images.pixels[start : start + BATCH]
        # One shape, one compilation.
        padded = np.zeros((BATCH, *pixels.shape[1:]), np.uint8)
        padded[: len(pixels)] = pixels
        parts.append(np.asarray(_features(backbone, variables, padded))[: len(pixels)])
    return np.concatenate(parts)


@jax.jit(static_argnums=0)
def _features(backbone: nn.Module, variables: dict[str, Any], pixels: jax.Array) -> jax.Array:
    images = normalise(jnp.asarray(pixels, jnp.float32) / 255.0)
    return backbone.apply(variables, images, train=False)


def of_backbone(variables: dict[str, Any]) -> dict[str, Any]:
    """The backbone's part of a network's variables."""
    return {kind: tree["backbone"] for kind, tree in variables.items() if "backbone" in tree}
