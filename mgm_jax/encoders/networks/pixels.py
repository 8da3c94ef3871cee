"""No network at all: the pixels as the feature, the control every encoder has to beat."""

from __future__ import annotations

import jax
from flax import linen as nn

from mgm_jax.encoders.spec import PixelsSpec


class Pixels(nn.Module):
    """Flatten row by row, channels last."""

    spec: PixelsSpec

    @nn.compact
    def __call__(self, x: jax.Array) -> dict[str, jax.Array]:
        """Images ``[b, s, s, 3]`` to the tap ``flatten``, ``[b, 3 * s**2]``."""
        return {"flatten": x.reshape(x.shape[0], -1)}
