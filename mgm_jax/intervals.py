"""Intervals: the ends of what draws gave, the bootstrap of a mean, Student's t over seeds."""

from __future__ import annotations

from typing import Any

import numpy as np

from mgm_jax.errors import InputError

_VALUES_AT_ONCE = 2**22


def check_level(level: float) -> None:
    """Raise InputError where ``level`` is no coverage of an interval."""
    if not 0 < level < 1:
        raise InputError(f"level must be between 0 and 1; got {level}.")


def percentile_interval(draws: np.ndarray, *, level: float) -> tuple[float, float]:
    """The middle ``level`` of the draws ``[r]``, those left out that are undefined.

    Returns:
        Its ends; NaN where no draw is finite.

    Example:
        >>> percentile_interval(np.arange(101.0), level=0.5)
        (25.0, 75.0)
    """
    finite = draws[np.isfinite(draws)]
    if not finite.size:
        return float("nan"), float("nan")
    low, high = np.quantile(finite, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


def bootstrap_interval(
    observed: np.ndarray, *, resamples: int, seed: int, level: float
) -> tuple[float, float]:
    """Percentile bootstrap interval of the mean of observations ``[g]``.

    Returns:
        Its ends; NaN where there are fewer than two observations.
    """
    if observed.size < 2:
        return float("nan"), float("nan")
    random = np.random.default_rng(seed)
    per_draw = max(1, _VALUES_AT_ONCE // observed.size)
    means = np.concatenate(
        [
            observed[
                random.integers(observed.size, size=(min(per_draw, resamples - at), observed.size))
            ].mean(axis=1)
            for at in range(0, resamples, per_draw)
        ]
    )
    return percentile_interval(means, level=level)


def student_reach(deviation: Any, seeds: Any, *, level: float) -> Any:
    """How far Student's t reaches to both sides of a mean over seeds.

    Args:
        deviation: standard deviation over the seeds (with n - 1); a number or a column.
        seeds: how many there are, at least 2; alike.
        level: coverage, in (0, 1).

    Example:
        >>> round(float(student_reach(1.0, 4, level=0.95)), 3)
        1.591
    """
    from scipy import stats

    return stats.t.ppf((1 + level) / 2, seeds - 1) * deviation / np.sqrt(seeds)
