"""LogME: how likely a Bayesian linear model finds the labels, given the features."""

from __future__ import annotations

from typing import Any

import numpy as np

from mgm_jax.probe.labelled import check_labelled

_TOLERANCE = 1e-9
_MOST_STEPS = 1000
_TINY, _HUGE = 1e-200, 1e100


def logme(x: Any, labels: Any) -> float:
    """Logarithm of maximum evidence, a sample, mean over classes (You et al. 2021).

    For each class, with y its indicator ``[n]`` and F the features, the evidence of
    ``y ~ N(F w, 1/b)``, ``w ~ N(0, 1/a)`` is

    ``n/2 log b + d/2 log a - n/2 log 2 pi - b/2 |F m - y|^2 - a/2 |m|^2 - 1/2 log|a I + b F'F|``,

    at its maximum over a and b, found by MacKay's fixed point; m is the posterior mean. It is
    divided by n. Everything comes from one singular value decomposition.

    Args:
        x: features ``[n, d]``, NumPy or JAX, not centred; constant columns are left out.
        labels: one integer or string a row.

    Returns:
        Higher where the features explain the labels better; unbounded. Features without
        information score what the prior alone scores.

    Raises:
        InputError: unusable features or labels.

    Reference:
        K. You et al., "LogME: practical assessment of pre-trained models for transfer learning",
        ICML 2021, equation 2 and algorithm 1.

    Example:
        >>> x = np.array([[0.0, 1.0], [0.1, 1.0], [1.0, 0.0], [1.0, 0.1]])
        >>> logme(x, [0, 0, 1, 1]) > logme(x, [0, 1, 0, 1])
        True
    """
    data = check_labelled(x, labels)
    n, d = data.x.shape
    left, singular, _ = np.linalg.svd(data.x, full_matrices=False)
    squared = singular**2
    indicator = np.eye(len(data.classes))[data.codes]
    inside = (left.T @ indicator) ** 2
    total = data.sizes.astype(np.float64)
    outside = np.maximum(total - inside.sum(axis=0), 0)
    evidence = [
        _evidence(squared, inside[:, c], outside[c], n=n, d=d) for c in range(len(data.classes))
    ]
    return float(np.mean(evidence))


def _evidence(squared: np.ndarray, inside: np.ndarray, outside: float, *, n: int, d: int) -> float:
    """Largest evidence a sample, of one target.

    Args:
        squared: squared singular values of the features ``[r]``.
        inside: squared coordinates of the target along the left singular vectors ``[r]``.
        outside: squared length of what is left of the target.
        n: samples.
        d: features.
    """
    # A target within the span of the features would be fitted without error, at infinite
    # evidence; the noise is kept above rounding.
    least = 1e-12 * (inside.sum() + outside) / n
    if not squared.size or squared[0] == 0:
        noise = (inside.sum() + outside) / n
        return -0.5 * (np.log(2 * np.pi * noise) + 1)

    def fit(weight: float, precision: float) -> tuple[float, float, float]:
        """Squared length of the posterior mean, its misfit, and the directions it uses."""
        both = weight + precision * squared
        length = (precision**2 * squared * inside / both**2).sum()
        misfit = ((weight / both) ** 2 * inside).sum() + outside
        return length, misfit, (1 - weight / both).sum()

    # In units of the features, so that the path to the fixed point does not depend on them.
    weight, precision = float(squared.mean()), 1.0
    for _ in range(_MOST_STEPS):
        length, misfit, used = fit(weight, precision)
        # Where the features do not help at all, the prior closes in on zero without end.
        new_weight = min(max(used, _TINY) / max(length, _TINY), _HUGE)
        new_precision = (n - used) / max(misfit, least * n)
        change = abs(np.log(new_weight / new_precision * precision / weight))
        weight, precision = new_weight, new_precision
        if change < _TOLERANCE or weight == _HUGE:
            break
    length, misfit, _ = fit(weight, precision)
    determinant = np.log(weight + precision * squared).sum() + (d - squared.size) * np.log(weight)
    return float(
        n * np.log(precision)
        + d * np.log(weight)
        - n * np.log(2 * np.pi)
        - precision * misfit
        - weight * length
        - determinant
    ) / (2 * n)
