"""Softmax attention."""

from __future__ import annotations

import math

import jax
import numpy as np

from mgm_jax.encoders.networks.layers.product import batched


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
