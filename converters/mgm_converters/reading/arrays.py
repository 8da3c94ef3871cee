"""Tensors of either kind as arrays: NumPy's out of safetensors files, PyTorch's out of all others.

PyTorch is never imported here: where nothing has imported it, no tensor of its can be at hand.
"""

from __future__ import annotations

import sys
from typing import Any

import jax.numpy as jnp
import numpy as np


def is_tensor(value: Any) -> bool:
    """Whether a value of a checkpoint is a tensor."""
    if isinstance(value, np.ndarray):
        return True
    torch = sys.modules.get("torch")
    return torch is not None and isinstance(value, torch.Tensor)


def to_array(tensor: Any) -> np.ndarray:
    """A tensor as an array that NumPy computes with.

    Floating-point numbers of fewer than four bytes become float32, which holds every value of
    theirs.

    Raises:
        TypeError: it is no dense tensor of real numbers; the message is its type.
    """
    if isinstance(tensor, np.ndarray):
        # JAX knows the half precisions that NumPy lacks.
        if np.iscomplexobj(tensor) or not jnp.issubdtype(tensor.dtype, jnp.generic):
            raise TypeError(str(tensor.dtype))
        small = jnp.issubdtype(tensor.dtype, jnp.floating) and tensor.dtype.itemsize < 4
        return tensor.astype(np.float32) if small else tensor
    what = (
        *(["quantised"] if tensor.is_quantized else []),
        *([f"of layout {tensor.layout}"] if str(tensor.layout) != "torch.strided" else []),
        *(["without values (device meta)"] if tensor.is_meta else []),
    )
    if what or tensor.is_complex():
        raise TypeError(", ".join((str(tensor.dtype), *what)))
    if tensor.is_floating_point() and tensor.element_size() < 4:
        tensor = tensor.float()
    return tensor.detach().numpy()
