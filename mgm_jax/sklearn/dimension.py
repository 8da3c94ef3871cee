"""Intrinsic dimension as estimators with ``fit``."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.base import BaseEstimator
from sklearn.utils.validation import validate_data

from mgm_jax.geometry.cloud.dimensions import intrinsic_dimension
from mgm_jax.geometry.points.tensors import off_torch


class _Dimension(BaseEstimator):
    """Fits one estimator of ``mgm.intrinsic_dimension``; subclasses name it and its options."""

    level: float

    def fit(self, X: Any, y: Any = None) -> _Dimension:
        """Estimate the dimension of a cloud.

        Args:
            X: points ``[n, d]``; distances are Euclidean.
            y: not looked at.

        Raises:
            InputError: unusable points, or too few distinct ones.
        """
        points = validate_data(
            self, off_torch(X, name="X"), dtype=[np.float64, np.float32], ensure_min_samples=2
        )
        result = intrinsic_dimension(points, level=self.level, **self._options(len(points)))
        self.dimension_ = float(result.dimension[0])
        self.low_, self.high_ = float(result.low[0]), float(result.high[0])
        return self

    def _options(self, n: int) -> dict[str, Any]:
        raise NotImplementedError


class TwoNN(_Dimension):
    """Dimension from the two nearest neighbours (Facco et al. 2017); see ``mgm.two_nn``.

    Args:
        level: coverage of the interval.

    Attributes:
        dimension_: the estimate; NaN where the points allow none.
        low_: lower end of its interval.
        high_: upper end.

    Example:
        >>> square = np.random.default_rng(0).random((500, 2))
        >>> bool(abs(TwoNN().fit(square).dimension_ - 2) < 0.3)
        True
    """

    def __init__(self, *, level: float = 0.95) -> None:
        self.level = level

    def _options(self, n: int) -> dict[str, Any]:
        return {"estimators": ("two_nn",)}


class LevinaBickel(_Dimension):
    """Dimension by maximum likelihood, averaged over the points; see ``mgm.levina_bickel``.

    Args:
        k: neighbours a point; None takes 20, or all others of fewer points.
        level: coverage of the interval.

    Attributes:
        dimension_: the estimate; NaN where the points allow none.
        low_: lower end of its interval.
        high_: upper end.

    Example:
        >>> square = np.random.default_rng(0).random((500, 2))
        >>> bool(abs(LevinaBickel().fit(square).dimension_ - 2) < 0.3)
        True
    """

    def __init__(self, *, k: int | None = None, level: float = 0.95) -> None:
        self.k = k
        self.level = level

    def _options(self, n: int) -> dict[str, Any]:
        return {"estimators": ("levina_bickel",), "k": min(20, n - 1) if self.k is None else self.k}


class Gride(_Dimension):
    """Dimension from the n1-th and the 2 n1-th neighbour (Denti et al. 2022), at one scale.

    Args:
        n1: the nearer neighbour; the larger, the coarser the scale.
        level: coverage of the interval.

    Attributes:
        dimension_: the estimate; NaN where the points allow none.
        low_: lower end of its interval.
        high_: upper end.

    Example:
        >>> square = np.random.default_rng(0).random((500, 2))
        >>> bool(abs(Gride().fit(square).dimension_ - 2) < 0.3)
        True
    """

    def __init__(self, *, n1: int = 2, level: float = 0.95) -> None:
        self.n1 = n1
        self.level = level

    def _options(self, n: int) -> dict[str, Any]:
        return {"estimators": ("gride",), "scales": (self.n1,)}
