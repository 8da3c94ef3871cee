"""One row an image from rows, tokens and maps of any layout."""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
import numpy as np

from mgm_jax.errors import InputError

#: What the array of a callable that gives one array is called.
OUTPUT = "output"


def named(output: Any) -> dict[str, Any]:
    """The arrays of an answer by name: those of a mapping, or the one array as :data:`OUTPUT`."""
    if not hasattr(output, "items"):
        return {OUTPUT: output}
    return {str(name): value for name, value in output.items() if hasattr(value, "shape")}


def pooled_axes(shape: tuple[int, ...], *, batch: int, what: str) -> tuple[int, ...]:
    """The axes that are averaged to get one row an image.

    Tokens ``[b, t, d]`` are averaged over ``t``. Images are square, so the two equal axes of a map
    are its positions, wherever its channels stand.

    Raises:
        InputError: no batch of rows, tokens or maps, or a map whose channels cannot be told from
            its positions.

    >>> pooled_axes((2, 512, 7, 7), batch=2, what=""), pooled_axes((2, 7, 7, 9), batch=2, what="")
    ((2, 3), (1, 2))
    """
    if not 2 <= len(shape) <= 4 or shape[0] != batch or 0 in shape:
        raise InputError(
            f"fn: expected {what} to be an array [b, d], [b, t, d], [b, h, w, d] or [b, d, h, w] "
            f"of {batch} images, got shape {shape}; return the array that shall be measured"
        )
    if len(shape) < 4:
        return (1,) if len(shape) == 3 else ()
    last, first = shape[1] == shape[2], shape[2] == shape[3]
    if last == first and max(shape[1:]) > 1:
        raise InputError(
            f"fn: {what} has shape {shape}, in which channels cannot be told from positions; "
            "return its mean over the positions, [b, d], or take another size"
        )
    return (1, 2) if last else (2, 3)


def pooled(value: Any, *, batch: int, what: str, class_token: bool = False) -> Any:
    """One float32 row an image ``[b, d]``, of an array of JAX or NumPy.

    Args:
        value: rows, tokens or maps.
        batch: how many images they are of.
        what: name of the layer, for messages.
        class_token: take the first token instead of the mean of all.
    """
    if not hasattr(value, "shape"):
        raise InputError(
            f"fn: expected {what} to be an array of {batch} images, got {type(value).__name__}; "
            "return the array that shall be measured"
        )
    axes = pooled_axes(tuple(value.shape), batch=batch, what=what)
    library = np if isinstance(value, np.ndarray) else jnp
    row = library.asarray(value, library.float32)
    if class_token and row.ndim == 3:
        return row[:, 0]
    return row.mean(axis=axes) if axes else row
