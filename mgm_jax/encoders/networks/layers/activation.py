"""Activations in the variants that published networks were trained with."""

from __future__ import annotations

import math

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax


def gelu(x: jax.Array, variant: str) -> jax.Array:
    """Gaussian error linear unit: ``exact`` (error function), ``tanh`` or ``quick`` (sigmoid).

    Computed in float32. The exact one is ``x / 2 * (1 + erf(x / sqrt(2)))`` as PyTorch has it;
    with ``erfc``, as in ``jax.nn.gelu``, it takes 2.5 times as long on the CPU.
    """
    wide = x.astype(jnp.float32)
    if variant == "quick":
        wide = wide * jax.nn.sigmoid(1.702 * wide)
    elif variant == "tanh":
        wide = jax.nn.gelu(wide, approximate=True)
    else:
        wide = 0.5 * wide * (1 + lax.erf(wide * np.float32(math.sqrt(0.5))))
    return wide.astype(x.dtype)
