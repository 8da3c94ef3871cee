"""Neighbourhood graphs as transformers: from points to a sparse matrix on the fitted points."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy.sparse import csr_array, csr_matrix
from sklearn.base import BaseEstimator, ClassNamePrefixFeaturesOutMixin, TransformerMixin
from sklearn.utils.validation import check_is_fitted, validate_data

from mgm_jax.geometry.knn.distance import Metric
from mgm_jax.geometry.knn.graph import knn_graph
from mgm_jax.geometry.nnk.among_others import nnk_among
from mgm_jax.geometry.nnk.kernel import KernelName
from mgm_jax.geometry.points.tensors import off_torch
from mgm_jax.whole_numbers import whole_number


class _Graph(ClassNamePrefixFeaturesOutMixin, TransformerMixin, BaseEstimator):
    """Keeps the fitted points; subclasses say how new ones are joined to them."""

    def fit(self, X: Any, y: Any = None) -> _Graph:
        """Keep the points.

        Args:
            X: points ``[n, d]``.
            y: not looked at.
        """
        self._fit_X = validate_data(
            self, off_torch(X, name="X"), dtype=[np.float64, np.float32], ensure_min_samples=2
        )
        self.n_samples_fit_ = len(self._fit_X)
        return self

    @property
    def _n_features_out(self) -> int:
        return self.n_samples_fit_

    def _checked(self, X: Any) -> np.ndarray:
        check_is_fitted(self)
        points: Any = validate_data(
            self, off_torch(X, name="X"), dtype=[np.float64, np.float32], reset=False
        )
        return points

    def _sparse(self, values: np.ndarray, columns: np.ndarray, kept: np.ndarray) -> csr_matrix:
        starts = np.concatenate([[0], np.cumsum(kept.sum(axis=1))])
        shape = (len(values), self.n_samples_fit_)
        return csr_matrix(csr_array((values[kept], columns[kept], starts), shape=shape))


class NNKGraph(_Graph):
    """Non-negative kernel regression weights of points on the fitted ones, exact.

    A point is never its own neighbour: fitted rows that equal it are no candidates of it, and of
    equal fitted rows only the first is one. So ``fit_transform(X)`` is
    ``mgm.nnk_graph(X, duplicates="drop")``, row by row.

    Args:
        k: candidates of a point; None takes 50, or all rows where fewer were fitted.
        kernel: ``"cosine"`` or ``"gaussian"``, as in ``mgm.nnk_graph``.

    Attributes:
        n_samples_fit_: number of fitted points, the columns of the matrix.

    Example:
        >>> x = [[1.0, 0.0], [0.0, 1.0], [1.0, 1.0]]
        >>> NNKGraph().fit_transform(x).toarray().round(2).tolist()
        [[0.0, 0.0, 0.85], [0.0, 0.0, 0.85], [0.57, 0.57, 0.0]]
    """

    def __init__(self, *, k: int | None = None, kernel: KernelName = "cosine") -> None:
        self.k = k
        self.kernel: KernelName = kernel

    def transform(self, X: Any) -> csr_matrix:
        """Weights of every point on the fitted ones, ``[m, n]`` sparse, float64.

        Args:
            X: points ``[m, d]``.

        Raises:
            InputError: unusable points, such as rows of zeros under the cosine.
        """
        points = self._checked(X)
        graph = nnk_among(points, self._fit_X, k=self.k, kernel=self.kernel)
        return self._sparse(graph.weights, graph.indices, graph.weights > 0)


class KNNGraph(_Graph):
    """Distances of points to the nearest of the fitted ones, exact.

    What ``sklearn.neighbors.KNeighborsTransformer`` gives with ``mode="distance"``, so that
    estimators with ``metric="precomputed"`` take it: a point that was fitted is its own first
    neighbour, at distance 0, and has k others.

    Args:
        k: number of neighbours beside the first.
        metric: ``"cosine"``, ``"sqeuclidean"`` or ``"euclidean"``.

    Attributes:
        n_samples_fit_: number of fitted points, the columns of the matrix.

    Example:
        >>> x = [[0.0], [1.0], [3.0]]
        >>> KNNGraph(k=1, metric="euclidean").fit_transform(x).toarray().tolist()
        [[0.0, 1.0, 0.0], [1.0, 0.0, 0.0], [0.0, 2.0, 0.0]]
    """

    def __init__(self, *, k: int = 5, metric: Metric = "cosine") -> None:
        self.k = k
        self.metric: Metric = metric

    def transform(self, X: Any) -> csr_matrix:
        """Distances to the k + 1 nearest fitted points, ``[m, n]`` sparse, nearest first.

        Args:
            X: points ``[m, d]``.

        Raises:
            InputError: unusable points, or k not below the number of fitted ones.
        """
        points = self._checked(X)
        k = whole_number(self.k, name="k")
        graph = knn_graph(points, k=k + 1, metric=self.metric, base=self._fit_X)
        kept = np.ones(graph.indices.shape, bool)
        return self._sparse(graph.distances.astype(np.float64), graph.indices, kept)
