"""Tensors of PyTorch: NumPy refuses those with gradients, on a device, or of bfloat16."""

from __future__ import annotations

from typing import Any


def is_tensor(x: Any) -> bool:
    """Whether an object is a dense tensor of PyTorch, which is not imported for that."""
    return all(hasattr(x, one) for one in ("detach", "cpu", "layout")) and (
        str(x.layout) == "torch.strided"
    )


def off_torch(values: Any) -> Any:
    """A dense tensor of PyTorch as a NumPy array, bfloat16 as float32; anything else as it is.

    >>> off_torch([1, 2])
    [1, 2]
    """
    if not is_tensor(values):
        return values
    held = values.detach().cpu()
    # NumPy has no such type, and float32 holds all of its values.
    return (held.float() if str(held.dtype) == "torch.bfloat16" else held).numpy()
