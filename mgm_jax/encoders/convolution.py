"""The convolution every convolutional encoder is made of: the form that is fast on each backend.

On accelerators this is XLA's convolution. On the CPU XLA's convolution is the fastest form for
most shapes, with two exceptions that were measured (2 cores, float32, GFLOP/s):

=====================================  ===========  ========================
shape                                  convolution  as one product
=====================================  ===========  ========================
3x3 on a 2x2 map, 512 channels         2            120
3x3 stride 2, 4x4 to 2x2, 256 to 512   42           113
3x3 on a 3x3 map, 512 channels         83           129
3x3 on a 42x42 map, 64 channels        66           14
1x1 on a 4x4 map, 512 to 2048          92           137
=====================================  ===========  ========================

So small maps and 1x1 kernels become one product of gathered pixels with the flattened kernel.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Literal

import jax
import jax.numpy as jnp
from flax import linen as nn
from jax import lax

Padding = Literal["torchvision", "tf-same"]
Pads = tuple[tuple[int, int], tuple[int, int]]

# Output maps up to this many pixels go through a product on the CPU; see the table above.
SMALL_MAP = 9


def window_pads(shape: Sequence[int], size: int, stride: int, padding: Padding) -> Pads:
    """Pixels to add before and after the rows and the columns of a map.

    ``torchvision`` adds ``size // 2`` on every side. ``tf-same`` adds just what makes the output
    ``ceil(input / stride)`` long and puts the odd pixel at the end.

    >>> window_pads((224, 224), 7, 2, "torchvision"), window_pads((224, 224), 7, 2, "tf-same")
    (((3, 3), (3, 3)), ((2, 3), (2, 3)))
    """
    if padding == "torchvision":
        half = size // 2
        return (half, half), (half, half)
    rows, columns = (max((-(-n // stride) - 1) * stride + size - n, 0) for n in shape)
    return (rows // 2, rows - rows // 2), (columns // 2, columns - columns // 2)


def convolve(x: jax.Array, kernel: jax.Array, *, stride: int, pads: Pads) -> jax.Array:
    """Cross-correlate maps ``[b, h, w, c]`` with a kernel ``[size, size, c, out]``."""
    on_cpu = _best_on_cpu(x.shape, kernel.shape[0], stride, pads)
    options = {"stride": stride, "pads": pads}
    if on_cpu is _as_convolution:
        return _as_convolution(x, kernel, **options)
    return lax.platform_dependent(
        x, kernel, cpu=partial(on_cpu, **options), default=partial(_as_convolution, **options)
    )


def _best_on_cpu(
    shape: tuple[int, ...], size: int, stride: int, pads: Pads
) -> Callable[..., jax.Array]:
    rows, columns = _output_side(shape, size, stride, pads)
    return _as_product if size == 1 or rows * columns <= SMALL_MAP else _as_convolution


def _output_side(shape: tuple[int, ...], size: int, stride: int, pads: Pads) -> tuple[int, int]:
    rows, columns = (
        (length + sum(pad) - size) // stride + 1
        for length, pad in zip(shape[1:3], pads, strict=True)
    )
    return rows, columns


def _as_convolution(x: jax.Array, kernel: jax.Array, *, stride: int, pads: Pads) -> jax.Array:
    return lax.conv_general_dilated(
        x, kernel, (stride, stride), pads, dimension_numbers=("NHWC", "HWIO", "NHWC")
    )


def _as_product(x: jax.Array, kernel: jax.Array, *, stride: int, pads: Pads) -> jax.Array:
    size, _, inputs, outputs = kernel.shape
    rows, columns = _output_side(x.shape, size, stride, pads)
    padded = jnp.pad(x, ((0, 0), *pads, (0, 0)))
    neighbours = [
        padded[
            :, i : i + (rows - 1) * stride + 1 : stride, j : j + (columns - 1) * stride + 1 : stride
        ]
        for i in range(size)
        for j in range(size)
    ]
    return jnp.concatenate(neighbours, axis=-1) @ kernel.reshape(size * size * inputs, outputs)


def max_pool(x: jax.Array, *, size: int, stride: int, pads: Pads) -> jax.Array:
    """Largest value of each window of maps ``[b, h, w, c]``; padding never wins."""
    return lax.reduce_window(
        x,
        jnp.array(-jnp.inf, x.dtype),
        lax.max,
        (1, size, size, 1),
        (1, stride, stride, 1),
        ((0, 0), *pads, (0, 0)),
    )


class Conv(nn.Module):
    """A convolution with the BatchNorm behind it folded in: kernel, then bias.

    Attributes:
        outputs: channels that leave.
        size: side of the kernel.
        stride: step between windows.
        padding: see :func:`window_pads`.
    """

    outputs: int
    size: int = 3
    stride: int = 1
    padding: Padding = "torchvision"

    @nn.compact
    def __call__(
        self, x: jax.Array, *, pool: Callable[[jax.Array], jax.Array] | None = None
    ) -> jax.Array:
        """Maps ``[b, h, w, c]`` to ``[b, h', w', outputs]``.

        ``pool`` is a max pool to apply on the way. The largest value commutes with adding a
        constant a channel (and with a ReLU after it), so it goes before the bias: a quarter of
        the work for everything pointwise, and 1.7 times the speed of a whole Conv4 on the CPU.
        """
        shape = (self.size, self.size, x.shape[-1], self.outputs)
        kernel = self.param("kernel", nn.initializers.he_normal(), shape)
        bias = self.param("bias", nn.initializers.zeros_init(), (self.outputs,))
        pads = window_pads(x.shape[1:3], self.size, self.stride, self.padding)
        x = convolve(x, kernel, stride=self.stride, pads=pads)
        return (pool(x) if pool else x) + bias
