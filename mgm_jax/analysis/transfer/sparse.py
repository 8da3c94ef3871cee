"""Lasso and elastic net with a nested choice of the penalty, by scikit-learn."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np

# Penalties tried, and the smallest as a share of the largest, at which no feature is left.
_PENALTIES = 20
_SMALLEST = 1e-3

# More inner splits than this cost time without telling penalties apart.
_MAX_INNER = 5


@dataclass(frozen=True, kw_only=True)
class Sparse:
    """``min_b |y - a - X b|^2 / 2t + penalty * (share * |b|_1 + (1 - share) / 2 * |b|^2)``.

    The penalty with the smallest squared error over the inner splits is taken, the larger one of
    equals; where there are more than five inner splits, they are joined to five.

    Attributes:
        share: of the absolute values in the penalty: 1 is the lasso.
    """

    share: float

    def predict(
        self, train: np.ndarray, held: np.ndarray, targets: np.ndarray, *, inner: np.ndarray
    ) -> np.ndarray:
        """Predictions ``[s, h, c]`` for held-out rows; arguments as for ``Ridge.predict``."""
        predicted = []
        for number, (x, new) in enumerate(zip(train, held, strict=True)):
            scaled, mean, scale = _standardise(x)
            own = targets[number] if targets.ndim == 3 else targets
            weights = self._fit_all(scaled, own, inner)
            predicted.append(own.mean(0) + ((new - mean) / scale) @ weights)
        return np.stack(predicted)

    def coefficients(self, x: np.ndarray, targets: np.ndarray, *, inner: np.ndarray) -> np.ndarray:
        """Change of the target for one standard deviation of each feature, ``[s, p, c]``."""
        weights = [
            self._fit_all(
                _standardise(own)[0], targets[number] if targets.ndim == 3 else targets, inner
            )
            for number, own in enumerate(x)
        ]
        return np.stack(weights)

    def _fit_all(self, x: np.ndarray, targets: np.ndarray, inner: np.ndarray) -> np.ndarray:
        splits = _few_splits(inner)
        return np.stack([self._fit(x, target, splits) for target in targets.T], axis=1)

    def _fit(self, x: np.ndarray, target: np.ndarray, splits: np.ndarray) -> np.ndarray:
        centred = target - target.mean()
        largest = np.abs(x.T @ centred).max() / len(x) / self.share
        if largest <= 0:
            return np.zeros(x.shape[1])
        penalties = largest * np.geomspace(1, _SMALLEST, _PENALTIES)
        errors = np.zeros(_PENALTIES)
        for split in np.unique(splits):
            train, held = splits != split, splits == split
            mean, offset = x[train].mean(0), target[train].mean()
            path = self._path(x[train] - mean, target[train] - offset, penalties)
            missed = target[held, None] - offset - (x[held] - mean) @ path
            errors += (missed**2).sum(0)
        kept = penalties[: errors.argmin() + 1]
        return self._path(x, centred, kept)[:, -1]

    def _path(self, x: np.ndarray, target: np.ndarray, penalties: np.ndarray) -> np.ndarray:
        from sklearn import linear_model

        # Its annotations know the default of alphas alone.
        enet_path: Any = linear_model.enet_path

        with warnings.catch_warnings():
            # With more features than models the last digits converge slowly and decide nothing.
            warnings.simplefilter("ignore")
            _, path, _ = enet_path(x, target, l1_ratio=self.share, alphas=penalties)
        return path


def _few_splits(inner: np.ndarray) -> np.ndarray:
    _, codes = np.unique(inner, return_inverse=True)
    return codes % _MAX_INNER


def _standardise(x: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    from sklearn.preprocessing import StandardScaler

    scaler = StandardScaler().fit(x)
    return np.asarray(scaler.transform(x)), np.asarray(scaler.mean_), np.asarray(scaler.scale_)
