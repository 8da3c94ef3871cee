"""k as users write it, single points among a base, and labels by their name."""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
import numpy as np
import pytest

from mgm_jax.errors import InputError
from mgm_jax.geometry.cloud.intrinsic_dimension import levina_bickel
from mgm_jax.geometry.knn.graph import knn_graph
from mgm_jax.geometry.local.pca import local_pca
from mgm_jax.geometry.nnk.graph import nnk_graph
from mgm_jax.metrics import manifold_metrics
from mgm_jax.probe.knn import knn_accuracy
from tests.geometry.hard.hard_clouds import GROUPS, K, N, ordinary

X = ordinary()


@pytest.mark.parametrize("k", [3.0, 2.5, np.float32(3), "3", True, [3], float("nan"), 0, -1])
def test_k_must_be_a_whole_number(k: Any) -> None:
    for measure in (knn_graph, nnk_graph, manifold_metrics, local_pca, levina_bickel):
        with pytest.raises(InputError, match=r"k must be a whole number of at least 1; got"):
            measure(X, k=k)
    with pytest.raises(InputError, match=r"k must be a whole number of at least 1; got"):
        knn_accuracy(X, GROUPS, k=k)


@pytest.mark.parametrize("k", [np.int64(K), np.array(K), jnp.asarray(K)], ids=type)
def test_k_may_be_any_whole_number(k: Any) -> None:
    np.testing.assert_array_equal(nnk_graph(X, k=k).weights, nnk_graph(X, k=K).weights)
    assert (manifold_metrics(X, k=k).k_effective == K).all()
    assert local_pca(X, k=k).spectrum.shape == (N, K)


def test_one_point_may_be_looked_up_and_be_looked_up_in() -> None:
    graph = knn_graph(X[7:8], k=2, metric="euclidean", base=X)
    assert graph.indices.shape == (1, 2) and graph.indices[0, 0] == 7
    assert (knn_graph(X, k=1, metric="euclidean", base=X[7:8]).indices == 0).all()
    with pytest.raises(InputError, match=r"at least 2 rows and 1 column; got shape \(1, 8\)"):
        knn_graph(X[7:8], k=1)


def test_labels_are_called_labels() -> None:
    with pytest.raises(InputError, match=r"^labels must hold one label for each of the 48"):
        knn_accuracy(X, GROUPS[1:], k=2)
    with pytest.raises(InputError, match=r"graph must hold at least 10 neighbours of 0 points"):
        knn_accuracy(None, GROUPS, graph=knn_graph(X, k=10))
