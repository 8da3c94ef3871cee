"""Supervised training: a linear classifier on the features, cross-entropy with the labels."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import jax
import jax.numpy as jnp
import optax
from flax import linen as nn

from benchmarks.zoo.methods.method import Batch, Memoryless
from benchmarks.zoo.networks.heads import Headed, Outputs


@dataclass(frozen=True, kw_only=True)
class Supervised(Memoryless):
    """The usual classifier, on the same two views as all others.

    Attributes:
        classes: number of labels.
    """

    name: ClassVar[str] = "Supervised"
    paradigm: ClassVar[str] = "supervised"
    classes: int = 100

    def network(self, backbone: nn.Module) -> nn.Module:
        return Headed(backbone=backbone, projector=Classifier(classes=self.classes))

    def value(self, outputs: Outputs, batch: Batch) -> jax.Array:
        labels = jnp.concatenate([batch.labels, batch.labels])
        losses = optax.softmax_cross_entropy_with_integer_labels(outputs.projection, labels)
        return jnp.mean(losses)


class Classifier(nn.Module):
    """One linear layer.

    Attributes:
        classes: number of outputs.
    """

    classes: int

    @nn.compact
    def __call__(self, x: jax.Array, *, train: bool) -> jax.Array:
        del train
        return nn.Dense(self.classes)(x)
