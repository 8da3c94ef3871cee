"""No training: the control."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
from flax import linen as nn

from benchmarks.zoo.methods.method import Batch, Method, Outcome, Variables


@dataclass(frozen=True, kw_only=True)
class Untrained(Method):
    """The weights that every other method starts from."""

    name: ClassVar[str] = "Untrained"
    paradigm: ClassVar[str] = "untrained"
    trains: ClassVar[bool] = False

    def loss(
        self, network: nn.Module, variables: Variables, memory: Any, batch: Batch, key: jax.Array
    ) -> Outcome:
        del network, batch, key
        return Outcome(jnp.zeros(()), variables.get("batch_stats", {}), memory)
