"""DINO (Caron et al. 2021): a student follows its own running mean, centred and sharpened."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
from flax import linen as nn

from benchmarks.zoo.methods.method import Momentum, Variables, halves
from benchmarks.zoo.methods.swav import cross_entropy
from benchmarks.zoo.networks.heads import MLP, Headed, Outputs, Prototypes


@dataclass(frozen=True, kw_only=True)
class DINO(Momentum):
    """Cross-entropy between a sharp teacher and a student; two views, no small crops.

    Attributes:
        outputs: width of the head.
        teacher_temperature: the lower, the sharper.
        student_temperature: of the student.
        centre: momentum of the mean that is taken off the teacher; 1 for none, and then the
            network collapses.
    """

    name: ClassVar[str] = "DINO"
    paradigm: ClassVar[str] = "non-contrastive"
    outputs: int = 512
    teacher_temperature: float = 0.04
    student_temperature: float = 0.1
    centre: float = 0.9

    def network(self, backbone: nn.Module) -> nn.Module:
        return Headed(backbone=backbone, projector=MLP(), predictor=Prototypes(count=self.outputs))

    def start(self, variables: Variables, key: jax.Array) -> Any:
        return {**super().start(variables, key), "centre": jnp.zeros(self.outputs)}

    def compare(self, outputs: Outputs, target: Outputs, memory: Any) -> tuple[jax.Array, Any]:
        teacher = target.prediction
        sharp = jax.nn.softmax((teacher - memory["centre"]) / self.teacher_temperature, axis=1)
        target1, target2 = halves(sharp)
        first, second = halves(outputs.prediction / self.student_temperature)
        value = 0.5 * (cross_entropy(target2, first) + cross_entropy(target1, second))
        centre = self.centre * memory["centre"] + (1.0 - self.centre) * jnp.mean(teacher, axis=0)
        return value, {**memory, "centre": centre}
