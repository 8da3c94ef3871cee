"""Ridge regression with a nested choice of the penalty, for many targets and feature sets at once.

One eigendecomposition of a fold's Gram matrix serves every penalty, every target and, by the
closed form of leaving out, every inner split. So a thousand permutations cost one matrix product.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

# Values of the largest array that one step makes: 512 KB of float64 stay in the cache, which
# measured 3 to 5 times as fast as 64 MB.
_AT_ONCE = 2**16

# A column whose spread is rounding of its size is constant, as in scikit-learn's scaler.
_ROUNDING = 10 * np.finfo(np.float64).eps


@dataclass(frozen=True, kw_only=True)
class Ridge:
    """``min_b |y - a - X b|^2 / t + penalty * |b|^2`` on t standardised rows.

    Attributes:
        penalties: to choose from; the one with the smallest squared error over the inner splits
            is taken, the larger one of equals.
    """

    penalties: tuple[float, ...] = tuple(float(p) for p in np.logspace(-3, 4, 15))

    def predict(
        self, train: np.ndarray, held: np.ndarray, targets: np.ndarray, *, inner: np.ndarray
    ) -> np.ndarray:
        """Predictions for held-out rows.

        Args:
            train: features to learn from, ``[s, t, p]``: s sets of p features.
            held: features of the rows to predict, ``[s, h, p]``.
            targets: ``[t, c]``, or ``[s, t, c]`` where each set has its own.
            inner: rows of one code are left out together to choose the penalty, ``[t]``.

        Returns:
            ``[s, h, c]``.
        """
        parts = []
        for at in _slices(len(train), len(self.penalties) * train.shape[1] ** 2):
            x, mean, scale = _standardise(train[at])
            own = _of_sets(targets, at)
            dual, _ = self._dual(x, own, inner)
            cross = ((held[at] - mean) / scale) @ x.swapaxes(1, 2)
            parts.append(own.mean(-2, keepdims=True) + cross @ dual)
        return np.concatenate(parts)

    def coefficients(self, x: np.ndarray, targets: np.ndarray, *, inner: np.ndarray) -> np.ndarray:
        """Change of the target for one standard deviation of each feature.

        Args:
            x: features ``[s, t, p]``.
            targets: ``[t, c]`` or ``[s, t, c]``.
            inner: rows of one code are left out together to choose the penalty, ``[t]``.

        Returns:
            ``[s, p, c]``.
        """
        parts = []
        for at in _slices(len(x), len(self.penalties) * x.shape[1] ** 2):
            scaled, _, _ = _standardise(x[at])
            dual, _ = self._dual(scaled, _of_sets(targets, at), inner)
            parts.append(scaled.swapaxes(1, 2) @ dual)
        return np.concatenate(parts)

    def _dual(
        self, x: np.ndarray, targets: np.ndarray, inner: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Weights ``[s, t, c]`` of the rows in b = X' weights, and the chosen penalties."""
        rows = x.shape[1]
        # Largest first: of equal errors argmin takes the first, the smoother fit.
        penalties = rows * np.sort(np.asarray(self.penalties))[::-1]
        values, vectors = np.linalg.eigh(x @ x.swapaxes(1, 2))
        values = np.maximum(values, 0)
        # The columns of x are centred, so the intercept adds 1/t to the smoother and no more.
        shrunk = values[:, None] / (values[:, None] + penalties[:, None])
        fitted = (vectors[:, None] * shrunk[:, :, None]) @ vectors[:, None].swapaxes(2, 3)
        left = _leave_out(np.eye(rows) - 1 / rows - fitted, inner)
        rotated = vectors.swapaxes(1, 2) @ targets
        dual = np.empty(rotated.shape)
        chosen = np.empty((len(x), targets.shape[-1]))
        for at in _slices(targets.shape[-1], left.size // rows):
            missed = left @ targets[..., None, :, at]
            errors = np.einsum("satc,satc->sac", missed, missed)
            chosen[:, at] = penalties[errors.argmin(1)]
            dual[..., at] = rotated[..., at] / (values[:, :, None] + chosen[:, None, at])
        return vectors @ dual, chosen


def _leave_out(residual: np.ndarray, codes: np.ndarray) -> np.ndarray:
    """Turn operators y -> residuals ``[s, a, t, t]`` into y -> residuals when left out.

    A ridge fit without the rows g misses them by (I - H_gg)^-1 times what the fit with them does.
    """
    left = np.empty_like(residual)
    for code in np.unique(codes):
        rows = np.flatnonzero(codes == code)
        if len(rows) == 1:
            row = rows[0]
            left[:, :, row] = residual[:, :, row] / residual[:, :, row, row, None]
        else:
            within = residual[:, :, rows[:, None], rows]
            left[:, :, rows] = np.linalg.solve(within, residual[:, :, rows])
    return left


def _standardise(x: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Columns at mean 0 and standard deviation 1, constant ones at 0; and the mean and scale."""
    mean = x.mean(1, keepdims=True)
    scale = x.std(1, keepdims=True)
    constant = scale <= _ROUNDING * np.abs(x).max(1, keepdims=True)
    scale = np.where(constant, 1.0, scale)
    return np.where(constant, 0.0, (x - mean) / scale), mean, scale


def _of_sets(targets: np.ndarray, at: slice) -> np.ndarray:
    return targets[at] if targets.ndim == 3 else targets[None]


def _slices(count: int, each: int) -> list[slice]:
    """Parts of ``count`` items of ``each`` values that stay within the memory of one step."""
    step = max(1, _AT_ONCE // max(1, each))
    return [slice(start, start + step) for start in range(0, count, step)]
