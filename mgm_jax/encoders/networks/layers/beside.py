"""Images side by side in the channels of one map, for layers narrower than a TPU.

A TPU multiplies and adds along 128 channels. A layer of 64 leaves half of them idle, unless the
maps of two images are one map of twice the channels. A kernel with zeros where an input of one
image would meet an output of another keeps them apart; so only finite values may come in.

Neighbours along the batch are eight images apart: in the layout of TPUs, tiles of eight rows by 128
channels, the maps of a pair then lie where they will lie as two maps.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp

# Rows of a tile.
_ROWS = 8


def beside(x: jax.Array, count: int) -> jax.Array:
    """Maps ``[b, h, w, c]`` to ``[b / count, h, w, count * c]``; ``count * 8`` divides b.

    >>> x = jnp.arange(16.0).reshape(16, 1, 1, 1)
    >>> beside(x, 2)[:2, 0, 0].tolist()
    [[0.0, 8.0], [1.0, 9.0]]
    """
    # By slices: a reshape of the batch makes a TPU's compiler choose a layout that costs more than
    # the rest of a ResNet-50.
    starts = range(0, x.shape[0], _ROWS)
    tiles = [x[start : start + _ROWS] for start in starts]
    return jnp.concatenate([jnp.concatenate(tiles[i::count]) for i in range(count)], axis=-1)


def apart(x: jax.Array, count: int) -> jax.Array:
    """The inverse of :func:`beside`.

    >>> x = jnp.arange(32.0).reshape(32, 1, 1, 1)
    >>> bool((apart(beside(x, 2), 2) == x).all())
    True
    """
    batch, height, width, channels = x.shape
    split = x.reshape(-1, _ROWS, height, width, count, channels // count)
    return split.transpose(0, 4, 1, 2, 3, 5).reshape(batch * count, height, width, -1)


def filled_up(x: jax.Array, count: int) -> jax.Array:
    """Maps ``[b, h, w, c]`` with as many of zeros behind them as :func:`beside` needs."""
    return jnp.pad(x, ((0, -x.shape[0] % (count * _ROWS)), (0, 0), (0, 0), (0, 0)))


def kernel_beside(kernel: jax.Array, count: int) -> jax.Array:
    """A kernel ``[size, size, c, out]`` for each of several images side by side.

    >>> kernel_beside(jnp.ones((1, 1, 1, 2)), 2)[0, 0].tolist()
    [[1.0, 1.0, 0.0, 0.0], [0.0, 0.0, 1.0, 1.0]]
    """
    size, _, inputs, outputs = kernel.shape
    own = jnp.eye(count, dtype=kernel.dtype)[:, None, :, None]
    return (kernel[:, :, None, :, None, :] * own).reshape(
        size, size, count * inputs, count * outputs
    )
