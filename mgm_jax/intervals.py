"""Intervals: the ends of what draws gave, the bootstrap of a mean, Student's t over seeds."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from mgm_jax.errors import InputError
from mgm_jax.whole_numbers import seeded

_VALUES_AT_ONCE = 2**20

# Up to so many observations the resamples are summed one by one, in an order that no library of
# linear algebra chooses: intervals of studies keep their last digit on every machine.
_GATHERED_GROUPS = 2**12


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
    return bootstrap_intervals([observed], resamples=resamples, seed=seed, level=level)[0]


def bootstrap_intervals(
    columns: Sequence[np.ndarray], *, resamples: int, seed: int, level: float
) -> list[tuple[float, float]]:
    """The same of several columns ``[g]`` of observations, each as if it were alone.

    Columns of equal length are drawn equally, so that the draws, which cost most, are made once.

    Example:
        >>> columns = [np.zeros(3), np.ones(3)]
        >>> bootstrap_intervals(columns, resamples=9, seed=0, level=0.5)
        [(0.0, 0.0), (1.0, 1.0)]
    """
    intervals = [(float("nan"), float("nan"))] * len(columns)
    for size in {column.size for column in columns if column.size > 1}:
        alike = [index for index, column in enumerate(columns) if column.size == size]
        values = np.stack([columns[index] for index in alike], axis=1)
        means = _resampled_means(values, resamples=resamples, seed=seed)
        for index, drawn in zip(alike, means.T, strict=True):
            intervals[index] = percentile_interval(drawn, level=level)
    return intervals


def _resampled_means(values: np.ndarray, *, resamples: int, seed: int) -> np.ndarray:
    """Means ``[r, c]`` of resamples of the rows of ``values`` ``[g, c]``."""
    size = len(values)
    random = seeded(seed)
    per_draw = max(1, _VALUES_AT_ONCE // size)
    means = []
    for start in range(0, resamples, per_draw):
        count = min(per_draw, resamples - start)
        drawn = random.integers(size, size=(count, size))
        if size <= _GATHERED_GROUPS:
            means.append(np.stack([column[drawn].mean(axis=1) for column in values.T], axis=1))
            continue
        # How often each row was drawn, and one product instead of a gather a column.
        drawn += np.arange(0, count * size, size)[:, None]
        times = np.bincount(drawn.ravel(), minlength=count * size).reshape(count, size)
        means.append(times.astype(np.float64) @ values / size)
    return np.concatenate(means)


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
