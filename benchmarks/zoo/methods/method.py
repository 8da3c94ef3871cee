"""What a method is: a network around a backbone, a loss, and what it remembers between steps."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, ClassVar, NamedTuple

import jax
import jax.numpy as jnp
from flax import linen as nn

from benchmarks.zoo.networks.heads import MLP, Headed, Outputs

Variables = dict[str, Any]


class Batch(NamedTuple):
    """What a step sees.

    Attributes:
        views: normalised, ``[2, b, h, w, 3]``: two views of each image.
        labels: class of each image, ``[b]``; only supervised training looks at it.
    """

    views: jax.Array
    labels: jax.Array


class Outcome(NamedTuple):
    """What a step's forward pass gives.

    Attributes:
        loss: a number.
        stats: new running statistics of BatchNorm.
        memory: what the method remembers.
    """

    loss: jax.Array
    stats: Any
    memory: Any


class Method(ABC):
    """One way of training; frozen dataclasses, their fields the method's own constants.

    Attributes:
        name: as its authors write it.
        paradigm: ``contrastive``, ``non-contrastive``, ``clustering``, ``masked``, ``supervised``
            or ``untrained``.
        trains: whether there are steps at all.
        backbones: names of those that it can train.
    """

    name: ClassVar[str]
    paradigm: ClassVar[str]
    trains: ClassVar[bool] = True
    backbones: ClassVar[tuple[str, ...]] = ("resnet", "vit")

    def network(self, backbone: nn.Module) -> nn.Module:
        """The backbone with the method's heads; it must keep the name ``backbone``."""
        return Headed(backbone=backbone, projector=MLP())

    def start(self, variables: Variables, key: jax.Array) -> Any:
        """What is remembered before the first step; nothing by default."""
        del variables, key
        return {}

    @abstractmethod
    def loss(
        self, network: nn.Module, variables: Variables, memory: Any, batch: Batch, key: jax.Array
    ) -> Outcome:
        """Loss of a batch; ``variables`` holds ``params`` and ``batch_stats``."""

    def remember(self, variables: Variables, memory: Any, momentum: jax.Array) -> Any:
        """What is remembered once the weights have moved; by default what was."""
        del variables, momentum
        return memory


class Memoryless(Method):
    """A method whose loss is one of the network's outputs for both views of the batch alone."""

    @abstractmethod
    def value(self, outputs: Outputs, batch: Batch) -> jax.Array:
        """Loss of the outputs for both views, ``[2 b, ...]`` each."""

    def loss(
        self, network: nn.Module, variables: Variables, memory: Any, batch: Batch, key: jax.Array
    ) -> Outcome:
        del key
        outputs, stats = forward(network, variables, both(batch.views))
        return Outcome(self.value(outputs, batch), stats, memory)


class Momentum(Method):
    """A method with a second network whose weights are a running mean of the first one's.

    Attributes:
        running: whether the BatchNorm of the second uses the running mean of its statistics and
            not those of the batch.
    """

    running: ClassVar[bool] = False

    def start(self, variables: Variables, key: jax.Array) -> Any:
        del key
        # Copies: a step gives its inputs away, and one array cannot be given away twice.
        return {"target": jax.tree.map(jnp.copy, dict(variables))}

    def remember(self, variables: Variables, memory: Any, momentum: jax.Array) -> Any:
        target = jax.tree.map(
            lambda old, new: momentum * old + (1.0 - momentum) * new,
            memory["target"],
            dict(variables),
        )
        return {**memory, "target": target}

    @abstractmethod
    def compare(self, outputs: Outputs, target: Outputs, memory: Any) -> tuple[jax.Array, Any]:
        """Loss of the outputs for both views against the second network's, and the new memory.

        Args:
            outputs: for both views, ``[2 b, ...]`` each.
            target: likewise; no gradient reaches it.
            memory: what is remembered.
        """

    def loss(
        self, network: nn.Module, variables: Variables, memory: Any, batch: Batch, key: jax.Array
    ) -> Outcome:
        del key
        views = both(batch.views)
        outputs, stats = forward(network, variables, views)
        if self.running:
            target = network.apply(memory["target"], views, train=False)
        else:
            target, _ = forward(network, memory["target"], views)
        value, memory = self.compare(outputs, jax.lax.stop_gradient(target), memory)
        return Outcome(value, stats, memory)


def both(views: jax.Array) -> jax.Array:
    """The two views one after the other, ``[2 b, h, w, 3]``."""
    return views.reshape(-1, *views.shape[2:])


def forward(
    network: nn.Module, variables: Variables, images: jax.Array, **options: Any
) -> tuple[Any, Any]:
    """Outputs of the network in training, and the new statistics of BatchNorm."""
    outputs, changed = network.apply(
        variables, images, train=True, mutable=["batch_stats"], **options
    )
    return outputs, changed.get("batch_stats", {})


def halves(x: jax.Array) -> tuple[jax.Array, jax.Array]:
    """First and second view of what :func:`both` joined."""
    first, second = jnp.split(x, 2)
    return first, second
