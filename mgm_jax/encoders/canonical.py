"""The canonical state: one naming and layout of weights a family, and its way into the modules.

Whatever a checkpoint calls its tensors, a converter first brings them to this form: a flat
``dict[str, np.ndarray]`` in PyTorch's layout (convolutions ``[out, in, row, column]``, matrices
``[out, in]``), with these names:

==============  =================================================================================
conv4           ``blocks.{0..3}.conv.{weight,bias}``, ``blocks.{i}.bn.*``
resnet_cifar    ``conv1.weight``, ``bn1.*``, ``layer{1..3}.{i}.{conv1,conv2}.weight``, ``...bn1.*``
resnet          torchvision: as above with ``conv3``/``bn3`` and ``downsample.{0,1}``
vit             DINO and timm: ``cls_token``, ``pos_embed``, ``patch_embed.proj.*``,
                ``blocks.{i}.{norm1,attn.qkv,attn.proj,norm2,mlp.fc1,mlp.fc2}.*``, ``norm.*``,
                where the spec has them ``blocks.{i}.{ls1,ls2}.gamma``, ``register_tokens``,
                ``blocks.{i}.mlp.{w12,w3}.*`` (instead of ``fc1``, ``fc2``), ``rope_periods``
                (instead of ``pos_embed``), ``norm_pre.*``, ``fc_norm.*``, ``proj.weight``,
                ``blocks.{i}.{attn,mlp}.norm.*``, ``attn_pool.latent``,
                ``attn_pool.{q,kv,proj,norm,mlp.fc1,mlp.fc2}.*``
convnext        timm, the norm behind the pool as ``norm.*``: ``stem.{0,1}.*``,
                ``stages.{i}.downsample.{0,1}.*``,
                ``stages.{i}.blocks.{j}.{conv_dw,norm,mlp.fc1,mlp.grn,mlp.fc2}.*``, ``...gamma``
swin            timm: ``patch_embed.{proj,norm}.*``, ``layers.{i}.downsample.{norm,reduction}.*``,
                ``layers.{i}.blocks.{j}.{norm1,attn.qkv,attn.proj,norm2,mlp.fc1,mlp.fc2}.*``,
                ``...attn.relative_position_bias_table``, ``norm.*``
mobilenet       timm: ``conv_stem.weight``, ``bn1.*``, ``conv_head.weight``, ``bn2.*``,
                ``blocks.{i}.{j}.{conv_pw,conv_dw,conv_pwl}.weight``, ``...bn{1..3}.*``
all             ``head.{weight,bias}``, where the spec has classes
==============  =================================================================================

``bn.*`` stands for ``weight``, ``bias``, ``running_mean``, ``running_var``; never
``num_batches_tracked``. From there :func:`to_params` folds and transposes. No Flax in this file:
parameters are nested dictionaries of NumPy arrays.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from mgm_jax.encoders.spec import ConvNorm, EncoderSpec
from mgm_jax.errors import InputError, name_some

Params = dict[str, Any]
State = dict[str, np.ndarray]


def expected_shapes(spec: EncoderSpec) -> dict[str, tuple[int, ...]]:
    """Every canonical name of ``spec`` with its shape; a state must have these and no others.

    >>> from mgm_jax.encoders.spec import Conv4Spec
    >>> expected_shapes(Conv4Spec())["blocks.0.conv.weight"]
    (64, 3, 3, 3)
    """
    return spec.weight_shapes


def check_state(spec: EncoderSpec, state: Mapping[str, np.ndarray]) -> None:
    """Raise one InputError with every problem of ``state``: names, shapes, values.

    Missing and unknown names, shapes other than those of :func:`expected_shapes`, NaN or Inf,
    a negative ``running_var``, and kernels that are all zero.
    """
    expected = expected_shapes(spec)
    problems = []
    if missing := [name for name in expected if name not in state]:
        problems.append(f"missing: {name_some(missing)}")
    if unknown := [name for name in state if name not in expected]:
        problems.append(f"not part of this encoder: {name_some(unknown)}")
    for name in expected.keys() & state.keys():
        value = np.asarray(state[name])
        if value.shape != expected[name]:
            problems.append(f"{name}: expected shape {expected[name]}, got {value.shape}")
        elif not np.isfinite(value).all():
            problems.append(f"{name}: {np.count_nonzero(~np.isfinite(value))} values NaN or Inf")
        elif name.endswith("running_var") and value.min() < 0:
            problems.append(f"{name}: a variance cannot be negative, smallest is {value.min()}")
    kernels = [value for value in state.values() if np.ndim(value) > 1]
    if kernels and not any(np.any(value) for value in kernels):
        problems.append("every weight is zero: the file is damaged, or was written too early")
    if problems:
        raise InputError(
            f"the weights do not fit this {spec.family} encoder:\n  "
            + "\n  ".join(sorted(problems))
        )


def to_params(spec: EncoderSpec, state: Mapping[str, np.ndarray]) -> Params:
    """Turn a canonical state into the float32 parameters of the Flax module of ``spec``.

    BatchNorm in evaluation is the map ``y = (x - mean) * weight / sqrt(var + eps) + bias``, which
    the convolution before it absorbs; this is done in float64. Kernels become
    ``[row, column, in, out]`` and matrices ``[in, out]``. Dots of a canonical name become levels
    of nesting, numbers join the level before (``layer1.0.conv1`` becomes ``layer1_0/conv1``).

    Raises:
        InputError: listing every name, shape or value that does not fit.
    """
    check_state(spec, state)
    wide = {name: np.asarray(value, dtype=np.float64) for name, value in state.items()}
    flat: dict[str, np.ndarray] = {}
    for unit in spec.conv_norms:
        flat |= _fold(unit, wide, eps=vars(spec)["batch_norm_eps"])
    folded = {name for unit in spec.conv_norms for name in unit.shapes()}
    for name, value in wide.items():
        if name not in folded:
            flat |= _in_flax(name, value)
    return _nest(flat)


def _in_flax(name: str, value: np.ndarray) -> State:
    """One weight by the name and in the layout of the Flax modules."""
    owner, _, part = name.rpartition(".")
    if part == "weight" and value.ndim == 4:
        return {f"{owner}.kernel": value.transpose(2, 3, 1, 0)}
    if part == "weight" and value.ndim == 2:
        return {f"{owner}.kernel": value.T}
    if part == "weight":
        return {f"{owner}.scale": value}
    return {name: value}


def _fold(unit: ConvNorm, state: Mapping[str, np.ndarray], *, eps: float) -> State:
    scale = state[f"{unit.norm}.weight"] / np.sqrt(state[f"{unit.norm}.running_var"] + eps)
    bias = state.get(f"{unit.conv}.bias", 0.0) - state[f"{unit.norm}.running_mean"]
    kernel = state[f"{unit.conv}.weight"].transpose(2, 3, 1, 0)
    return {
        f"{unit.conv}.kernel": kernel * scale,
        f"{unit.conv}.bias": bias * scale + state[f"{unit.norm}.bias"],
    }


def _nest(flat: Mapping[str, np.ndarray]) -> Params:
    params: Params = {}
    for name, value in flat.items():
        *path, leaf = module_path(name)
        level = params
        for step in path:
            level = level.setdefault(step, {})
        level[leaf] = np.ascontiguousarray(value, dtype=np.float32)
    return params


def module_path(name: str) -> tuple[str, ...]:
    """Steps from the root of the parameters to a canonical name.

    >>> module_path("layer1.0.downsample.0.kernel")
    ('layer1_0', 'downsample_0', 'kernel')
    """
    path: list[str] = []
    for step in name.split("."):
        if step.isdigit() and path:
            path[-1] += f"_{step}"
        else:
            path.append(step)
    return tuple(path)
