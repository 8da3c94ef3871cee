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
                (instead of ``pos_embed``), ``norm_pre.*``, ``fc_norm.*``, ``proj.weight``
all             ``head.{weight,bias}``, where the spec has classes
==============  =================================================================================

``bn.*`` stands for ``weight``, ``bias``, ``running_mean``, ``running_var``; never
``num_batches_tracked``. From there :func:`to_params` folds and transposes. No Flax in this file:
parameters are nested dictionaries of NumPy arrays.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from mgm_jax.encoders.spec import (
    CifarResNetSpec,
    Conv4Spec,
    EncoderSpec,
    ResNetSpec,
)
from mgm_jax.encoders.vit_spec import ViTSpec
from mgm_jax.errors import InputError, name_some

Params = dict[str, Any]
State = dict[str, np.ndarray]


@dataclass(frozen=True)
class ConvNorm:
    """One convolution and the BatchNorm behind it; a single convolution once folded."""

    conv: str
    norm: str
    inputs: int
    outputs: int
    kernel: int
    biased: bool = False

    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Canonical name to shape."""
        shapes: dict[str, tuple[int, ...]] = {
            f"{self.conv}.weight": (self.outputs, self.inputs, self.kernel, self.kernel)
        }
        if self.biased:
            shapes[f"{self.conv}.bias"] = (self.outputs,)
        for part in ("weight", "bias", "running_mean", "running_var"):
            shapes[f"{self.norm}.{part}"] = (self.outputs,)
        return shapes


def conv_norms(spec: EncoderSpec) -> Iterator[ConvNorm]:
    """Every convolution of a convolutional family, in the order of the forward pass."""
    match spec:
        case Conv4Spec():
            for i in range(4):
                inputs = 3 if i == 0 else spec.channels
                name = f"blocks.{i}"
                yield ConvNorm(f"{name}.conv", f"{name}.bn", inputs, spec.channels, 3, biased=True)
        case CifarResNetSpec():
            yield ConvNorm("conv1", "bn1", 3, spec.channels, 3)
            inputs = spec.channels
            for stage, channels in enumerate(spec.stage_channels, start=1):
                for block in range(spec.blocks):
                    name = f"layer{stage}.{block}"
                    yield ConvNorm(f"{name}.conv1", f"{name}.bn1", inputs, channels, 3)
                    yield ConvNorm(f"{name}.conv2", f"{name}.bn2", channels, channels, 3)
                    inputs = channels
        case ResNetSpec():
            yield from _resnet_conv_norms(spec)
        case _:
            raise InputError(f"family {spec.family} has no convolutions with BatchNorm")


def _resnet_conv_norms(spec: ResNetSpec) -> Iterator[ConvNorm]:
    yield ConvNorm("conv1", "bn1", 3, spec.channels, 7 if spec.stem == "imagenet" else 3)
    inputs = spec.channels
    for stage, (count, outputs) in enumerate(
        zip(spec.blocks, spec.stage_channels, strict=True), start=1
    ):
        inner = outputs // spec.expansion * spec.inner_factor
        for block in range(count):
            name = f"layer{stage}.{block}"
            if spec.block == "basic":
                sizes = [(inputs, outputs, 3), (outputs, outputs, 3)]
            else:
                sizes = [(inputs, inner, 1), (inner, inner, 3), (inner, outputs, 1)]
            for i, size in enumerate(sizes, start=1):
                yield ConvNorm(f"{name}.conv{i}", f"{name}.bn{i}", *size)
            if block == 0 and (stage > 1 or inputs != outputs):
                yield ConvNorm(f"{name}.downsample.0", f"{name}.downsample.1", inputs, outputs, 1)
            inputs = outputs


def expected_shapes(spec: EncoderSpec) -> dict[str, tuple[int, ...]]:
    """Every canonical name of ``spec`` with its shape; a state must have these and no others.

    >>> from mgm_jax.encoders.spec import Conv4Spec
    >>> expected_shapes(Conv4Spec())["blocks.0.conv.weight"]
    (64, 3, 3, 3)
    """
    if isinstance(spec, ViTSpec):
        return _vit_shapes(spec)
    if spec.family == "pixels":
        return {}
    shapes = {name: shape for unit in conv_norms(spec) for name, shape in unit.shapes().items()}
    if isinstance(spec, CifarResNetSpec | ResNetSpec):
        shapes |= _head_shapes(spec.classes, spec.width())
    return shapes


def _head_shapes(classes: int, width: int) -> dict[str, tuple[int, ...]]:
    return {"head.weight": (classes, width), "head.bias": (classes,)} if classes else {}


def _vit_shapes(spec: ViTSpec) -> dict[str, tuple[int, ...]]:
    dim = spec.embed_dim
    shapes: dict[str, tuple[int, ...]] = {}
    if spec.class_token:
        shapes["cls_token"] = (1, 1, dim)
    if spec.registers:
        shapes["register_tokens"] = (1, spec.registers, dim)
    if spec.positions == "rope":
        shapes["rope_periods"] = (spec.head_dim // 4,)
    else:
        shapes["pos_embed"] = (1, spec.class_token + spec.grid**2, dim)
    shapes["patch_embed.proj.weight"] = (dim, 3, spec.patch, spec.patch)
    if spec.patch_bias:
        shapes["patch_embed.proj.bias"] = (dim,)
    for i in range(spec.layers):
        block = {f"blocks.{i}.{name}": shape for name, shape in _block_shapes(spec).items()}
        shapes |= block
    for norm, there in {
        "norm_pre": spec.pre_norm,
        "norm": spec.final_norm,
        "fc_norm": spec.fc_norm,
    }.items():
        shapes |= {f"{norm}.weight": (dim,), f"{norm}.bias": (dim,)} if there else {}
    if spec.proj_dim:
        shapes["proj.weight"] = (spec.proj_dim, dim)
    return shapes | _head_shapes(spec.classes, spec.width() if spec.classes else 0)


def _block_shapes(spec: ViTSpec) -> dict[str, tuple[int, ...]]:
    dim, hidden = spec.embed_dim, spec.mlp_dim
    matrices = {"attn.qkv": (3 * dim, dim), "attn.proj": (dim, dim)}
    if spec.mlp == "swiglu":
        matrices |= {"mlp.w12": (2 * hidden, dim), "mlp.w3": (dim, hidden)}
    else:
        matrices |= {"mlp.fc1": (hidden, dim), "mlp.fc2": (dim, hidden)}
    shapes: dict[str, tuple[int, ...]] = {}
    for norm in ("norm1", "norm2"):
        shapes |= {f"{norm}.weight": (dim,), f"{norm}.bias": (dim,)}
    for name, shape in matrices.items():
        shapes[f"{name}.weight"] = shape
        if name != "attn.qkv" or spec.qkv_bias:
            shapes[f"{name}.bias"] = shape[:1]
    if spec.layer_scale:
        shapes |= {"ls1.gamma": (dim,), "ls2.gamma": (dim,)}
    return shapes


def check_state(spec: EncoderSpec, state: Mapping[str, np.ndarray]) -> None:
    """Raise one InputError with every problem of ``state``: names, shapes, values.

    Missing and unknown names, shapes other than those of :func:`expected_shapes`, NaN or Inf,
    and a negative ``running_var``.
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
    if isinstance(spec, ViTSpec):
        for name, value in wide.items():
            if name.startswith("patch_embed") and value.ndim == 4:
                flat["patch_embed.proj.kernel"] = value.transpose(2, 3, 1, 0)
            elif value.ndim == 2:
                flat[name.replace(".weight", ".kernel")] = value.T
            elif "norm" in name:
                flat[name.replace(".weight", ".scale")] = value
            else:
                flat[name] = value
    elif isinstance(spec, Conv4Spec | CifarResNetSpec | ResNetSpec):
        for unit in conv_norms(spec):
            flat |= _fold(unit, wide, eps=spec.batch_norm_eps)
        if "head.weight" in wide:
            flat |= {"head.kernel": wide["head.weight"].T, "head.bias": wide["head.bias"]}
    return _nest(flat)


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
