"""Neighbours within groups of unequal size."""

from __future__ import annotations

import numpy as np
import pytest

from mgm_jax.geometry.knn import in_groups as knn_grouped
from mgm_jax.geometry.knn.distance import Metric
from mgm_jax.geometry.knn.graph import knn_graph
from tests.geometry.neighbour_oracle import clouds, nearest, unequal_groups

ONE_ROUNDING = 2.0**-23

pytestmark = pytest.mark.filterwarnings("ignore:.*equal an earlier row")


@pytest.mark.parametrize(
    ("kind", "metric"),
    [
        ("post-ReLU features", "cosine"),
        ("views of few images", "euclidean"),
        ("repeated rows", "cosine"),
        ("all at one distance", "sqeuclidean"),
        ("one point", "cosine"),
    ],
)
def test_groups_are_searched_apart(kind: str, metric: Metric) -> None:
    x = clouds()[kind]
    groups = unequal_groups(len(x))
    graph = knn_graph(x, k=6, metric=metric, groups=groups)
    indices, distances = nearest(x, k=6, metric=metric, groups=groups)
    np.testing.assert_array_equal(graph.indices, indices)
    np.testing.assert_allclose(graph.distances, distances, rtol=ONE_ROUNDING)


def test_order_of_points_changes_nothing() -> None:
    x = clouds()["post-ReLU features"]
    groups = unequal_groups(len(x))
    order = np.random.default_rng(4).permutation(len(x))
    graph = knn_graph(x, k=6, groups=groups)
    moved = knn_graph(x[order], k=6, groups=groups[order].astype(str))
    np.testing.assert_array_equal(order[moved.indices], graph.indices[order])
    np.testing.assert_array_equal(moved.distances, graph.distances[order])


def test_large_groups_take_the_other_way_to_the_same_graph(monkeypatch: pytest.MonkeyPatch) -> None:
    x = clouds()["views of few images"]
    groups = unequal_groups(len(x))
    graph = knn_graph(x, k=6, groups=groups)
    monkeypatch.setattr(knn_grouped, "_LARGE_GROUP", 12)
    monkeypatch.setattr(knn_grouped, "_BATCH_VALUES", 1)
    other = knn_graph(x, k=6, groups=groups)
    np.testing.assert_array_equal(graph.indices, other.indices)
    np.testing.assert_array_equal(graph.distances, other.distances)
