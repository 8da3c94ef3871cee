"""The one recipe: what all methods and both backbones share, and nothing a method may change."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import Any

import jax
import jax.numpy as jnp
import optax

from benchmarks.zoo.networks.backbones import PIXELS
from mgm_jax.images import SETTINGS, Setting
from mgm_jax.images.operations import Blur

#: The augmentation policy of all methods: a setting of :mod:`mgm_jax.images`.
POLICY = "augs"


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """Budget, optimiser and seed of a training run.

    Attributes:
        epochs: passes over the images.
        per_class: images of each of the 100 classes that are used, at most 250.
        batch: images a step; each gives two views.
        rate: peak learning rate of AdamW, risen to over a tenth of the steps, then a cosine.
        decay: weight decay, of matrices and kernels only.
        momentum: of the running mean of the weights at the start; rises to 1 by a cosine.
        blur_at: side in pixels of the views that the policy's blur is meant for; its standard
            deviations are multiplied by 64 / ``blur_at``, as ours have 64. They come from recipes
            for views of 224; the default takes them as they stand.
        seed: of the weights, the order of the images, the views and the method's own draws.
    """

    epochs: int = 8
    per_class: int = 250
    batch: int = 64
    rate: float = 2e-3
    decay: float = 0.05
    momentum: float = 0.99
    blur_at: int = PIXELS
    seed: int = 0

    def steps_per_epoch(self, images: int) -> int:
        """Whole batches in a pass; what is left over waits for the next order."""
        return images // self.batch

    def optimiser(self, images: int) -> optax.GradientTransformation:
        """AdamW with the schedule of this budget."""
        steps = self.epochs * self.steps_per_epoch(images)
        schedule = optax.warmup_cosine_decay_schedule(0.0, self.rate, steps // 10, steps)
        return optax.adamw(schedule, weight_decay=self.decay, mask=_decayed)

    def momentum_at(self, share: jax.Array) -> jax.Array:
        """Momentum of the running mean after a share of all steps (Grill et al. 2020)."""
        return 1.0 - (1.0 - self.momentum) * (jnp.cos(jnp.pi * share) + 1.0) / 2.0

    @property
    def policy(self) -> Setting:
        """How views are drawn; another blur changes nothing else about them, as the name is one.

        >>> Recipe().policy is SETTINGS[POLICY]
        True
        """
        usual = SETTINGS[POLICY]
        if self.blur_at == PIXELS:
            return usual
        return replace(usual, operations=tuple(map(self._scaled, usual.operations)))

    def _scaled(self, operation: Any) -> Any:
        if not isinstance(operation, Blur):
            return operation
        low, high = (sigma * PIXELS / self.blur_at for sigma in operation.sigma)
        return replace(operation, sigma=(low, high))

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for the log and the weights."""
        return asdict(self)


def _decayed(params: Any) -> Any:
    """Matrices and kernels; not biases, norms and positions."""
    return jax.tree_util.tree_map_with_path(
        lambda path, _: getattr(path[-1], "key", "") == "kernel", params
    )
