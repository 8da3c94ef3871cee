"""Choosing the smallest of many scores, and ordering by (distance, index)."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np

NOBODY = jnp.iinfo(jnp.int32).max
"""Index of a place that no point fills; larger than any real index, so it sorts last."""

INFINITY = np.float32(np.inf)
"""Of float32, lest programs for TPUs have a float64 in them."""

_BLOCK = 16


def smallest(scores: jax.Array, *, count: int) -> tuple[jax.Array, jax.Array]:
    """The ``count`` smallest scores of every row, ascending, and their columns.

    Sorting whole rows is what makes a selection slow. The ``count`` smallest scores lie in the
    ``count`` blocks of 16 columns with the smallest minima, so only the minima and those blocks
    are sorted; the values found are exactly those of a full sort.

    Args:
        scores: ``[r, c]`` with ``c >= count``.
        count: how many to keep.

    Returns:
        Values ``[r, count]`` and columns ``[r, count]`` int32.
    """
    rows, columns = scores.shape
    blocks = columns // _BLOCK
    if columns % _BLOCK or blocks <= 2 * count:
        values, chosen = jax.lax.top_k(-scores, count)
        return -values, chosen.astype(jnp.int32)
    blocked = scores.reshape(rows, blocks, _BLOCK)
    _, best_blocks = jax.lax.top_k(-jnp.min(blocked, axis=2), count)
    kept = jnp.take_along_axis(blocked, best_blocks[:, :, None], axis=1)
    values, positions = jax.lax.top_k(-kept.reshape(rows, count * _BLOCK), count)
    first = jnp.take_along_axis(best_blocks, positions // _BLOCK, axis=1) * _BLOCK
    return -values, (first + positions % _BLOCK).astype(jnp.int32)


def merge_smallest(
    first: tuple[jax.Array, jax.Array], second: tuple[jax.Array, jax.Array]
) -> tuple[jax.Array, jax.Array]:
    """The smallest of two selections ``(scores [r, k], indices [r, k])``, k of them again."""
    scores = jnp.concatenate([first[0], second[0]], axis=1)
    indices = jnp.concatenate([first[1], second[1]], axis=1)
    values, positions = jax.lax.top_k(-scores, first[0].shape[1])
    return -values, jnp.take_along_axis(indices, positions, axis=1)


def order_by_distance(
    distances: jax.Array, indices: jax.Array, *, count: int
) -> tuple[jax.Array, jax.Array]:
    """The first ``count`` of every row by ascending distance, equal distances by index.

    Args:
        distances: ``[r, m]``.
        indices: ``[r, m]`` int32.
        count: how many to keep, at most m.
    """
    ordered, who = jax.lax.sort((distances, indices), dimension=1, num_keys=2)
    return ordered[:, :count], who[:, :count]
