"""Intervals over two levels: the seeds of an encoder, and the groups of images below them."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from mgm_jax.intervals import percentile_interval


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """A mean with its interval.

    Attributes:
        value: mean over seeds of the means over groups.
        low: lower end of the interval; NaN where one seed and one group give no spread.
        high: upper end of the interval.
        seeds: number of seeds that the mean is over.
        groups: number of groups that the mean is over; 1 for a value of the whole model.
    """

    value: float
    low: float
    high: float
    seeds: int
    groups: int


@dataclass(frozen=True, kw_only=True)
class GroupDraws:
    """Group numbers of every resample, shared by all families so that they stay paired.

    Attributes:
        groups: [r, g] rows of the g group numbers, drawn with replacement.
    """

    groups: np.ndarray

    @classmethod
    def make(cls, groups: int, *, resamples: int, generator: np.random.Generator) -> GroupDraws:
        """Draw ``resamples`` times ``groups`` numbers below ``groups``."""
        return cls(groups=generator.integers(0, groups, (resamples, groups)))


def resample_means(
    values: np.ndarray, draws: GroupDraws, *, generator: np.random.Generator
) -> np.ndarray:
    """Means [r] of ``values`` [s, g] as other groups and other seeds would have given them.

    Groups are resampled (``draws``). Seeds are too few for that: the bootstrap of three values
    covers the mean in 73 % of cases where 95 % are promised. So the seeds of each resample enter
    through Student's t: mean + t * deviation / sqrt(s), with t drawn with s - 1 degrees of
    freedom. NaN entries are left out of the means.
    """
    seeds = values.shape[0]
    # [s, r]: each seed's mean over the groups of each resample.
    seed_means = _nan_mean(values[:, draws.groups], axis=2)
    centre = _nan_mean(seed_means, axis=0)
    if seeds == 1:
        return centre
    deviation = np.sqrt(_nan_mean((seed_means - centre) ** 2, axis=0) * seeds / (seeds - 1))
    student = generator.standard_t(seeds - 1, draws.groups.shape[0])
    return centre + student * deviation / math.sqrt(seeds)


def estimate(values: np.ndarray, means: np.ndarray, *, level: float) -> Estimate:
    """The mean of ``values`` [s, g] with the percentile interval of the resampled ``means``."""
    seeds, groups = values.shape
    low, high = percentile_interval(means, level=level)
    if seeds * groups == 1:
        low = high = float("nan")
    return Estimate(value=grand_mean(values), low=low, high=high, seeds=seeds, groups=groups)


def grand_mean(values: np.ndarray) -> float:
    """Mean over seeds of the means over groups, NaN entries left out."""
    return float(_nan_mean(_nan_mean(values, axis=1), axis=0))


def _nan_mean(values: np.ndarray, *, axis: int) -> np.ndarray:
    """Mean over an axis without its NaN entries; NaN, silently, where there are only those."""
    present = np.isfinite(values)
    count = present.sum(axis)
    total = np.where(present, values, 0.0).sum(axis)
    return np.where(count > 0, total / np.maximum(count, 1), np.nan)
