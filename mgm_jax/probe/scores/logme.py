"""LogME: how likely a Bayesian linear model finds the labels, given the features.

For one target the evidence depends on the precisions of weights (a) and noise (b). Given their
ratio t = a / b the best b is known, ``b = n / Q(t)`` with ``Q(t) = y' (I + F F' / t)^-1 y``, so
that a function of log t alone is left to maximise:

``-n/2 log Q(t) - 1/2 sum_i log(1 + s_i / t)``, s the squared singular values of F.

It may have several maxima (one where a single strong direction is fitted, another where all are),
and an iteration finds the one that it starts near. But it is smooth: as a function of a complex log
t it has no singularity nearer to the real axis than pi, so a grid of steps of 0.1 brackets every
maximum that is more than 1e-5 above its surroundings, and each bracket is closed by golden section.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from mgm_jax.probe.labelled import check_labelled

_STEP = 0.1
# A target within the span of the features would be fitted without error, at infinite evidence:
# this share of its squared length counts as noise at least.
_MIN_NOISE = 1e-12
# How far the grid reaches beyond the squared singular values, as factors. Below, noise of the share
# above decides; above, the features are shrunk to nothing.
_BELOW, _ABOVE = 1e-20, 1e6
# Golden sections of a bracket of two steps: 0.2 becomes 1e-7; the error of the maximum, its square.
_SECTIONS = 30
_GOLDEN = (5**0.5 - 1) / 2
# Values of the largest array of one step.
_AT_ONCE = 2**22


def logme(x: Any, labels: Any) -> float:
    """Logarithm of maximum evidence, a sample, mean over classes (You et al. 2021).

    For each class, with y its indicator ``[n]`` and F the features, the evidence of
    ``y ~ N(F w, 1/b)``, ``w ~ N(0, 1/a)`` is

    ``n/2 log b + d/2 log a - n/2 log 2 pi - b/2 |F m - y|^2 - a/2 |m|^2 - 1/2 log|a I + b F'F|``,

    at its global maximum over a and b; m is the posterior mean. It is divided by n. Everything
    comes from one singular value decomposition. The fixed point of You et al. is a local maximum,
    and where one direction dominates (an offset, a massive activation) not always this one.

    Args:
        x: features ``[n, d]``, NumPy or JAX, not centred; constant columns are left out.
        labels: one integer or string a row.

    Returns:
        Higher where the features explain the labels better; unbounded. It does not change with
        the scale of the features, or with rotation. Features without information score what the
        prior alone scores. A target that the features fit exactly counts as if 1e-12 of its
        squared length were noise.

    Raises:
        InputError: unusable features or labels.

    Reference:
        K. You et al., "LogME: practical assessment of pre-trained models for transfer learning",
        ICML 2021, equation 2.

    Example:
        >>> x = np.array([[0.0, 1.0], [0.1, 1.0], [1.0, 0.0], [1.0, 0.1]])
        >>> logme(x, [0, 0, 1, 1]) > logme(x, [0, 1, 0, 1])
        True
    """
    data = check_labelled(x, labels)
    left, singular, _ = np.linalg.svd(data.x, full_matrices=False)
    largest = singular.max(initial=0.0)
    real = singular > largest * max(data.x.shape) * np.finfo(np.float64).eps
    squared = (singular[real] / (largest or 1.0)) ** 2
    indicator = np.eye(len(data.classes))[data.codes]
    inside = (left[:, real].T @ indicator) ** 2
    total = data.sizes.astype(np.float64)
    outside = np.maximum(total - inside.sum(axis=0), _MIN_NOISE * total)
    n = len(data.codes)
    best = _largest_evidence(squared, inside, outside, n=n)
    constant = 0.5 * (np.log(n) - 1 - np.log(2 * np.pi))
    return float((best / n + constant).mean())


def _largest_evidence(
    squared: np.ndarray, inside: np.ndarray, outside: np.ndarray, *, n: int
) -> np.ndarray:
    """Maximum over t of ``-n/2 log Q(t) - 1/2 sum log(1 + s / t)``, target by target, ``[c]``.

    Args:
        squared: squared singular values of the features ``[r]``, the largest 1.
        inside: squared coordinates of the targets along the left singular vectors ``[r, c]``.
        outside: squared length of what is left of each target ``[c]``, above 0.
        n: samples.
    """
    # Weights of nothing: the features do not help at all.
    best = -n / 2 * np.log(inside.sum(axis=0) + outside)
    if not squared.size:
        return best
    first, last = np.log(squared.min() * _BELOW), np.log(_ABOVE)
    grid = np.linspace(first, last, 1 + int(np.ceil((last - first) / _STEP)))
    ratios = np.exp(grid)[:, None]
    kept = ratios / (ratios + squared)
    misfit = kept @ inside + outside
    values = -n / 2 * np.log(misfit) + 0.5 * _log_of_kept(ratios, squared)[:, None]
    best = np.maximum(best, values.max(axis=0))
    peaks = (values[1:-1] >= values[:-2]) & (values[1:-1] > values[2:])
    positions, targets = np.nonzero(peaks)
    at_once = max(1, _AT_ONCE // squared.size)
    for start in range(0, positions.size, at_once):
        batch = slice(start, start + at_once)
        own = targets[batch]
        refined = _climb(
            grid[positions[batch]],
            grid[positions[batch] + 2],
            squared,
            inside.T[own],
            outside[own],
            n=n,
        )
        np.maximum.at(best, own, refined)
    return best


def _climb(
    low: np.ndarray,
    high: np.ndarray,
    squared: np.ndarray,
    inside: np.ndarray,
    outside: np.ndarray,
    *,
    n: int,
) -> np.ndarray:
    """Maximum of each bracket ``[p]`` of log t by golden section; ``inside`` is ``[p, r]``."""

    def value(at: np.ndarray) -> np.ndarray:
        ratios = np.exp(at)[:, None]
        misfit = (ratios / (ratios + squared) * inside).sum(axis=1) + outside
        return -n / 2 * np.log(misfit) + 0.5 * _log_of_kept(ratios, squared)

    left, right = high - _GOLDEN * (high - low), low + _GOLDEN * (high - low)
    at_left, at_right = value(left), value(right)
    for _ in range(_SECTIONS):
        lower = at_left >= at_right
        low, high = np.where(lower, low, left), np.where(lower, right, high)
        new = np.where(lower, high - _GOLDEN * (high - low), low + _GOLDEN * (high - low))
        at_new = value(new)
        left, right = np.where(lower, new, right), np.where(lower, left, new)
        at_left, at_right = np.where(lower, at_new, at_right), np.where(lower, at_left, at_new)
    return np.maximum(at_left, at_right)


def _log_of_kept(ratios: np.ndarray, squared: np.ndarray) -> np.ndarray:
    """``-sum_i log(1 + s_i / t)`` of ratios ``[p, 1]``, ``[p]``."""
    return -np.log1p(squared / ratios).sum(axis=1)
