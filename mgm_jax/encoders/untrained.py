"""Random weights as the reference implementations start from, for untrained encoders."""

from __future__ import annotations

import hashlib

import numpy as np

from mgm_jax.encoders.canonical import State, expected_shapes
from mgm_jax.encoders.networks.vit.positions import default_periods
from mgm_jax.encoders.spec import EncoderSpec
from mgm_jax.errors import InputError


def random_state(spec: EncoderSpec, *, seed: int) -> State:
    """Canonical state of an encoder before its first training step.

    ============  =================================================================================
    resnet        convolutions normal with variance 2 / fan_out (torchvision), BatchNorm identity
    resnet_cifar  convolutions normal with variance 2 / fan_in (He et al. 2015), BatchNorm identity
    conv4         weights and biases uniform in +-1/sqrt(fan_in) (PyTorch), BatchNorm identity
    vit           matrices and positions normal with deviation 0.02, biases 0, class and register
                  tokens normal with deviation 1e-6, layer scale 1e-5; patch projection as conv4;
                  query of an attention pool normal with deviation 1/sqrt(width) (timm);
                  periods of rotary positions from 1 to below 100 (DINOv3)
    convnext      kernels and matrices normal with deviation 0.02, biases 0, layer scale 1e-6,
                  response norms 0 (its authors)
    swin          matrices and tables of position biases normal with deviation 0.02, biases 0;
                  patch projection as conv4 (its authors)
    mobilenet     as resnet (torchvision)
    ============  =================================================================================

    Each tensor has a stream of its own, drawn from the seed and its name, so that two specs give
    the same values wherever they share a name and a shape.

    Args:
        spec: the encoder.
        seed: at least 0.

    Raises:
        InputError: where the seed is negative.

    >>> from mgm_jax.encoders.spec import Conv4Spec
    >>> sorted(random_state(Conv4Spec(), seed=0))[0]
    'blocks.0.bn.bias'
    """
    if seed < 0:
        raise InputError(f"seed: expected an integer of at least 0, got {seed}")
    shapes = expected_shapes(spec)
    return {name: _draw(spec, name, shape, shapes, seed) for name, shape in shapes.items()}


def _draw(
    spec: EncoderSpec,
    name: str,
    shape: tuple[int, ...],
    shapes: dict[str, tuple[int, ...]],
    seed: int,
) -> np.ndarray:
    generator = np.random.default_rng([seed, *hashlib.sha256(name.encode()).digest()])
    owner, _, part = name.rpartition(".")
    convolution = shapes.get(f"{owner}.weight", ())

    if name == "rope_periods":
        value = default_periods(4 * shape[0])
    elif len(convolution) == 4 and spec.family in ("conv4", "vit", "swin"):
        bound = 1.0 / np.sqrt(np.prod(convolution[1:]))
        value = generator.uniform(-bound, bound, shape)
    elif spec.family == "convnext" and len(shape) == 4:
        value = generator.normal(0.0, 0.02, shape)
    elif len(shape) == 4:
        outputs, inputs, *kernel = convolution
        fan = (inputs if spec.family == "resnet_cifar" else outputs) * np.prod(kernel)
        value = generator.normal(0.0, np.sqrt(2.0 / fan), shape)
    elif len(shape) == 2 or name == "pos_embed":
        value = generator.normal(0.0, 0.02, shape)
    elif name in ("cls_token", "register_tokens"):
        value = generator.normal(0.0, 1e-6, shape)
    elif name == "attn_pool.latent":
        value = generator.normal(0.0, shape[-1] ** -0.5, shape)
    elif part == "gamma":
        value = np.full(shape, 1e-6 if spec.family == "convnext" else 1e-5)
    elif owner.endswith(".grn"):
        value = np.zeros(shape)
    else:
        value = np.full(shape, float(part in ("weight", "running_var")))
    return value.astype(np.float32)
