"""The one compiled function of all encoders: parameters in, the asked-for taps out.

Parameters, mean and deviation are arguments and only the spec, the taps and the precision are
static, so a whole population of encoders of one architecture compiles once.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, Literal, cast

import jax
import jax.numpy as jnp
from flax import linen as nn
from jax import lax

from mgm_jax.encoders.canonical import Params
from mgm_jax.encoders.networks.conv4 import Conv4
from mgm_jax.encoders.networks.convnext import ConvNeXt
from mgm_jax.encoders.networks.layers import onednn
from mgm_jax.encoders.networks.mobilenet import MobileNet
from mgm_jax.encoders.networks.pixels import Pixels
from mgm_jax.encoders.networks.resnet import ResNet
from mgm_jax.encoders.networks.resnet_cifar import CifarResNet
from mgm_jax.encoders.networks.swin import Swin
from mgm_jax.encoders.networks.vit.vit import ViT
from mgm_jax.encoders.spec import (
    CifarResNetSpec,
    Conv4Spec,
    ConvNeXtSpec,
    EncoderSpec,
    MobileNetSpec,
    PixelsSpec,
    ResNetSpec,
    SwinSpec,
    ViTSpec,
)
from mgm_jax.errors import InputError

Precision = Literal["float32", "bfloat16"]

# A CPU takes so many images at a time: what one layer leaves for the next then stays within
# its caches. That is 2.2 times as fast as 64 at once for a Conv4, 1.15 times as fast as 16 for a
# ResNet-50 and 1.1 times as fast as 32 for a ViT-S/16.
_AT_ONCE = 4

# A TPU takes so many: what a layer leaves for the next then stays in its vector memory of 128 MiB.
_AT_ONCE_ON_TPU = 32
# Attention weights are in float32, one for every pair of tokens. The compiler counts 150 million
# cycles for a ViT-B/16 on 256 images where 32 are taken at once, and 123 for 16.
_TOKENS_AT_ONCE_ON_TPU = 16

# Positions are interpolated and turned into angles in float32, whatever the rest is computed in.
_EXACT = ("pos_embed", "rope_periods")


def build_module(spec: EncoderSpec, *, for_tpu: bool = False) -> nn.Module:
    """The Flax module of a spec: normalised images ``[b, h, w, 3]`` to a dict of every tap.

    ``for_tpu`` chooses the form that is fast there; what comes out is the same.
    """
    match spec:
        case Conv4Spec():
            return Conv4(spec)
        case CifarResNetSpec():
            return CifarResNet(spec)
        case ResNetSpec():
            return ResNet(spec, fill_lanes=for_tpu)
        case ViTSpec():
            return ViT(spec)
        case ConvNeXtSpec():
            return ConvNeXt(spec)
        case SwinSpec():
            return Swin(spec)
        case MobileNetSpec():
            return MobileNet(spec)
        case PixelsSpec():
            return Pixels(spec)
    raise InputError(f"there is no module for the family {spec.family}")


@partial(jax.jit, static_argnames="dtype")
def round_params(params: Params, *, dtype: Precision) -> Params:
    """Parameters in the precision that :func:`forward` computes with ``dtype`` in."""
    return jax.tree_util.tree_map_with_path(
        lambda path, leaf: leaf.astype("float32" if path[0].key in _EXACT else dtype), params
    )


_STATIC = ("spec", "taps", "dtype", "pooled", "by_onednn")


@partial(jax.jit, static_argnames=_STATIC)
def forward(
    params: Params,
    views: jax.Array,
    mean: jax.Array,
    std: jax.Array,
    *,
    spec: EncoderSpec,
    taps: tuple[str, ...],
    dtype: Precision,
    pooled: bool,
    by_onednn: bool = False,
) -> dict[str, jax.Array]:
    """Run one encoder once and read ``taps``; what no tap needs is not computed.

    Args:
        params: as :func:`~mgm_jax.encoders.canonical.to_params` makes them, or as
            :func:`round_params` does, which saves doing it again.
        views: float ``[b, h, w, 3]`` in [0, 1], or ``[b, h, w, 1]`` where ``spec`` takes grey ones,
            which colour ones become.
        mean: ``[c]``, subtracted first.
        std: ``[c]``, divided by.
        spec: architecture of ``params``.
        taps: names to read.
        dtype: precision of weights and activations; sums are float32 either way.
        pooled: one row ``[b, d]`` a tap (see :func:`pool`) instead of maps or tokens.
        by_onednn: whether the program is compiled for oneDNN, see :func:`forward_on_cpu`.

    Returns:
        float32 arrays by tap.
    """
    weights = round_params(params, dtype=dtype)

    def read(
        weights: Params, views: jax.Array, *, dtype: Precision, for_tpu: bool = False
    ) -> dict[str, jax.Array]:
        x = views.astype(jnp.float32)
        if x.shape[-1] == 3 and spec.image_channels == 1:
            x = grey(x)
        x = ((x - mean) / std).astype(dtype)
        # An accelerator multiplies float32 in fewer bits unless told otherwise.
        precision = "highest" if dtype == "float32" else "default"
        with jax.default_matmul_precision(precision), onednn.by_onednn(by_onednn):
            module = build_module(spec, for_tpu=for_tpu)
            activations = cast(dict[str, jax.Array], module.apply({"params": weights}, x))
        outputs = {tap: activations[tap] for tap in taps}
        if pooled:
            outputs = {tap: pool(value, spec=spec, tap=tap) for tap, value in outputs.items()}
        return {tap: value.astype(jnp.float32) for tap, value in outputs.items()}

    def read_on_cpu(weights: Params, views: jax.Array) -> dict[str, jax.Array]:
        if isinstance(spec, Conv4Spec) and not by_onednn:
            # None of its layers is wide enough for XLA's products of bfloat16 to be faster there.
            weights = jax.tree.map(lambda leaf: leaf.astype("float32"), weights)
            part = partial(read, weights, dtype="float32")
        else:
            part = partial(read, weights, dtype=dtype)
        return _in_parts(part, views, most=_AT_ONCE)

    def read_on_tpu(weights: Params, views: jax.Array) -> dict[str, jax.Array]:
        part = partial(read, weights, dtype=dtype, for_tpu=True)
        most = _TOKENS_AT_ONCE_ON_TPU if isinstance(spec, ViTSpec) else _AT_ONCE_ON_TPU
        return _in_parts(part, views, most=most)

    return lax.platform_dependent(
        weights, views, cpu=read_on_cpu, tpu=read_on_tpu, default=partial(read, dtype=dtype)
    )


_as_written: Any = forward
_forward_by_onednn = partial(
    jax.jit(_as_written.__wrapped__, static_argnames=_STATIC, compiler_options=onednn.OPTIONS),
    by_onednn=True,
)


def forward_on_cpu(
    params: Params, views: jax.Array, *moments: jax.Array, spec: EncoderSpec, **static: Any
) -> dict[str, jax.Array]:
    """As :func:`forward`, not to be traced: oneDNN convolves bfloat16 where JAX has it."""
    convolves = isinstance(spec, Conv4Spec | CifarResNetSpec) or (
        isinstance(spec, ResNetSpec) and spec.groups == 1
    )
    if convolves and static["dtype"] == "bfloat16" and onednn.available():
        onednn.quiet()
        return _forward_by_onednn(params, views, *moments, spec=spec, **static)
    return forward(params, views, *moments, spec=spec, **static)


def grey(x: jax.Array) -> jax.Array:
    """Luminance ``[..., 1]`` of red, green and blue ``[..., 3]``, weighted as Pillow does (BT.601).

    >>> grey(jnp.full((1, 3), 0.5)).tolist()
    [[0.5]]
    """
    return x @ jnp.array([[0.299], [0.587], [0.114]], x.dtype)


def _in_parts(
    function: Callable[[jax.Array], dict[str, jax.Array]], x: jax.Array, *, most: int
) -> dict[str, jax.Array]:
    """Apply a function to ``[b, ...]`` by parts of equal size, at most ``most`` rows each."""
    rows = x.shape[0]
    parts = -(-rows // most)
    if parts < 2:
        return function(x)
    size = -(-rows // parts)
    # The last part is filled up; no row depends on another.
    filled = jnp.pad(x, ((0, parts * size - rows), *((0, 0),) * (x.ndim - 1)))
    outputs = lax.map(function, filled.reshape(parts, size, *x.shape[1:]))
    return {tap: a.reshape(parts * size, *a.shape[2:])[:rows] for tap, a in outputs.items()}


def pool(activation: jax.Array, *, spec: EncoderSpec, tap: str) -> jax.Array:
    """One row an image: the mean of a map, the class token, or the mean of the patch tokens.

    Args:
        activation: map ``[b, h, w, c]``, tokens ``[b, t, d]`` or a row ``[b, d]`` already.
        spec: encoder it was read from; tells which tokens are patches.
        tap: where it was read; before the first block there are only patches.

    Returns:
        ``[b, c]`` or ``[b, d]``.
    """
    if activation.ndim == 4:
        return activation.mean(axis=(1, 2), dtype=jnp.float32)
    if activation.ndim == 3 and isinstance(spec, ViTSpec):
        before = 0 if tap == "patch_embed" else spec.prefix
        if spec.class_token and before:
            return activation[:, 0]
        return activation[:, before:].mean(axis=1, dtype=jnp.float32)
    return activation
