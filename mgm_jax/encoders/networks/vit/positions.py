"""Where a patch lies: learned positions for any grid, and rotations of queries and keys.

PyTorch has two bicubic kernels, and the published models use both. Without anti-aliasing the
kernel has a = -0.75 and always spans four stored positions; indices beyond the border repeat it.
With anti-aliasing a = -0.5, the kernel widens with the scale, and what lies beyond the border is
left out. Either is linear in the stored positions and separable, so a grid is resized by one
small matrix a side, made on the host for a shape that is known when the encoder is compiled.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np

from mgm_jax.encoders.spec import Resize, ViTSpec

# Added to the wanted side before it is divided by the stored one (DINO, DINOv2).
_OFFSET = 0.1

# Side of the grid to which EVA-02 scales the numbers of rows and columns, and the base of its
# frequencies.
_INDEXED_GRID, _INDEXED_BASE = 16, 10_000.0


def resize_matrix(stored: int, wanted: int, *, how: Resize) -> np.ndarray:
    """Weights ``[wanted, stored]`` that take one side of a grid to another length.

    Row ``i`` samples the stored side at ``(i + 1/2) / scale - 1/2``, where ``scale`` is
    ``wanted / stored``, or ``(wanted + 0.1) / stored`` for ``offset``. Rows sum to 1.

    >>> resize_matrix(3, 3, how="bicubic").round(3).tolist()
    [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]]
    """
    step = stored / (wanted + _OFFSET) if how == "offset" else stored / wanted
    positions = np.arange(wanted)[:, None]
    if how == "antialias":
        # As in PyTorch's (and Pillow's) resampling, the centre of a pixel is at a half.
        width = max(step, 1.0)
        centre = (positions + 0.5) * step
        candidates = np.arange(stored)[None, :]
        first = np.maximum(np.trunc(centre - 2 * width + 0.5), 0)
        last = np.minimum(np.trunc(centre + 2 * width + 0.5), stored)
        weights = _cubic((candidates - centre + 0.5) / width, a=-0.5)
        weights = np.where((candidates >= first) & (candidates < last), weights, 0.0)
        return weights / weights.sum(axis=1, keepdims=True)
    at = (positions + 0.5) * step - 0.5
    nearest = np.floor(at) + np.arange(-1, 3)[None, :]
    taken = np.clip(nearest, 0, stored - 1).astype(int)
    matrix = np.zeros((wanted, stored))
    np.add.at(matrix, (positions, taken), _cubic(at - nearest, a=-0.75))
    return matrix


def _cubic(x: np.ndarray, *, a: float) -> np.ndarray:
    """The cubic convolution kernel of Keys (1981), 0 from a distance of 2 on."""
    x = np.abs(x)
    near = ((a + 2) * x - (a + 3)) * x * x + 1
    far = (((x - 5) * x + 8) * x - 4) * a
    return np.where(x < 1, near, np.where(x < 2, far, 0.0))


def learned_positions(stored: jax.Array, rows: int, columns: int, *, spec: ViTSpec) -> jax.Array:
    """Positions ``[1, t, d]`` of a grid of ``rows`` x ``columns`` patches, the class token's first.

    Args:
        stored: ``[1, class_token + grid**2, d]``.
        rows: patches from top to bottom.
        columns: patches from left to right.
        spec: encoder they belong to.
    """
    side = spec.grid
    if (rows, columns) == (side, side):
        return stored
    first = int(spec.class_token)
    grid = stored[:, first:].reshape(side, side, -1).astype(jnp.float32)
    down, across = (
        jnp.asarray(resize_matrix(side, wanted, how=spec.position_resize), jnp.float32)
        for wanted in (rows, columns)
    )
    resized = jnp.einsum("ri,cj,ijd->rcd", down, across, grid, precision="highest")
    return jnp.concatenate([stored[:, :first], resized.reshape(1, rows * columns, -1)], axis=1)


def default_periods(head_dim: int, *, base: float = 100.0) -> np.ndarray:
    """Periods ``[head_dim / 4]`` of rotary positions, from 1 up to below ``base``.

    ``base ** (2 i / (head_dim / 2))``, for ``i`` below a quarter of the width: one axis takes half
    of it, and a rotation two entries.

    >>> default_periods(8).tolist()
    [1.0, 10.0]
    """
    steps = np.arange(head_dim // 4, dtype=np.float64)
    return (base ** (2 * steps / (head_dim // 2))).astype(np.float32)


def rotary_tables(periods: jax.Array, rows: int, columns: int) -> tuple[jax.Array, jax.Array]:
    """Sines and cosines ``[rows * columns, head_dim]`` by which patches are rotated.

    The centre of patch ``i`` of ``n`` lies at ``2 (i + 1/2) / n - 1`` on its axis, and the angles
    are ``2 pi`` times that over the periods: first those of the row, then those of the column,
    then both once more.
    """
    down, across = (2 * (np.arange(n) + 0.5) / n - 1 for n in (rows, columns))
    positions = np.stack(np.meshgrid(down, across, indexing="ij"), axis=-1).reshape(-1, 2, 1)
    angles = 2 * np.pi * jnp.asarray(positions, jnp.float32) / periods.astype(jnp.float32)
    angles = jnp.tile(angles.reshape(rows * columns, -1), (1, 2))
    return jnp.sin(angles), jnp.cos(angles)


def indexed_tables(head_dim: int, rows: int, columns: int) -> tuple[jax.Array, jax.Array]:
    """Sines and cosines ``[rows * columns, head_dim]`` of EVA-02.

    The angle of row ``i`` of ``n`` is ``16 i / n`` over periods from 1 to below 10 000; rows have
    the first half of the width, columns the second, two neighbouring entries an angle.
    """
    down, across = (np.arange(n) * _INDEXED_GRID / n for n in (rows, columns))
    quarter = head_dim // 4
    periods = _INDEXED_BASE ** (np.arange(quarter) / quarter)
    positions = np.stack(np.meshgrid(down, across, indexing="ij"), axis=-1).reshape(-1, 2, 1)
    angles = np.repeat((positions / periods).reshape(rows * columns, -1), 2, axis=-1)
    return jnp.asarray(np.sin(angles), jnp.float32), jnp.asarray(np.cos(angles), jnp.float32)


def rotate_pairs(x: jax.Array, tables: tuple[jax.Array, jax.Array], *, skip: int) -> jax.Array:
    """As :func:`rotate`, each entry turned with its neighbour instead of half a width away."""
    sine, cosine = tables
    patches = x[..., skip:, :].astype(jnp.float32)
    pairs = patches.reshape(*patches.shape[:-1], -1, 2)
    turned = jnp.stack([-pairs[..., 1], pairs[..., 0]], axis=-1).reshape(patches.shape)
    turned = patches * cosine + turned * sine
    return jnp.concatenate([x[..., :skip, :], turned.astype(x.dtype)], axis=-2)


def rotate(x: jax.Array, tables: tuple[jax.Array, jax.Array], *, skip: int) -> jax.Array:
    """Rotate queries or keys ``[b, h, t, d]`` of the patches; the first ``skip`` tokens stay."""
    sine, cosine = tables
    patches = x[..., skip:, :].astype(jnp.float32)
    lower, upper = jnp.split(patches, 2, axis=-1)
    turned = patches * cosine + jnp.concatenate([-upper, lower], axis=-1) * sine
    return jnp.concatenate([x[..., :skip, :], turned.astype(x.dtype)], axis=-2)
