"""Values deeper than eight bits: one rule for a whole image set, and nothing is clipped.

=========================  ===================================================================
stored values              become
=========================  ===================================================================
unsigned, 16 bits          ``round(value / 257)``, so that 65535 is white
floats                     ``round(255 value)``; they must lie within [0, 1]
signed, or 32 bits         refused: nothing says which value is white
any, with a value range    ``round(255 (value - low) / (high - low))``; they must lie within it
=========================  ===================================================================

The rule never looks at the largest value of a picture: two pictures that are one grey level apart
stay so.
"""

from __future__ import annotations

import math

import numpy as np

from mgm_jax.errors import InputError

#: Two values: the one that becomes black and the one that becomes white.
ValueRange = tuple[float, float]

# Depth of 16 bits to that of 8: 65535 becomes 255.
_SIXTEEN_TO_EIGHT = 257.0


def check_value_range(value_range: ValueRange | None) -> ValueRange | None:
    """The range as two floats.

    Raises:
        InputError: not two finite numbers, the first below the second.
    """
    if value_range is None:
        return None
    try:
        low, high = (float(one) for one in value_range)
        if math.isfinite(low) and math.isfinite(high) and low < high:
            return low, high
    except (TypeError, ValueError):
        pass
    raise InputError(
        "value_range must be two numbers, the value of black and the larger one of white; "
        f"got {value_range!r}."
    )


def deep_to_bytes(
    values: np.ndarray, *, name: str, value_range: ValueRange | None = None
) -> np.ndarray:
    """Bytes of values deeper than eight bits, by the rule of this module.

    Args:
        values: integers of more than eight bits, or floats.
        name: what an error calls the image.
        value_range: the values of black and white, where the numbers do not say.

    Returns:
        uint8, of the same shape.

    Raises:
        InputError: values outside of the range, or of a type that states none.
    """
    if value_range is None:
        if values.dtype == np.uint16:
            return np.round(values / _SIXTEEN_TO_EIGHT).astype(np.uint8)
        if values.dtype.kind != "f":
            raise InputError(
                f"{name}: {_kind(values.dtype)} do not say which is white; got "
                f"{_span(values)}. Give value_range: [black, white] for the image set, or store "
                "8 or unsigned 16 bits."
            )
    low, high = value_range or (0.0, 1.0)
    inside = np.isfinite(values).all() and values.min(initial=high) >= low
    if not inside or values.max(initial=low) > high:
        raise InputError(
            f"{name}: {_kind(values.dtype)} must be finite and within [{low:g}, {high:g}]; got "
            f"{_span(values)}. Scale them, or give value_range: [black, white] for the image set."
        )
    scaled = (values.astype(np.float64) - low) * (255.0 / (high - low))
    return np.round(scaled).astype(np.uint8)


def _kind(dtype: np.dtype) -> str:
    kinds = {"f": "floating-point pixels", "i": "signed integers", "u": "unsigned integers"}
    return f"{kinds.get(dtype.kind, 'pixels')} of {8 * dtype.itemsize} bits"


def _span(values: np.ndarray) -> str:
    finite = values[np.isfinite(values)]
    if not finite.size:
        return "no finite value"
    others = "" if finite.size == values.size else f" and {values.size - finite.size} not finite"
    return f"{finite.min():g} to {finite.max():g}{others}"
