"""Whole numbers that users hand over: Python's, NumPy's and JAX's, and nothing else."""

from __future__ import annotations

import operator
from typing import Any

import numpy as np

from mgm_jax.errors import InputError


def whole_number(value: Any, *, name: str, least: int = 1) -> int:
    """Return a whole number as an int, or say what is wrong with it.

    Args:
        value: an integer of Python, NumPy or JAX, also as an array without axes.
        name: what the caller names the argument, for the error message.
        least: smallest value that will do.

    Raises:
        InputError: a boolean, a float (whole or not), anything else, or a value below ``least``.

    Example:
        >>> import numpy as np
        >>> whole_number(np.int64(3), name="k")
        3
    """
    try:
        number = None if isinstance(value, bool) else operator.index(value)
    except TypeError:
        number = None
    if number is None or number < least:
        raise InputError(f"{name} must be a whole number of at least {least}; got {value!r}.")
    return number


def seeded(seed: Any) -> np.random.Generator:
    """Return NumPy's generator for a seed, or say what is wrong with the seed.

    Args:
        seed: a whole number of at least 0, or a generator, which is returned as it is. None is
            refused: what it draws nobody could draw again.

    Raises:
        InputError: anything else.

    Example:
        >>> int(seeded(0).integers(100))
        85
    """
    if isinstance(seed, np.random.Generator):
        return seed
    return np.random.default_rng(whole_number(seed, name="seed", least=0))
