"""Gaussian neighbourhoods do not depend on the size of the points."""

from __future__ import annotations

import numpy as np
import pytest

from mgm_jax.geometry.nnk.graph import nnk_graph
from mgm_jax.metrics import manifold_metrics
from tests.geometry.hard.hard_clouds import GROUPS, K, N, clouds, ordinary
from tests.geometry.hard.oracles import kkt_violation

X = ordinary()


@pytest.mark.parametrize("power", [-110, -60, 60, 110])
def test_graphs_of_any_size_are_the_same(power: int) -> None:
    graph = nnk_graph(X, k=K, kernel="gaussian")
    scaled = nnk_graph(np.ldexp(X, power), k=K, kernel="gaussian")
    np.testing.assert_array_equal(scaled.indices, graph.indices)
    np.testing.assert_allclose(scaled.weights, graph.weights, atol=1e-12)
    violation = kkt_violation(X, scaled.indices, scaled.weights, kernel="gaussian")
    assert violation.max() < 2e-6


@pytest.mark.parametrize("power", [-90, 90])
def test_metrics_off_the_sphere_scale_with_the_points(power: int) -> None:
    options = {"k": K, "kernel": "gaussian", "normalize": False, "groups": GROUPS}
    metrics = manifold_metrics(X, **options)
    scaled = manifold_metrics(np.ldexp(X, power), **options)
    lengths = ("nnk_diameter", "nnk_radius", "knn_distance")
    for name in metrics.columns:
        unit = 2.0**power if name in lengths else 1.0
        expected = getattr(metrics, name)
        np.testing.assert_allclose(getattr(scaled, name) / unit, expected, rtol=1e-9, err_msg=name)


@pytest.mark.parametrize("kind", ["one point far away", "lengths over 20 decades"])
def test_what_a_gram_matrix_cannot_resolve_is_flagged(kind: str) -> None:
    metrics = manifold_metrics(clouds()[kind], k=K, kernel="gaussian", normalize=False)
    assert metrics.nnk_kkt.max() < 1e-9
    lost = metrics.duplicates > 0
    assert lost.any() and (metrics.duplicates[lost] > 0.5).mean() > 0.9


def test_a_tiny_bandwidth_leaves_nobody_near() -> None:
    graph = nnk_graph(X, k=K, kernel="gaussian", bandwidth=1e-300)
    assert not graph.degree.any() and (graph.kkt == 0).all()
    np.testing.assert_array_equal(graph.residual, np.ones(N))
