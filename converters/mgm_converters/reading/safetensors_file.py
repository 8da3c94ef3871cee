"""Reading a safetensors file: tensors as NumPy arrays, and the texts that it carries beside them.

PyTorch is not needed. The library's NumPy side lacks the short formats of machine learning, which
JAX brings; their bytes are taken as they stand.
"""

from __future__ import annotations

from pathlib import Path

import jax.numpy as jnp
import numpy as np
from safetensors import deserialize, safe_open

_SHORT = {
    "BF16": jnp.bfloat16,
    "F8_E4M3": jnp.float8_e4m3fn,
    "F8_E5M2": jnp.float8_e5m2,
}


def read_safetensors(path: Path) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    """Name to tensor, and the metadata of the file (key to text).

    Raises:
        Exception: the library refuses a damaged file in several ways.
    """
    with safe_open(path, framework="np") as file:
        kinds = {name: file.get_slice(name).get_dtype() for name in file.keys()}  # noqa: SIM118
        tensors = {
            name: file.get_tensor(name) for name, kind in kinds.items() if kind not in _SHORT
        }
        metadata = dict(file.metadata() or {})
    if len(tensors) < len(kinds):
        for name, stored in deserialize(path.read_bytes()):
            if name not in tensors:
                flat = np.frombuffer(stored["data"], np.dtype(_SHORT[stored["dtype"]]))
                tensors[name] = flat.reshape(stored["shape"])
    return tensors, metadata
