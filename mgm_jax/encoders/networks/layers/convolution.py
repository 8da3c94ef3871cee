"""The convolution every convolutional encoder is made of: the form that is fast on each backend.

On accelerators this is XLA's convolution. On the CPU three forms were raced, the smallest time of a
few turns on 2 cores with AVX-512 and its bfloat16, other work beside it (ms, batch 8, stride 1):

===============================  ===========  ===============  ===========
float32                          convolution  shifted products  one product
===============================  ===========  ===============  ===========
3x3 on 56x56, 64 channels        18.6         55.8             73.3
3x3 on 28x28, 128 channels       11.8         24.2             45.7
3x3 on 14x14, 256 channels       19.1         14.0             21.0
3x3 stride 2, 14x14, 512         48.2         43.1             28.0
3x3 on 7x7, 512 channels         21.1         20.1             18.9
1x1 on 56x56, 64 to 256          14.9                          8.2
===============================  ===========  ===============  ===========

===============================  ===========  ===============  ===========
bfloat16                         convolution  shifted products  one product
===============================  ===========  ===============  ===========
3x3 on 56x56, 64 channels        20.9         46.7             76.7
3x3 on 28x28, 128 channels       19.2         14.4             48.2
3x3 on 14x14, 256 channels       15.7         8.2              22.6
3x3 on 7x7, 512 channels         22.5         6.1              19.6
===============================  ===========  ===============  ===========

(The one product of bfloat16 had a bfloat16 result there, which is slow: see ``product``.) On an
AVX2 CPU maps of up to 3x3 pixels gained as one product for any number of channels.
Winograd's form (``winograd``) came later: with stride 1 it took 7.7, 6.2, 5.1 and 7.3 ms where the
convolution took 13.5, 9.4, 10.1 and 9.7 (float32, 64 to 512 channels, quiet machine), and made a
whole ResNet-50 1.12 times as fast in float32. In bfloat16 it pays from 128 channels on: 22.9 and
18.1 ms with 128 and 256 channels where shifted products took 66 and 22 and the convolution 38
(batch 16, time of one core); with 64 channels 55 against 39.
Where a pool follows it does not pay: its patches would be computed again for every window.
In a program that leaves bfloat16 to oneDNN (``onednn``) its convolution is the fastest form of all
sizes above 1x1, and its product of 1x1.

A depthwise convolution is a sum of shifted maps on the CPU, each times one factor a channel: XLA's
took 16 to 70 times as long there (7x7 on 56x56 with 96 channels, batch 4: 11 and 175 ms; 3x3 on
112x112 with 32: 1.5 and 99 ms). Between the two, in groups of several channels, it stays XLA's.

On a TPU a convolution with stride whose inputs are few, the first of a network, goes over blocks of
pixels: for the stem of a ResNet-50 with its pool its compiler counts 12.6 million cycles in place
of 15.4 (256 images, 32 at once), and 5.7 where images lie side by side (see ``beside``).

The choice follows from shapes and precision alone, never from a clock: a run that goes on gives the
same bits.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial, reduce
from typing import Literal

import jax
import jax.numpy as jnp
from flax import linen as nn
from jax import lax

from mgm_jax.encoders.networks.layers.beside import kernel_beside
from mgm_jax.encoders.networks.layers.onednn import is_by_onednn
from mgm_jax.encoders.networks.layers.product import product, wide_product
from mgm_jax.encoders.networks.layers.winograd import winograd

Padding = Literal["torchvision", "tf-same"]
Pads = tuple[tuple[int, int], tuple[int, int]]

# Inputs of a convolution with stride up to which it goes over blocks of pixels on a TPU.
FEW_CHANNELS = 8

# Output maps up to this many pixels go through one product on the CPU; see the tables above.
TINY_MAP, SMALL_MAP, MIDDLE_MAP = 3 * 3, 7 * 7, 14 * 14
# Channels from which products pay.
MANY_FLOAT32, MANY_BFLOAT16 = 256, 128
# Channels from which Winograd's transforms pay.
WINOGRAD_FLOAT32, WINOGRAD_BFLOAT16 = 64, 128


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


def convolve(
    x: jax.Array,
    kernel: jax.Array,
    *,
    stride: int,
    pads: Pads,
    groups: int = 1,
    pooled: bool = False,
) -> jax.Array:
    """Cross-correlate maps ``[b, h, w, c]`` with a kernel ``[size, size, c / groups, out]``.

    ``pooled`` says that a pool follows; it decides between forms, not what comes out.
    """
    if groups > 1:
        return _in_groups(x, kernel, stride=stride, pads=pads, groups=groups)
    options = {"stride": stride, "pads": pads}
    on_cpu = _best_on_cpu(x, kernel, **options, pooled=pooled)
    blocks = stride > 1 and x.shape[-1] <= FEW_CHANNELS
    on_tpu = _over_blocks if blocks else _as_convolution
    if on_cpu is on_tpu is _as_convolution:
        return _as_convolution(x, kernel, **options)
    return lax.platform_dependent(
        x,
        kernel,
        cpu=partial(on_cpu, **options),
        tpu=partial(on_tpu, **options),
        default=partial(_as_convolution, **options),
    )


def _best_on_cpu(
    x: jax.Array, kernel: jax.Array, *, stride: int, pads: Pads, pooled: bool
) -> Callable[..., jax.Array]:
    size, _, inputs, outputs = kernel.shape
    rows, columns = _output_side(x.shape, size, stride, pads)
    pixels = rows * columns
    if size == 1:
        return _as_product
    if is_by_onednn():
        return _as_convolution
    bfloat16 = x.dtype == jnp.bfloat16
    if size == 3 and stride == 1 and not pooled:
        channels, least = (
            (WINOGRAD_BFLOAT16, SMALL_MAP) if bfloat16 else (WINOGRAD_FLOAT32, TINY_MAP)
        )
        if min(inputs, outputs) >= channels and pixels > least:
            return _by_winograd
    if bfloat16:
        return _as_shifted_products if inputs >= MANY_BFLOAT16 else _in_float32
    if pixels <= (SMALL_MAP if inputs >= MANY_FLOAT32 else TINY_MAP):
        return _as_product
    if inputs >= MANY_FLOAT32 and pixels <= MIDDLE_MAP and stride == 1:
        return _as_shifted_products
    return _as_convolution


def _output_side(shape: tuple[int, ...], size: int, stride: int, pads: Pads) -> tuple[int, int]:
    rows, columns = (
        (length + sum(pad) - size) // stride + 1
        for length, pad in zip(shape[1:3], pads, strict=True)
    )
    return rows, columns


def _as_convolution(
    x: jax.Array, kernel: jax.Array, *, stride: int, pads: Pads, groups: int = 1
) -> jax.Array:
    return lax.conv_general_dilated(
        x,
        kernel,
        (stride, stride),
        pads,
        dimension_numbers=("NHWC", "HWIO", "NHWC"),
        feature_group_count=groups,
    )


def _over_blocks(x: jax.Array, kernel: jax.Array, *, stride: int, pads: Pads) -> jax.Array:
    """A convolution with stride as one without over blocks of stride by stride pixels."""
    size, _, inputs, outputs = kernel.shape
    fills, starts, around, counts = [], [], [], []
    for length, (before, after) in zip(x.shape[1:3], pads, strict=True):
        blocks, ahead = -(-length // stride), -(-before // stride)
        # The window begins within a block, and the kernel with as many zeros.
        first = ahead * stride - before
        count = -(-(first + size) // stride)
        results = (length + before + after - size) // stride + 1
        fills.append((0, blocks * stride - length))
        starts.append((first, count * stride - first - size))
        around.append((ahead, results + count - 1 - ahead - blocks))
        counts.append(count)
    rows, columns = counts
    x = jnp.pad(x, ((0, 0), *fills, (0, 0)))
    b, h, w, _ = x.shape
    x = x.reshape(b, h // stride, stride, w // stride, stride, inputs).transpose(0, 1, 3, 2, 4, 5)
    kernel = jnp.pad(kernel, (*starts, (0, 0), (0, 0)))
    kernel = kernel.reshape(rows, stride, columns, stride, inputs, outputs)
    kernel = kernel.transpose(0, 2, 1, 3, 4, 5)
    return _as_convolution(
        x.reshape(*x.shape[:3], -1),
        kernel.reshape(rows, columns, -1, outputs),
        stride=1,
        pads=(around[0], around[1]),
    )


def _in_groups(
    x: jax.Array, kernel: jax.Array, *, stride: int, pads: Pads, groups: int
) -> jax.Array:
    """Each group of outputs sees its own inputs alone."""
    options = {"stride": stride, "pads": pads}
    plain = partial(_as_convolution, **options, groups=groups)
    if groups == x.shape[-1] == kernel.shape[-1]:
        on_cpu = partial(_as_shifted_factors, **options)
    elif x.dtype == jnp.bfloat16:
        on_cpu = partial(_in_float32, **options, groups=groups)
    else:
        return plain(x, kernel)
    return lax.platform_dependent(x, kernel, cpu=on_cpu, default=plain)


def _as_shifted_factors(x: jax.Array, kernel: jax.Array, *, stride: int, pads: Pads) -> jax.Array:
    """A depthwise convolution: shifted maps, each times one factor a channel, summed."""
    size = kernel.shape[0]
    factors = kernel.astype(jnp.float32).reshape(size * size, -1)
    shifted = _shifted(x.astype(jnp.float32), size, stride, pads)
    return reduce(jnp.add, map(jnp.multiply, shifted, factors)).astype(x.dtype)


def _in_float32(
    x: jax.Array, kernel: jax.Array, *, stride: int, pads: Pads, groups: int = 1
) -> jax.Array:
    wide = (value.astype(jnp.float32) for value in (x, kernel))
    y = _as_convolution(*wide, stride=stride, pads=pads, groups=groups)
    # jaxlib 0.12 fuses the block before an average pool with it, and the fusion gave NaN.
    return lax.optimization_barrier(y).astype(x.dtype)


def _by_winograd(x: jax.Array, kernel: jax.Array, *, stride: int, pads: Pads) -> jax.Array:
    return winograd(x, kernel, pads=pads)


def _as_product(x: jax.Array, kernel: jax.Array, *, stride: int, pads: Pads) -> jax.Array:
    size, _, inputs, outputs = kernel.shape
    shifted = _shifted(x, size, stride, pads)
    gathered = shifted[0] if size == 1 else jnp.concatenate(shifted, axis=-1)
    return product(gathered, kernel.reshape(size * size * inputs, outputs))


def _as_shifted_products(x: jax.Array, kernel: jax.Array, *, stride: int, pads: Pads) -> jax.Array:
    size, _, inputs, outputs = kernel.shape
    pieces = kernel.reshape(size * size, inputs, outputs)
    total = jnp.zeros((), jnp.float32)
    for neighbours, piece in zip(_shifted(x, size, stride, pads), pieces, strict=True):
        total = total + wide_product(neighbours, piece)
    return total.astype(x.dtype)


def _shifted(
    x: jax.Array, size: int, stride: int, pads: Pads, *, fill: float = 0.0
) -> list[jax.Array]:
    """For each place of the window, the pixels under it: maps of the size of the output."""
    rows, columns = _output_side(x.shape, size, stride, pads)
    padded = jnp.pad(x, ((0, 0), *pads, (0, 0)), constant_values=fill)
    return [
        padded[
            :, i : i + (rows - 1) * stride + 1 : stride, j : j + (columns - 1) * stride + 1 : stride
        ]
        for i in range(size)
        for j in range(size)
    ]


def max_pool(x: jax.Array, *, size: int, stride: int, pads: Pads) -> jax.Array:
    """Largest value of each window of maps ``[b, h, w, c]``; padding never wins.

    On the CPU the largest of shifted maps, in float32: 2.3 times as fast as XLA's windows for the
    3x3 pool of a ResNet in float32, 8.6 times in bfloat16, and equal to the last bit.
    """
    options = {"size": size, "stride": stride, "pads": pads}
    return lax.platform_dependent(
        x, cpu=partial(_largest_shifted, **options), default=partial(_largest_window, **options)
    )


def _largest_shifted(x: jax.Array, *, size: int, stride: int, pads: Pads) -> jax.Array:
    shifted = _shifted(x.astype(jnp.float32), size, stride, pads, fill=-jnp.inf)
    return reduce(jnp.maximum, shifted).astype(x.dtype)


def _largest_window(x: jax.Array, *, size: int, stride: int, pads: Pads) -> jax.Array:
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
        groups: parts of the channels that do not see each other; their number where depthwise.
        images: how many lie side by side in the channels, see ``beside``; ``groups`` is 1 then.
    """

    outputs: int
    size: int = 3
    stride: int = 1
    padding: Padding = "torchvision"
    groups: int = 1
    images: int = 1

    @nn.compact
    def __call__(
        self, x: jax.Array, *, pool: Callable[[jax.Array], jax.Array] | None = None
    ) -> jax.Array:
        """Maps ``[b, h, w, c]`` to ``[b, h', w', outputs]``.

        ``pool`` is a max pool to apply on the way. The largest value commutes with adding a
        constant a channel (and with a ReLU after it), so it goes before the bias: a quarter of
        the work for everything pointwise, and 1.7 times the speed of a whole Conv4 on the CPU.
        """
        inputs = x.shape[-1] // (self.groups * self.images)
        shape = (self.size, self.size, inputs, self.outputs)
        kernel = self.param("kernel", nn.initializers.he_normal(), shape)
        bias = self.param("bias", nn.initializers.zeros_init(), (self.outputs,))
        if self.images > 1:
            kernel, bias = kernel_beside(kernel, self.images), jnp.tile(bias, self.images)
        pads = window_pads(x.shape[1:3], self.size, self.stride, self.padding)
        options = {"stride": self.stride, "pads": pads, "groups": self.groups}
        x = convolve(x, kernel, **options, pooled=pool is not None)
        return (pool(x) if pool else x) + bias
