"""A 3x3 convolution by Winograd's minimal filtering, for the CPU.

Every 2x2 patch of the output is computed from the 4x4 patch of the input around it: both patch and
kernel are transformed, multiplied place by place, and the sum over channels transformed back. That
takes 16 products a patch instead of 36, and the products of all patches at one place are one
product of matrices. The transforms hold the numbers 1 and 1/2 only, so little is lost: the error is
a few roundings of float32.

Reference: Lavin and Gray, "Fast algorithms for convolutional neural networks", CVPR 2016,
F(2x2, 3x3).
"""

from __future__ import annotations

from collections.abc import Sequence

import jax
import jax.numpy as jnp


def winograd(
    x: jax.Array, kernel: jax.Array, *, pads: tuple[tuple[int, int], tuple[int, int]]
) -> jax.Array:
    """Cross-correlate maps ``[b, h, w, c]`` with a kernel ``[3, 3, c, out]``, stride 1.

    Sums are float32, the result is of the type of ``x``.

    >>> maps = jnp.arange(18.0).reshape(1, 3, 3, 2)
    >>> winograd(maps, jnp.ones((3, 3, 2, 1)), pads=((0, 0), (0, 0))).item()
    153.0
    """
    height, width = (n + sum(pad) - 2 for n, pad in zip(x.shape[1:3], pads, strict=True))
    rows, columns = -(-height // 2), -(-width // 2)
    # An odd side gets a row of patches that hangs over.
    (top, bottom), (left, right) = pads
    over = 2 * rows - height, 2 * columns - width
    padded = jnp.pad(x, ((0, 0), (top, bottom + over[0]), (left, right + over[1]), (0, 0)))
    # Widened after the cut, where it joins the transform.
    steps = [padded[:, i : i + 2 * rows - 1 : 2].astype(jnp.float32) for i in range(4)]
    patches = [
        entry
        for row in _transform_input(steps)
        for entry in _transform_input([row[:, :, j : j + 2 * columns - 1 : 2] for j in range(4)])
    ]
    products = [
        patch.reshape(-1, patch.shape[-1]) @ weights
        for patch, weights in zip(patches, _transform_kernel(kernel), strict=True)
    ]
    by_row = [_transform_back(products[4 * i : 4 * i + 4]) for i in range(4)]
    # By column within the patch, then by row.
    corners = [_transform_back([row[j] for row in by_row]) for j in range(2)]
    shape = x.shape[0], rows, columns, kernel.shape[-1]
    lines = [jnp.stack([corners[j][i].reshape(shape) for j in range(2)], axis=3) for i in range(2)]
    whole = jnp.stack(lines, axis=2).reshape(shape[0], 2 * rows, 2 * columns, shape[3])
    return whole[:, :height, :width].astype(x.dtype)


def _transform_kernel(kernel: jax.Array) -> list[jax.Array]:
    """A kernel ``[3, 3, c, out]`` to its 16 places, each ``[c, out]`` float32."""
    wide = kernel.astype(jnp.float32)
    return [
        entry
        for row in _spread(wide[0], wide[1], wide[2])
        for entry in _spread(row[0], row[1], row[2])
    ]


def _spread(a: jax.Array, b: jax.Array, c: jax.Array) -> tuple[jax.Array, ...]:
    return a, (a + b + c) / 2, (a - b + c) / 2, c


def _transform_input(d: Sequence[jax.Array]) -> tuple[jax.Array, ...]:
    return d[0] - d[2], d[1] + d[2], d[2] - d[1], d[1] - d[3]


def _transform_back(m: Sequence[jax.Array]) -> tuple[jax.Array, jax.Array]:
    return m[0] + m[1] + m[2], m[1] - m[2] - m[3]
