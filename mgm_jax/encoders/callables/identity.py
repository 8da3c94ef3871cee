"""Who a callable is, as a digest; None where nothing can be said.

A program of JAX is told by what it lowers to, weights by their bytes, a module of PyTorch by its
structure, its state and the code of its classes. What else a module of PyTorch reads, such as a
global variable, does not enter. A plain Python function has no digest: whoever wraps it gives one.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable
from types import CodeType
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

_ADDRESS = re.compile(r"0x[0-9a-f]{6,}")


def program_digest(apply: Callable[..., Any], params: Any, shape: tuple[int, ...]) -> str | None:
    """Of a function ``apply(params, x)`` of JAX: its program for the CPU, and its weights.

    None where it calls back into Python, or cannot be lowered for a CPU.
    """
    image = jax.ShapeDtypeStruct(shape, np.float32)

    def run(params: Any, x: Any) -> Any:
        return apply(params, x)

    try:
        # For one platform, so that machines of all kinds agree.
        text = jax.jit(run).trace(params, image).lower(lowering_platforms=("cpu",)).as_text()
    except Exception:
        return None
    if "callback" in text:
        return None
    whole = hashlib.sha256(text.encode())
    for path, leaf in jax.tree_util.tree_leaves_with_path(params):
        if jnp.issubdtype(getattr(leaf, "dtype", np.float32), jax.dtypes.prng_key):
            leaf = jax.random.key_data(leaf)
        value = np.asarray(leaf)
        whole.update(f"{jax.tree_util.keystr(path)}{value.dtype}{value.shape}".encode())
        whole.update(np.ascontiguousarray(value).tobytes())
    return whole.hexdigest()


def module_digest(module: Any) -> str | None:
    """Of a module of PyTorch; None where its tensors have no plain bytes."""
    whole = hashlib.sha256(_ADDRESS.sub("", str(module)).encode())
    for kind in sorted({type(one) for one in module.modules()}, key=_full_name):
        whole.update(_full_name(kind).encode())
        # What PyTorch itself brings changes with its version, not with its user.
        if not kind.__module__.startswith("torch."):
            for name in sorted(vars(kind)):
                code = getattr(vars(kind)[name], "__code__", None)
                if code is not None:
                    whole.update(name.encode())
                    _add_code(whole, code)
    try:
        tensors = dict(module.state_dict()) | dict(module.named_buffers())
        for name in sorted(tensors):
            value = tensors[name].detach().cpu().contiguous()
            whole.update(f"{name}{value.dtype}{tuple(value.shape)}".encode())
            whole.update(value.reshape(-1).view(_bytes_of(value)).numpy().tobytes())
    # Sparse and quantised tensors, and those that are on no device, refuse in ways of their own.
    except Exception:
        return None
    return whole.hexdigest()


def _bytes_of(tensor: Any) -> Any:
    import importlib

    # By name: this package does not depend on PyTorch.
    return importlib.import_module("torch").uint8


def _full_name(kind: type) -> str:
    return f"{kind.__module__}.{kind.__qualname__}"


def _add_code(whole: Any, code: CodeType) -> None:
    """Instructions, names and constants; not where the code stands."""
    whole.update(code.co_code)
    whole.update(" ".join(code.co_names).encode())
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            _add_code(whole, constant)
        elif isinstance(constant, str | int | float | bool | tuple | bytes):
            whole.update(repr(constant).encode())
