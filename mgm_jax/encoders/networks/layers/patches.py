"""A convolution whose windows do not overlap: one product over patches."""

from __future__ import annotations

import jax
from flax import linen as nn

from mgm_jax.encoders.networks.layers.product import product


class PatchConv(nn.Module):
    """Every ``size`` x ``size`` patch to one position; pixels that fill no patch are left out.

    Attributes:
        outputs: channels that leave.
        size: side of a patch.
        use_bias: whether a bias is added.
    """

    outputs: int
    size: int
    use_bias: bool = True

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """Maps ``[b, h, w, c]`` to ``[b, h // size, w // size, outputs]``."""
        size, inputs = self.size, x.shape[-1]
        rows, columns = x.shape[1] // size, x.shape[2] // size
        x = x[:, : rows * size, : columns * size]
        x = x.reshape(-1, rows, size, columns, size, inputs).transpose(0, 1, 3, 2, 4, 5)
        shape = (size, size, inputs, self.outputs)
        kernel = self.param("kernel", nn.initializers.lecun_normal(), shape)
        flat = x.reshape(-1, rows, columns, size * size * inputs)
        y = product(flat, kernel.reshape(-1, self.outputs))
        if self.use_bias:
            y = y + self.param("bias", nn.initializers.zeros_init(), (self.outputs,))
        return y
