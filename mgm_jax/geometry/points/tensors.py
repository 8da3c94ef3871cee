"""Tensors of PyTorch: NumPy refuses those with gradients, on a device, or of bfloat16."""

from __future__ import annotations

from typing import Any


def off_torch(values: Any) -> Any:
    """A tensor of PyTorch as a NumPy array, bfloat16 as float32; anything else as it is.

    PyTorch itself is not imported.

    >>> off_torch([1, 2])
    [1, 2]
    """
    if not (type(values).__module__.partition(".")[0] == "torch" and hasattr(values, "detach")):
        return values
    held = values.detach().cpu()
    return (held.float() if str(held.dtype) == "torch.bfloat16" else held).numpy()
