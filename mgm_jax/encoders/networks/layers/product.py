"""Products with weights: sums in float32, results in the precision that came in.

On the CPU XLA has a fast path for bfloat16 products only where the result is float32: 1576 x 768
times 768 x 3072 took 67 ms with a bfloat16 result and 31 ms with a float32 one (float32
throughout: 71 ms; 2 cores, AVX-512 with bfloat16). So the product is asked for in float32 there and
rounded afterwards; the rounding joins what comes next. Accelerators sum in float32 anyway, and so
does oneDNN (see ``onednn``); a wide result would only be more to move.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
from flax import linen as nn
from jax import lax

from mgm_jax.encoders.networks.layers.onednn import is_by_onednn


def product(x: jax.Array, kernel: jax.Array) -> jax.Array:
    """``[..., d]`` times ``[d, out]``; sums are float32, the result is of the type of ``x``.

    >>> product(jnp.ones((2, 3), jnp.bfloat16), jnp.ones((3, 4), jnp.bfloat16)).dtype
    dtype(bfloat16)
    """
    if x.dtype == jnp.float32 or is_by_onednn():
        return x @ kernel
    return lax.platform_dependent(x, kernel, cpu=_rounded, default=jnp.matmul)


def wide_product(x: jax.Array, kernel: jax.Array) -> jax.Array:
    """As :func:`product`, with a float32 result."""
    return jnp.matmul(x, kernel, preferred_element_type=jnp.float32)


def batched(left: jax.Array, right: jax.Array, *, contract: tuple[int, int]) -> jax.Array:
    """Products of ``[b, h, ., .]`` arrays, one for each b and h, as float32.

    Args:
        left: ``[b, h, m, d]``.
        right: ``[b, h, n, d]`` or ``[b, h, d, n]``.
        contract: the axis d of each.
    """
    dimensions = (((contract[0],), (contract[1],)), ((0, 1), (0, 1)))
    return lax.dot_general(left, right, dimensions, preferred_element_type=jnp.float32)


class Dense(nn.Module):
    """A product and a bias.

    Attributes:
        outputs: width that leaves.
        use_bias: whether a bias is added.
    """

    outputs: int
    use_bias: bool = True

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """``[..., d]`` to ``[..., outputs]``."""
        shape = (x.shape[-1], self.outputs)
        kernel = self.param("kernel", nn.initializers.lecun_normal(), shape)
        y = product(x, kernel.astype(x.dtype))
        if self.use_bias:
            y = y + self.param("bias", nn.initializers.zeros_init(), (self.outputs,))
        return y


def _rounded(x: jax.Array, kernel: jax.Array) -> jax.Array:
    return wide_product(x, kernel).astype(x.dtype)
