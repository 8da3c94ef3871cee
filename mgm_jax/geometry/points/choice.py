"""A seeded choice of points."""

from __future__ import annotations

import numpy as np

from mgm_jax.whole_numbers import seeded


def choose_rows(n: int, count: int, *, seed: int | np.random.Generator) -> np.ndarray:
    """``count`` of ``n`` rows at random, none twice, ascending; all where there are no more.

    Args:
        n: number of rows.
        count: how many to choose.
        seed: of the choice, or the generator that makes it.

    Example:
        >>> choose_rows(3, 5, seed=0).tolist()
        [0, 1, 2]
    """
    return np.sort(seeded(seed).permutation(n)[:count])
