"""BYOL (Grill et al. 2020): foretell what a slowly moving network says of the other view."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import jax
from flax import linen as nn

from benchmarks.zoo.methods.method import Momentum, halves
from benchmarks.zoo.methods.simsiam import negative_cosine
from benchmarks.zoo.networks.heads import MLP, Headed, Outputs


@dataclass(frozen=True, kw_only=True)
class BYOL(Momentum):
    """A predictor on one side, a running mean of the weights on the other."""

    name: ClassVar[str] = "BYOL"
    paradigm: ClassVar[str] = "non-contrastive"

    def network(self, backbone: nn.Module) -> nn.Module:
        return Headed(backbone=backbone, projector=MLP(), predictor=MLP())

    def compare(self, outputs: Outputs, target: Outputs, memory: Any) -> tuple[jax.Array, Any]:
        first, second = halves(outputs.prediction)
        target1, target2 = halves(target.projection)
        # |p / |p| - z / |z||^2 = 2 - 2 cos, for both views.
        value = 4.0 + 2.0 * (negative_cosine(first, target2) + negative_cosine(second, target1))
        return value, memory
