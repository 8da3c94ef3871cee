"""Softmax attention, and the queries, keys and values it takes."""

from __future__ import annotations

import math

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn
from jax import lax

from mgm_jax.encoders.networks.layers.product import batched, product


class QueriesKeysValues(nn.Module):
    """Queries, keys and values by heads; their weights lie side by side in one kernel.

    One product makes all three, but on TPUs, where each is a product of its own, see
    :func:`one_by_one`.

    Attributes:
        heads: their number divides the width.
        use_bias: whether a bias is added.
    """

    heads: int
    use_bias: bool = True

    @nn.compact
    def __call__(self, x: jax.Array) -> tuple[jax.Array, ...]:
        """Tokens ``[b, t, d]`` to three arrays ``[b, heads, t, d / heads]``."""
        shape = (x.shape[-1], 3 * x.shape[-1])
        kernel = self.param("kernel", nn.initializers.lecun_normal(), shape).astype(x.dtype)
        bias = None
        if self.use_bias:
            bias = self.param("bias", nn.initializers.zeros_init(), shape[1:])

        def at_once(x: jax.Array, kernel: jax.Array, bias: jax.Array | None):
            return _by_heads(x, kernel, bias, parts=3, heads=self.heads)

        def apart(x: jax.Array, kernel: jax.Array, bias: jax.Array | None):
            return one_by_one(x, kernel, bias, heads=self.heads)

        return lax.platform_dependent(x, kernel, bias, tpu=apart, default=at_once)


def one_by_one(
    x: jax.Array, kernel: jax.Array, bias: jax.Array | None, *, heads: int
) -> tuple[jax.Array, ...]:
    """Queries, keys and values as three products.

    Cut apart after one product they are copied into the layout of heads first, by a TPU's compiler
    for as many cycles as the product takes; this way each product writes that layout itself.

    Args:
        x: tokens ``[b, t, d]``.
        kernel: ``[d, 3 * d]``.
        bias: ``[3 * d]`` or None.
        heads: their number.
    """
    kernels = jnp.split(kernel, 3, axis=1)
    biases = [None] * 3 if bias is None else jnp.split(bias, 3)
    return tuple(
        _by_heads(x, kernel, bias, parts=1, heads=heads)[0]
        for kernel, bias in zip(kernels, biases, strict=True)
    )


def _by_heads(
    x: jax.Array, kernel: jax.Array, bias: jax.Array | None, *, parts: int, heads: int
) -> tuple[jax.Array, ...]:
    y = product(x, kernel)
    if bias is not None:
        y = y + bias
    return tuple(y.reshape(*x.shape[:2], parts, heads, -1).transpose(2, 0, 3, 1, 4))


def attend(
    query: jax.Array, key: jax.Array, value: jax.Array, *, bias: jax.Array | None = None
) -> jax.Array:
    """Softmax attention of ``[b, heads, t, d]`` arrays, scaled by 1/sqrt(d).

    Queries may be fewer than keys and values. Scores and softmax are float32. Heads come before
    tokens: on the CPU twice as fast as products over the layout ``[b, t, heads, d]``.

    Args:
        query: ``[b, heads, q, d]``.
        key: ``[b, heads, t, d]``.
        value: ``[b, heads, t, d]``.
        bias: ``[w, heads or 1, q, t]``, added to the scores; ``w`` divides ``b`` and runs fastest.
    """
    scores = batched(query, key, contract=(3, 3)) * np.float32(1 / math.sqrt(query.shape[-1]))
    if bias is not None:
        by_window = scores.reshape(-1, bias.shape[0], *scores.shape[1:])
        scores = (by_window + bias).reshape(scores.shape)
    weights = jax.nn.softmax(scores, axis=-1).astype(value.dtype)
    return batched(weights, value, contract=(3, 2)).astype(value.dtype)
