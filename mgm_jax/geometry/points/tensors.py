"""Tensors of PyTorch: NumPy refuses those with gradients, on a device, or of types of its own."""

from __future__ import annotations

from typing import Any

from mgm_jax.errors import InputError


def is_tensor(x: Any) -> bool:
    """Whether an object is a tensor of PyTorch, which is not imported for that."""
    return all(hasattr(x, one) for one in ("detach", "cpu", "layout"))


def off_torch(values: Any, *, name: str = "a tensor") -> Any:
    """A tensor of PyTorch as a NumPy array; anything else as it is.

    Types that NumPy has not (bfloat16, float8, quantised ones) become float32, which holds all of
    their values.

    Args:
        values: anything.
        name: what the caller names the argument, for the error message.

    Raises:
        InputError: a tensor that has no rows of numbers: sparse or nested, or on the device
            ``meta``.

    >>> off_torch([1, 2])
    [1, 2]
    """
    if not is_tensor(values):
        return values
    try:
        held = values.detach().cpu()
        if getattr(held, "is_quantized", False):
            held = held.dequantize()
        try:
            return held.numpy()
        except TypeError:
            return held.float().numpy()
    except (NotImplementedError, RuntimeError, TypeError) as error:
        said = str(error).splitlines()[0]
        raise InputError(
            f"{name} must be a dense tensor with values; got {values.dtype} of layout "
            f"{values.layout} on {values.device}, of which PyTorch makes no array: {said} "
            "Call to_dense() or to_padded_tensor() on it, or load its weights, first."
        ) from error
