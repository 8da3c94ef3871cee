"""The one recipe: what all methods and both backbones share, and nothing a method may change."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import jax
import jax.numpy as jnp
import optax


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
        seed: of the weights, the order of the images, the views and the method's own draws.
    """

    epochs: int = 8
    per_class: int = 250
    batch: int = 64
    rate: float = 2e-3
    decay: float = 0.05
    momentum: float = 0.99
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

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for the log and the weights."""
        return asdict(self)


def _decayed(params: Any) -> Any:
    """Matrices and kernels; not biases, norms and positions."""
    return jax.tree_util.tree_map_with_path(
        lambda path, _: getattr(path[-1], "key", "") == "kernel", params
    )
